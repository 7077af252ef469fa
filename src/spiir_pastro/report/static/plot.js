"use strict";
// Small plots: axes, points, lines and bars in SVG; hover, zoom and keys for all of them.
const SVG = "http://www.w3.org/2000/svg";
const css = (name) => `var(--${name.toLowerCase()})`;
const node = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
};
const shape = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const number = (value, digits = 3) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
};
const probability = (p) => p === null ? "–" : p > 0 && p < 5e-4 ? p.toExponential(0) : p.toFixed(3);

const tip = document.getElementById("tip");
const showTip = (text, x, y) => {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 16 + box.height > innerHeight ? y - box.height - 10 : y + 16}px`;
};
const hideTip = () => { tip.hidden = true; };

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const power = (k) => `10${[...String(k)].map((c) => SUPERSCRIPT[c]).join("")}`;

const ticks = (axis) => {
  const [low, high] = axis.log ? [Math.log10(axis.low), Math.log10(axis.high)] : [axis.low, axis.high];
  if (axis.log && high - low > 1.2) {
    const step = Math.max(1, Math.ceil((high - low) / 7));
    const found = [];
    for (let k = Math.ceil(low / step) * step; k <= high; k += step)
      found.push([10 ** k, Math.abs(k) < 4 ? number(10 ** k) : power(k)]);
    return found;
  }
  const [a, b] = [axis.low, axis.high];
  const rough = (b - a) / 6;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(a / step); k * step <= b * (1 + 1e-9); k += 1)
    found.push([k * step, number(Number((k * step).toPrecision(6)), 4)]);
  return found;
};

// spec: {label, x: {label, low, high, log, flip}, y: ..., height, draw(layer, X, Y) -> points,
// onopen(point)}; a point is {x, y, text, ...}.
const plot = (holder, spec) => {
  const width = Math.max(300, Math.min(holder.clientWidth || 640, 900));
  const height = spec.height || Math.round(width * 0.62);
  const edge = { left: 58, right: 12, top: 14, bottom: 44 };
  const home = [{ ...spec.x }, { ...spec.y }];
  let [x, y] = home.map((axis) => ({ ...axis }));
  let points = [], chosen = -1;
  const svg = shape("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${spec.label}. Arrow keys step through the points, plus and minus zoom, 0 resets.`,
    tabindex: 0 });
  const id = `clip${plot.count = (plot.count || 0) + 1}`;
  const scale = (axis, from, to) => {
    const [a, b] = axis.flip ? [to, from] : [from, to];
    const t = axis.log ? Math.log10 : (v) => v;
    const [low, high] = [t(axis.low), t(axis.high)];
    const there = (v) => a + (t(v) - low) / (high - low) * (b - a);
    there.back = (pixel) => {
      const v = low + (pixel - a) / (b - a) * (high - low);
      return axis.log ? 10 ** v : v;
    };
    return there;
  };
  let X, Y;
  const render = () => {
    svg.replaceChildren();
    X = scale(x, edge.left, width - edge.right);
    Y = scale(y, height - edge.bottom, edge.top);
    const clip = shape("clipPath", { id });
    clip.append(shape("rect", { x: edge.left - 1, y: edge.top - 8, width: width - edge.left - edge.right + 8,
      height: height - edge.top - edge.bottom + 9 }));
    svg.append(clip);
    for (const [value, text] of ticks(x)) {
      svg.append(shape("line", { class: "grid", x1: X(value), x2: X(value), y1: edge.top, y2: height - edge.bottom }));
      svg.append(shape("text", { x: X(value), y: height - edge.bottom + 17, "text-anchor": "middle" }, text));
    }
    for (const [value, text] of ticks(y)) {
      svg.append(shape("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: Y(value), y2: Y(value) }));
      svg.append(shape("text", { x: edge.left - 7, y: Y(value) + 4, "text-anchor": "end" }, text));
    }
    svg.append(shape("path", { class: "axis", fill: "none",
      d: `M${edge.left} ${edge.top}V${height - edge.bottom}H${width - edge.right}` }));
    svg.append(shape("text", { x: (edge.left + width - edge.right) / 2, y: height - 8, "text-anchor": "middle" }, x.label));
    svg.append(shape("text", { transform: `translate(14 ${(edge.top + height - edge.bottom) / 2}) rotate(-90)`,
      "text-anchor": "middle" }, y.label));
    const layer = shape("g", { "clip-path": `url(#${id})` });
    svg.append(layer);
    points = spec.draw(layer, X, Y) || [];
  };
  const zoomTo = (pair, corners) => {
    for (const [axis, ends] of [[pair[0], corners[0]], [pair[1], corners[1]]])
      [axis.low, axis.high] = ends[0] < ends[1] ? ends : [ends[1], ends[0]];
    render();
  };
  const zoomBy = (factor) => {
    for (const axis of [x, y]) {
      const t = axis.log ? Math.log10 : (v) => v, back = axis.log ? (v) => 10 ** v : (v) => v;
      const middle = (t(axis.low) + t(axis.high)) / 2, half = (t(axis.high) - t(axis.low)) / 2 * factor;
      [axis.low, axis.high] = [back(middle - half), back(middle + half)];
    }
    render();
  };
  const reset = () => { [x, y] = home.map((axis) => ({ ...axis })); render(); };
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * height / box.height];
  };
  const nearest = ([px, py]) => {
    let best = null, least = 18 ** 2;
    for (const point of points) {
      const d = (X(point.x) - px) ** 2 + (Y(point.y) - py) ** 2;
      if (d < least) [best, least] = [point, d];
    }
    return best;
  };
  let started = null, box = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && event.button === 0) started = place(event);
  });
  svg.addEventListener("pointermove", (event) => {
    const here = place(event);
    if (started && Math.hypot(here[0] - started[0], here[1] - started[1]) > 6) {
      if (!box) svg.append(box = shape("rect", { class: "zoombox" }));
      for (const [k, side, length] of [[0, "x", "width"], [1, "y", "height"]]) {
        box.setAttribute(side, Math.min(here[k], started[k]));
        box.setAttribute(length, Math.abs(here[k] - started[k]));
      }
      return hideTip();
    }
    const point = nearest(here);
    svg.style.cursor = point && spec.onopen && point.row !== undefined ? "pointer" : "crosshair";
    if (point) showTip(point.text, event.clientX, event.clientY); else hideTip();
  });
  svg.addEventListener("pointerup", (event) => {
    const here = place(event);
    if (box && Math.abs(here[0] - started[0]) > 8 && Math.abs(here[1] - started[1]) > 8) {
      const corners = [[X.back(started[0]), X.back(here[0])], [Y.back(started[1]), Y.back(here[1])]];
      zoomTo([x, y], corners);
    } else if (box) {
      box.remove();
    } else {
      const point = nearest(here);
      if (point && spec.onopen && point.row !== undefined) { hideTip(); spec.onopen(point); }
      else if (point) showTip(point.text, event.clientX, event.clientY);
    }
    started = box = null;
  });
  svg.addEventListener("pointerleave", () => { hideTip(); if (box) box.remove(); started = box = null; });
  svg.addEventListener("dblclick", reset);
  svg.addEventListener("blur", hideTip);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && points.length) {
      chosen = (chosen + step + points.length) % points.length;
      const frame = svg.getBoundingClientRect(), point = points[chosen];
      showTip(point.text, frame.left + X(point.x) * frame.width / width, frame.top + Y(point.y) * frame.height / height);
    } else if (event.key === "Enter" && spec.onopen && points[chosen]?.row !== undefined) spec.onopen(points[chosen]);
    else if (event.key === "+" || event.key === "=") zoomBy(0.6);
    else if (event.key === "-") zoomBy(1 / 0.6);
    else if (event.key === "0" || event.key === "Escape") { hideTip(); reset(); }
    else return;
    event.preventDefault();
  });
  render();
  const buttons = spec.fixed ? [] : [node("div", { class: "zoom" },
    node("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoomBy(0.6) }, "+"),
    node("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoomBy(1 / 0.6) }, "−"),
    node("button", { type: "button", "aria-label": "Reset the zoom", onclick: reset }, "⟲"))];
  holder.replaceChildren(svg, ...buttons);
};

// Marks that tell classes apart without colour too.
const mark = (kind, cx, cy, size, attributes) => {
  const s = size;
  const path = {
    BNS: `M${cx - s} ${cy - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    NSBH: `M${cx} ${cy - 1.2 * s}L${cx + 1.2 * s} ${cy + s}L${cx - 1.2 * s} ${cy + s}z`,
    BBH: `M${cx - s} ${cy}a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0`,
    Terrestrial: `M${cx - s} ${cy - s}l${2 * s} ${2 * s}m0 ${-2 * s}l${-2 * s} ${2 * s}`,
  }[kind];
  return shape("path", { d: path, ...attributes });
};
const whiskers = (layer, x, low, high, colour) => layer.append(shape("path", {
  d: `M${x} ${low}V${high}M${x - 4} ${low}h8M${x - 4} ${high}h8`, stroke: colour, fill: "none", "stroke-width": 1.4 }));
const line = (layer, pairs, attributes) => layer.append(shape("path", {
  d: pairs.map(([px, py], k) => `${k ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join(""), fill: "none",
  "stroke-width": 1.8, ...attributes }));

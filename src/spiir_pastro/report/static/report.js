// The page: plots and tables of the data embedded in it.
const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = (() => {
  const names = Object.keys(DATA.rows), count = names.length ? DATA.rows[names[0]].length : 0;
  return Array.from({ length: count }, (_, k) => {
    const row = { row: k };
    for (const name of names) row[name] = DATA.rows[name][k];
    return row;
  });
})();
const SHOWN = ROWS.filter((row) => row.set === 0);
const place = (id) => document.getElementById(id);
const called = (row) => DATA.sources.reduce((a, b) => row[b] > row[a] ? b : a);
const padded = (values, log, by = 0.05) => {
  const known = values.filter((v) => v !== null && (!log || v > 0));
  if (!known.length) return [0.1, 1];
  const t = log ? Math.log10 : (v) => v, back = log ? (v) => 10 ** v : (v) => v;
  const low = t(known.reduce((a, b) => Math.min(a, b))), high = t(known.reduce((a, b) => Math.max(a, b)));
  const room = (high - low || 1) * by;
  return [back(low - room), back(high + room)];
};
const key = (names) => node("div", { class: "key" }, ...names.map(([name, colour]) =>
  node("span", {}, node("i", { style: `background:${colour}` }), name)));
const said = (row) => DATA.sources.map((s) => `${s} ${probability(row[s])}`).join(", ");

// ---- one event ----
const partner = (m1, mchirp) => {
  let low = 1e-6, high = 1e4;
  for (let k = 0; k < 60; k += 1) {
    const m2 = Math.sqrt(low * high);
    if ((m1 * m2) ** 0.6 / (m1 + m2) ** 0.2 < mchirp) low = m2; else high = m2;
  }
  return Math.sqrt(low * high);
};
const contour = (holder, row) => {
  const b = DATA.boundaries, [mean, sigma] = [row.source_mchirp, row.source_mchirp_std];
  const clip = (m) => Math.min(Math.max(m, 0.8706 * b.m_min), 0.8706 * b.m_max);
  const [lowest, highest] = [clip(mean - sigma), clip(mean + sigma)];
  const reach = Math.max(highest, 0.8706 * 1.2 * b.m_min);
  const end1 = Math.min(b.m_max, b.m_min + 1.1 * (partner(b.m_min, reach) - b.m_min));
  const end2 = Math.min(end1, b.m_min + 1.5 * (reach / 0.8706 - b.m_min));
  const regions = [["BNS", b.m_min, b.ns_max, b.m_min, b.ns_max], ["NSBH", b.m_min, b.ns_max, b.ns_max, b.m_max],
    ["BBH", b.ns_max, b.m_max, b.ns_max, b.m_max]];
  plot(holder, { label: "The chirp-mass band in the plane of component masses", fixed: true,
    x: { label: "primary mass (M☉, source frame)", low: b.m_min, high: end1 },
    y: { label: "secondary mass (M☉)", low: b.m_min, high: end2 },
    draw: (layer, X, Y) => {
      const points = [];
      for (const [name, bottom, top, left, right] of regions) {
        if (left >= end1) continue;
        const m1 = Array.from({ length: 300 }, (_, k) => left + (Math.min(right, end1) - left) * k / 299);
        const roof = m1.map((m) => Math.min(top, m));
        const area = (lower, upper, attributes) => layer.append(shape("path", { ...attributes, d: `M${
          m1.map((m, k) => `${X(m).toFixed(1)} ${Y(upper[k]).toFixed(1)}`).join("L")}L${
          m1.map((m, k) => `${X(m).toFixed(1)} ${Y(lower[k]).toFixed(1)}`).reverse().join("L")}Z` }));
        area(m1.map(() => bottom), roof, { fill: css(name), "fill-opacity": 0.13 });
        const inside = (mchirp) => m1.map((m, k) => Math.min(Math.max(partner(m, mchirp), bottom), Math.max(roof[k], bottom)));
        area(inside(lowest), inside(highest), { fill: css(name) });
        if (lowest < highest) points.push(...m1.filter((_, k) => k % 10 === 0).map((m) => [m, partner(m, clip(mean))])
          .filter(([m, p]) => p >= bottom && p <= Math.min(top, m)).map(([m, p]) => ({ x: m, y: p,
            text: `${name}: ${(100 * row[`contour_${name}`]).toFixed(1)} % of the band\nhere ${number(m)} + ${number(p)} M☉` })));
      }
      line(layer, [[X(b.m_min), Y(b.m_min)], [X(b.m_max), Y(b.m_max)]], { stroke: css("ink"), "stroke-width": 1 });
      return points;
    } });
};
const factorTable = (row) => {
  const classes = DATA.sources.slice(0, 3);
  const terms = [["FAR", `${number(row.far_hz)} Hz`, "far"], ["chirp mass", `${number(row.mchirp_det, 4)} M☉`, "mchirp"], ["SNR, given both", number(row.snr, 4), "snr"]];
  const cell = (log, sign) => node("td", {}, log === null ? "–" : `${sign}${number(Math.exp(log))}`);
  const line = (name, value, logs, sign = "× ") => node("tr", {}, node("th", { scope: "row", class: "l" }, name), node("td", {}, value), ...logs.map((log) => cell(log, sign)));
  const expected = DATA.counts[row.set], counts = classes.map((c, k) => Math.log(expected[k] / expected[3]));
  const total = classes.map((c, k) => terms.reduce((sum, [, , t]) => sum + row[`${t}_${c}`], counts[k]));
  return node("div", {}, node("p", { class: "note" }, "How many times likelier each value is for a class than for noise. The product is the odds, at the mean counts."), node("div", { class: "scroll", tabindex: 0 }, node("table", {},
    node("thead", {}, node("tr", {}, node("th", { class: "l" }, ""), node("th", {}, "value"), ...classes.map((c) => node("th", {}, c)))),
    node("tbody", {}, ...terms.map(([name, value, t]) => line(name, value, classes.map((c) => row[`${t}_${c}`]))),
      line("count, against noise", `${number(expected[3], 4)} noise`, counts),
      line("odds against noise", "", total, "")))));
};
const eventBody = (row) => {
  const drawn = node("figure", {});
  const distances = ["H1", "L1", "V1", "K1"].filter((ifo) => row[`eff_distance_mpc_${ifo}`] != null)
    .map((ifo) => `${ifo} ${number(row[`eff_distance_mpc_${ifo}`])}`).join(", ");
  const facts = [["Probabilities", said(row)], ["p_astro", `${probability(row.p_astro)} (90 % interval ${probability(row.p_astro_low)} to ${probability(row.p_astro_high)})`],
    ["Time", `GPS ${row.gps.toFixed(3)}`], ["Detectors", row.ifos]];
  if (row.is_signal !== undefined) facts.push(["What it is", row.is_signal ? `${DATA.truth}${row.source_class ? `, ${row.source_class}` : ""}` : "no known signal"]);
  if (row.known_event) facts.push(["Catalogue", row.known_event]);
  if (distances) facts.push(["Effective distances", `${distances} Mpc`]);
  if (row.source_mchirp !== null) facts.push(["Source chirp mass", `${number(row.source_mchirp)} ± ${number(row.source_mchirp_std)} M☉`],
    ["Mass contour", DATA.sources.slice(0, 3).map((s) => `${s} ${(100 * row[`contour_${s}`]).toFixed(1)} %`).join(", ")]);
  if (row.note) facts.push(["Note", row.note]);
  const list = node("dl", {}, ...facts.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, value)]));
  const parts = [node("p", {}, bar(row)), list, node("h3", { style: "margin-top:1rem" }, "Why this number"), factorTable(row),
    node("h3", { style: "margin-top:1rem" }, "Mass contour"),
    row.source_mchirp === null ? node("p", { class: "dim" }, "No contour: the candidate comes without effective distances.") : drawn];
  return [parts, () => { if (row.source_mchirp !== null) contour(drawn, row); }];
};
const openEvent = (k) => {
  const dialog = place("event"), row = ROWS[k], [parts, after] = eventBody(row);
  dialog.replaceChildren(node("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"),
    node("h2", { id: "event-title", style: "margin-top:0" }, row.event_id), ...parts);
  dialog.showModal();
  after();
};

// ---- plots ----
const candidatesPlot = (holder) => {
  const xs = SHOWN.map((r) => r.far_hz), ys = SHOWN.map((r) => r.mchirp_det);
  const [lowFar, highFar] = padded(xs, true), [low, high] = padded(ys, true);
  const back = SHOWN.filter((r) => r.far_hz && r.mchirp_det).sort((a, b) => a.p_astro - b.p_astro);
  plot(holder, { label: "Candidates by false-alarm rate and chirp mass",
    x: { label: "FAR (Hz), more significant to the right →", low: lowFar, high: highFar, log: true, flip: true },
    y: { label: "chirp mass, detector frame (M☉)", low, high, log: true }, onopen: (point) => openEvent(point.row),
    draw: (layer, X, Y) => back.map((row) => {
      const kind = called(row), x = X(row.far_hz), y = Y(row.mchirp_det);
      layer.append(mark(kind, x, y, kind === "Terrestrial" ? 2.2 : 4, kind === "Terrestrial"
        ? { stroke: css(kind), "stroke-opacity": 0.55, fill: "none" } : { fill: css(kind), "fill-opacity": 0.85 }));
      if (row.is_signal) layer.append(shape("circle", { cx: x, cy: y, r: 7, fill: "none", stroke: css("ink"), "stroke-width": 1.3 }));
      return { x: row.far_hz, y: row.mchirp_det, row: row.row, text: `${row.event_id}${row.known_event ? ` (${row.known_event})` : ""}\np_astro ${probability(row.p_astro)}: ${said(row)}\nFAR ${number(row.far_hz)} Hz, SNR ${number(row.snr)}, ${number(row.mchirp_det)} M☉` };
    }) });
};
const calibrationPlot = (holder) => plot(holder, { label: "Calibration: what fraction of those called p are signals",
  x: { label: "p_astro said", low: -0.02, high: 1.02 }, y: { label: "fraction that are signals", low: -0.02, high: 1.04 },
  draw: (layer, X, Y) => {
    line(layer, [[X(0), Y(0)], [X(1), Y(1)]], { stroke: css("dim"), "stroke-dasharray": "5 4" });
    return DATA.calibration.map((bin) => {
      whiskers(layer, X(bin.p), Y(bin.low), Y(bin.high), css("accent"));
      layer.append(shape("circle", { cx: X(bin.p), cy: Y(bin.fraction), r: 4.5, fill: css("accent") }));
      return { x: bin.p, y: bin.fraction, text: `${bin.signals} of ${bin.count} candidates called ${probability(bin.from)} to ${probability(bin.to)}\nare signals: ${number(100 * bin.fraction)} % (90 % interval ${number(100 * bin.low)} to ${number(100 * bin.high)})\nmean p_astro ${probability(bin.p)}` };
    });
  } });
const rocPlot = (holder) => {
  const [fa, eff, at] = [DATA.roc.false_alarm, DATA.roc.efficiency, DATA.roc.threshold];
  const least = Math.max(1e-9, fa.find((v) => v > 0) || 1) / 2;
  plot(holder, { label: "Fraction of signals found against fraction of noise called a signal",
    x: { label: "fraction of noise called a signal", low: least, high: 1, log: true }, y: { label: "fraction of signals found", low: 0, high: 1.03 },
    draw: (layer, X, Y) => {
      const steps = [];
      eff.forEach((v, k) => { const x = X(Math.max(fa[k], least)); if (k) steps.push([x, steps[steps.length - 1][1]]); steps.push([x, Y(v)]); });
      line(layer, steps, { stroke: css("accent") });
      return eff.map((v, k) => ({ x: Math.max(fa[k], least), y: v, text: `p_astro ≥ ${at[k] === null ? "∞" : probability(at[k])}\nfinds ${number(100 * v)} % of the signals\nand ${number(100 * fa[k])} % of the noise` }));
    } });
};
const efficiencyPlot = (holder, choice) => {
  const shown = DATA.efficiency[choice];
  const [low, high] = padded(shown.bins.flatMap((bin) => [bin.from, bin.to]), true, 0.02);
  plot(holder, { label: `Fraction of signals called, against ${shown.label}`,
    x: { label: shown.label, low, high, log: true, flip: choice === "far_hz" }, y: { label: "fraction of signals called", low: 0, high: 1.04 },
    draw: (layer, X, Y) => shown.bins.flatMap((bin) => [["0.5", -3, "--accent", ""], ["0.9", 3, "--bad", "5 3"]].map(([at, shift, name, dash]) => {
      const part = bin[at], centre = Math.sqrt(bin.from * bin.to), colour = `var(${name})`;
      line(layer, [[X(bin.from), Y(part.fraction)], [X(bin.to), Y(part.fraction)]], { stroke: colour, "stroke-dasharray": dash });
      whiskers(layer, X(centre) + shift, Y(part.low), Y(part.high), colour);
      return { x: centre, y: part.fraction, text: `${number(bin.from)} to ${number(bin.to)}: ${part.found} of ${bin.count} signals\nhave p_astro ≥ ${at}: ${number(100 * part.fraction)} %\n(90 % interval ${number(100 * part.low)} to ${number(100 * part.high)})` };
    })) });
};
const mergersPlot = (holder) => {
  const seen = DATA.known.filter((row) => row.p_astro !== null).sort((a, b) => a.far_hz - b.far_hz).slice(0, 120);
  if (!seen.length) return holder.replaceChildren(node("p", { class: "dim" }, "No known merger has a candidate."));
  holder.replaceChildren(key(DATA.sources.map((s) => [s, css(s)])), node("div", { class: "scroll" }, node("table", {}, node("tbody", {}, ...seen.map((row) => {
    const wide = bar(row);
    wide.style.width = "100%"; wide.style.minWidth = "10rem";
    return node("tr", {}, node("td", { class: "l" }, row.row === null ? row.name : node("button", { type: "button", class: "link", onclick: () => openEvent(row.row) }, row.name)),
      node("td", {}, probability(row.p_astro)), node("td", { style: "width:70%" }, wide));
  })))));
};

// ---- the page ----
const TABLES = {
  "known-table": () => [DATA.known, DATA.columns.known, { sort: "gps", falling: false, label: "known mergers" }],
  "uncatalogued-table": () => [DATA.uncatalogued.map((k) => ROWS[k]), DATA.columns.candidates, { sort: "p_astro", label: "candidates no catalogue has" }],
  "candidates-table": () => [SHOWN, DATA.columns.candidates, { sort: "p_astro", label: "candidates" }],
};
const draw = () => {
  for (const [id, make] of [["candidates-plot", candidatesPlot], ["calibration-plot", calibrationPlot], ["roc-plot", rocPlot], ["mergers-plot", mergersPlot]])
    if (place(id)) make(place(id));
  const choice = place("efficiency-choice");
  if (choice) {
    const again = () => efficiencyPlot(place("efficiency-plot"), choice.value);
    choice.onchange = again;
    again();
  }
};
for (const [id, content] of Object.entries(TABLES)) if (place(id)) {
  const [rows, columns, options] = content();
  sortable(place(id), columns, rows, options);
}
draw();
if (place("single")) {
  const [parts, after] = eventBody(ROWS[0]);
  place("single").replaceChildren(...parts);
  after();
}
let laid = innerWidth, waiting;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (innerWidth !== laid) { laid = innerWidth; draw(); } }, 150); });

"use strict";
// Numbers as people read them, bars of probabilities, and tables that sort and filter.
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLOUR = Object.fromEntries(DATA.sources.map((source, k) => [source, DATA.colours[k]]));
const node = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
};
const number = (value, digits = 3) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
};
const probability = (p) => p === null || p === undefined ? "–"
  : p >= 0.9995 ? ">0.999" : p > 0 && p < 5e-4 ? p.toExponential(0) : p.toFixed(3);
const often = (hz) => { const days = 1 / hz / 86400, years = days / 365.25;
  return years >= 2 ? `once in ${years < 1e5 ? Math.round(years) : years.toExponential(0)} years` : days >= 2 ? `once in ${Math.round(days)} days` : `${number(86400 * hz, 2)} a day`; };
const spread = (row) => row.p_astro === null ? "–" : `${probability(row.p_astro)} `
  + `(${probability(row.p_astro_low)} to ${probability(row.p_astro_high)})`;

// What tells ids of a file's rows apart stands at their end.
const short = (id) => id.length > 20 ? `…${id.slice(-16)}` : id;
const NAME = { Terrestrial: "noise" };

// The probabilities as one bar; a line across it is the interval of p_astro.
const bar = (row) => {
  const said = DATA.sources.map((s) => `${s} ${probability(row[s])}`).join(", ");
  const made = node("span", { class: "bar", role: "img", "aria-label": said, title: said });
  if (row.p_astro === null) return made;
  for (const source of DATA.sources)
    made.append(node("i", { style: `width:${100 * (row[source] || 0)}%;background:${COLOUR[source]}` }));
  if (row.p_astro_low !== undefined) made.append(node("b", {
    style: `left:min(${100 * row.p_astro_low}%, 100% - 3px);width:${100 * (row.p_astro_high - row.p_astro_low)}%` }));
  return made;
};

const cells = {
  text: (v) => v === null ? "–" : String(v),
  wide: (v) => v === null ? "" : String(v),
  number: (v) => number(v),
  probability,
  spread: (v, row) => {
    const ends = [row.p_astro_low, row.p_astro_high].map(probability);
    return [probability(v), node("small", {}, v === null || ends[0] === ends[1] ? "" : ends.join(" to "))];
  },
  gps: (v) => v === null ? "–" : v.toFixed(2),
};
const LEFT = new Set(["text", "wide"]);
const CONDITION = /^([a-z_0-9]+)(<=|>=|<|>|=)(.+)$/i;
const conditions = (text, columns) => text.trim().split(/\s+/).filter(Boolean).map((word) => {
  const [, name, sign, right] = word.match(CONDITION) || [];
  const column = name && columns.find((c) => c.key.toLowerCase() === name.toLowerCase());
  if (!column) {
    const wanted = word.toLowerCase();
    return (row) => columns.some((c) => LEFT.has(c.kind) && String(row[c.key] ?? "").toLowerCase().includes(wanted));
  }
  const value = Number(right);
  const compare = { "<": (v) => v < value, ">": (v) => v > value, "<=": (v) => v <= value, ">=": (v) => v >= value,
    "=": (v) => Number.isNaN(value) ? String(v).toLowerCase() === right.toLowerCase() : Number(v) === value };
  return (row) => row[column.key] !== null && compare[sign](row[column.key]);
});
const sortable = (holder, columns, rows, { page = 20, sort = null, falling = true, label }) => {
  let order = sort, down = falling, from = 0;
  const search = node("input", { type: "search", placeholder: "filter: words, or far_hz<1e-6 p_astro>0.5", "aria-label": `Filter ${label}`,
    oninput: () => { from = 0; draw(); } });
  const count = node("span", { class: "dim", role: "status" });
  const before = node("button", { type: "button", onclick: () => { from -= page; draw(); } }, "‹ back");
  const after = node("button", { type: "button", onclick: () => { from += page; draw(); } }, "more ›");
  const kind = (column) => `${LEFT.has(column.kind) ? "l" : ""} ${column.kind}-cell from${column.from}`;
  const heads = columns.map((column) => node("th", { scope: "col", class: kind(column) },
    column.kind === "bar" ? column.label : node("button", { type: "button", title: `Sort by ${column.label}`, onclick: () => {
      down = order === column.key ? !down : !LEFT.has(column.kind);
      order = column.key; from = 0; draw();
    } }, column.label)));
  const body = node("tbody");
  const ordered = (chosen) => {
    if (order === null) return chosen;
    const sign = down ? -1 : 1;
    return [...chosen].sort((a, b) => {
      const [u, v] = [a[order], b[order]];
      if (u === v) return 0;
      if (u === null || u === undefined) return 1;
      if (v === null || v === undefined) return -1;
      return (u < v ? -1 : 1) * sign;
    });
  };
  const cell = (column, row) => {
    if (column.kind === "bar") return node("td", { class: kind(column) }, bar(row));
    const value = row[column.key] ?? null, shown = [cells[column.kind](value, row)].flat();
    if (column.opens && row.row !== null && row.row !== undefined && value !== null)
      shown.splice(0, 1, node("button", { type: "button", class: "link", title: String(value), onclick: () => openEvent(row.row) }, short(value)));
    return node("td", { class: kind(column) }, ...shown);
  };
  const draw = () => {
    const tests = conditions(search.value, columns);
    const chosen = ordered(rows.filter((row) => tests.every((test) => test(row))));
    from = Math.max(0, Math.min(from, Math.floor(Math.max(0, chosen.length - 1) / page) * page));
    const shown = chosen.slice(from, from + page);
    body.replaceChildren(...shown.map((row) => node("tr", {}, ...columns.map((column) => cell(column, row)))));
    heads.forEach((head, k) => {
      if (columns[k].kind !== "bar") head.setAttribute("aria-sort", columns[k].key !== order ? "none" : down ? "descending" : "ascending");
    });
    count.textContent = chosen.length > page ? `${from + 1} to ${from + shown.length} of ${chosen.length}` : `${chosen.length} of ${rows.length}`;
    before.disabled = from === 0;
    after.disabled = from + page >= chosen.length;
    before.hidden = after.hidden = chosen.length <= page;
  };
  draw();
  const table = node("table", {}, node("thead", {}, node("tr", {}, ...heads)), body);
  const every = node("button", { type: "button", class: "all", "aria-pressed": "false" }, "all columns");
  holder.replaceChildren(node("div", { class: "tools" }, search, every, count, before, after),
    node("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table));
};
document.addEventListener("click", ({ target }) => {
  if (target.matches("button.all"))
    target.setAttribute("aria-pressed", target.parentElement.nextElementSibling.querySelector("table").classList.toggle("every"));
});

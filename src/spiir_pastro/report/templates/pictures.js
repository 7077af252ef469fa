// Plots by Plotly, in the page's own type and colours, and the bars that explain a candidate.
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false };
const SMALL = () => innerWidth < 640;
const LAYOUT = () => ({ margin: { l: 52, r: 14, t: 14, b: 46 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: "system-ui, sans-serif", size: 12 }, hovermode: "closest", dragmode: SMALL() ? false : "zoom", hoverlabel: { align: "left" } });
const AXIS = { zeroline: false, showline: true, ticks: "outside", ticklen: 4 };
const TICKS = [-1, 0, 1, 2].flatMap((k) => [1, 2, 5].map((m) => Number(`${m}e${k}`)));
const plot = (holder, chart, height) => {
  const layout = { ...LAYOUT(), ...chart.layout, height, xaxis: { ...AXIS, ...chart.layout.xaxis }, yaxis: { ...AXIS, ...chart.layout.yaxis } };
  return Plotly.newPlot(holder, chart.data, layout, CONFIG);
};

// A colour is the mixture of the sources' colours by their probabilities.
const RGB = DATA.colours.map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
const mixed = (row) => `rgb(${[0, 1, 2].map((c) => Math.round(DATA.sources.reduce((sum, s, k) => sum + (row[s] || 0) * RGB[k][c], 0))).join()})`;
const SYMBOL = Object.fromEntries(DATA.sources.map((source, k) => [source, DATA.marks[k]]));
const called = (row) => DATA.sources.reduce((a, b) => row[b] > row[a] ? b : a);
const said = (row) => row.p_astro === null ? "no numbers" : DATA.sources.filter((s) => row[s] > 5e-4).map((s) => `${s} ${probability(row[s])}`).join(", ");

// The plane shows what is scored, which a model may say at other rates, or one fitted without the event.
const scored = (r) => r.scored_p_astro == null ? r : { ...r, ...Object.fromEntries(["p_astro", ...DATA.sources].map((s) => [s, r[`scored_${s}`]])) };

const plane = (holder, rows) => {
  const drawn = rows.map(scored).filter((r) => r.far_hz && r.mchirp_det && r.p_astro !== null).sort((a, b) => a.p_astro - b.p_astro);
  if (!drawn.length) return holder.replaceChildren(node("p", { class: "dim" }, "No candidate has a FAR and a chirp mass."));
  const text = (r) => `<b>${r.known_event || r.event_id.split("/").pop()}</b><br>p_astro ${spread(rows[r.row])}<br>${said(rows[r.row])}${r === rows[r.row] ? "" : `<br>scored: ${said(r)}`}<br>FAR ${number(r.far_hz)} Hz, SNR ${number(r.snr)}, ${number(r.mchirp_det)} M☉<br>in truth: ${r.truth}`;
  const marks = (chosen, marker) => ({ x: chosen.map((r) => r.far_hz), y: chosen.map((r) => r.mchirp_det), mode: "markers", marker,
    customdata: chosen.map((r) => r.row), text: chosen.map(text), hoverinfo: "text" });
  const { largest, least, louder } = DATA.fars, range = [largest, least].map(Math.log10);
  const points = marks(drawn, { color: drawn.map(mixed), symbol: drawn.map((r) => SYMBOL[called(r)]),
    size: drawn.map((r) => called(r) === "Terrestrial" ? 5 : 8), line: { width: drawn.map((r) => called(r) === "Terrestrial" ? 1 : 0.4) }, opacity: 0.9 });
  const rings = { ...marks(drawn.filter((r) => r.misjudged), { color: "#7a7f87", symbol: "circle-open", size: 13, line: { width: 1.5 } }), hoverinfo: "skip" };
  const annotations = louder ? [{ xref: "paper", yref: "paper", x: 1, y: 1, xanchor: "right", yanchor: "top", showarrow: false, text: `${number(louder)} louder →` }] : [];
  plot(holder, { data: [points, rings], layout: { showlegend: false, annotations,
    xaxis: { type: "log", dtick: 2, range, exponentformat: "power", nticks: SMALL() ? 5 : 8, title: { text: "FAR (Hz), more significant →" } },
    yaxis: { type: "log", tickvals: TICKS, title: { text: "chirp mass, detector frame (M☉)" } } } }, SMALL() ? 330 : 410);
  holder.on("plotly_click", (event) => openEvent(event.points[0].customdata));
};

// The band of source chirp mass in the plane of masses: a contour of unit chirp mass, drawn larger.
const massPlane = (holder, row) => {
  const b = DATA.boundaries, [m1, m2] = DATA.contour, [mean, std] = [row.source_mchirp, row.source_mchirp_std];
  const low = Math.max(mean - std, 0.05), high = mean + std, classes = DATA.sources.slice(0, -1);
  const end = Math.min(b.m_max, Math.max(1.7 * b.ns_max, 3.2 * high)), top = Math.min(end, Math.max(1.2 * b.ns_max, 1.6 * high));
  const box = (r) => ({ type: "rect", x0: r.m1[0], x1: r.m1[1], y0: r.m2[0], y1: r.m2[1], fillcolor: COLOUR[r.source], opacity: 0.13, line: { width: 0 }, layer: "below" });
  const shapes = DATA.regions.map(box);
  const side = (m) => m1.map((x, k) => [m * x, m * m2[k]]), edge = [...side(high), ...side(low).reverse()];
  const names = classes.map((s) => `${s} ${(100 * row[`contour_${s}`]).toFixed(1)} %`).join("   ");
  plot(holder, { data: [{ x: edge.map((p) => p[0]), y: edge.map((p) => p[1]), fill: "toself", mode: "lines", line: { width: 0 }, fillcolor: "rgba(122,127,135,.65)", hoverinfo: "skip" },
    { x: [0, 300], y: [0, 300], mode: "lines", line: { color: "#7a7f87", width: 1 }, hoverinfo: "skip" }],
  layout: { showlegend: false, shapes, annotations: [{ xref: "paper", yref: "paper", x: 0.02, y: 1, xanchor: "left", yanchor: "top", showarrow: false, text: names }],
    margin: { l: 52, r: 14, t: 8, b: 46 }, xaxis: { range: [b.m_min, end], title: { text: "primary mass (M☉)" } }, yaxis: { range: [b.m_min, top], title: { text: "secondary mass (M☉)" } } } }, 300);
};

// What each fact adds to the odds of a signal: bars that begin where the last one ended.
const decibans = (p) => 10 * Math.log10(p / (1 - p));
const signed = (v) => `${v < 0 ? "−" : "+"}${Math.abs(v) < 10 ? Math.abs(v).toFixed(1) : Math.abs(v).toFixed(0)}`;
const VALUES = (row) => ({ FAR: row.far_hz === null ? "not assigned" : `${number(row.far_hz)} Hz`, "chirp mass": `${number(row.mchirp_det, 4)} M☉`, "mass ratio": row.mtotal_det ? `total mass ${number(row.mtotal_det, 4)} M☉` : "", SNR: number(row.snr, 4) });
const waterfall = (row) => {
  const ends = row.decibans.reduce((all, v) => [...all, all[all.length - 1] + v], [0]);
  // Nearer to 0 or 1 than this a probability holds too few digits of its odds: the interval goes on beyond the picture.
  const odds = (p) => p < 1e-12 ? -Infinity : p > 1 - 1e-12 ? Infinity : decibans(p);
  const interval = [row.p_astro_low, row.p_astro_high].map(odds), total = ends[ends.length - 1], drawn = interval.filter(Number.isFinite);
  const low = Math.min(0, ...ends, ...drawn), high = Math.max(0, ...ends, ...drawn), wide = (high - low || 1) * 1.04;
  const [from, to] = interval.map((v) => Math.max(low, Math.min(high, v)));
  const at = (v) => 100 * (v - low + wide * 0.02) / wide;
  const span = (a, b, style) => node("i", { style: `left:${at(Math.min(a, b))}%;width:${Math.max(100 * Math.abs(b - a) / wide, 0.4)}%;${style}` });
  const colour = (v) => `background:var(--${v < 0 ? "against" : "for"})`;
  const line = (name, value, amount, ...marks) => node("tr", {}, node("th", { scope: "row", class: "l" }, name, node("small", {}, value)),
    node("td", { class: "track" }, node("span", {}, node("u", { style: `left:${at(0)}%` }), ...marks)), node("td", {}, amount));
  const facts = DATA.facts.map((name, k) => line(name, VALUES(row)[name] || "", signed(row.decibans[k]), span(ends[k], ends[k + 1], colour(row.decibans[k]))));
  return node("table", { class: "bars" }, node("tbody", {}, ...facts, node("tr", { class: "total" }, ...line("together", `p_astro ${probability(row.p_astro)}`, signed(total),
    span(0, total, colour(total)), ...(drawn.length ? [node("b", { style: `left:${at(from)}%;width:${100 * (to - from) / wide}%` })] : [])).childNodes)));
};

// How the shares of the classes change as each fact is taken in.
const shares = (row) => {
  const classes = DATA.sources.slice(0, -1), judged = row.p_astro !== null;
  const steps = DATA.facts.map((name, k) => [name, row.shares[k]]).filter(([name]) => judged || name !== "FAR");
  return node("table", { class: "bars" }, node("tbody", {}, ...steps.map(([name, step], k) => node("tr", { class: k === steps.length - 1 ? "total" : null },
    node("th", { scope: "row", class: "l" }, k === 0 ? name : `+ ${name}`), node("td", { class: "track" }, node("span", { class: "bar" },
      ...classes.map((s, c) => node("i", { style: `width:${100 * step[c]}%;background:${COLOUR[s]}` })))),
    node("td", {}, classes.map((s, c) => [step[c], s]).sort((a, b) => b[0] - a[0]).slice(0, 1).map(([p, s]) => `${s} ${probability(p)}`)[0])))));
};

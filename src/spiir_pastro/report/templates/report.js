// The page: its rows, the window of one event, and what is drawn where.
const ROWS = DATA.rows.event_id.map((_, k) => Object.fromEntries([["row", k], ...Object.entries(DATA.rows).map(([name, values]) => [name, values[k]])]));
const SHOWN = ROWS.filter((row) => row.set === undefined || row.set === 0);
const place = (id) => document.getElementById(id);
const GRACEDB = "https://gracedb.ligo.org/", GWOSC = "https://gwosc.org/eventapi/html/event/";
const links = (row) => {
  const id = row.event_id.split("/").pop(), found = [];
  if (/^[GME]\d+$/.test(id)) found.push([`${GRACEDB}events/${id}/view/`, `${id} on GraceDB`]);
  if (/^M?S\d{6}[a-z]+$/.test(id)) found.push([`${GRACEDB}superevents/${id}/view/`, `${id} on GraceDB`]);
  if (/^GW\d{6}(_\d{6})?$/.test(row.known_event || "")) found.push([`${GWOSC}${row.known_event}/`, `${row.known_event} at GWOSC`]);
  return found.map(([href, text]) => node("a", { href, rel: "noreferrer" }, text));
};
// What the mass plane says of a signal; of a candidate that is noise none of it is true.
const properties = (row) => {
  if (row.HasNS === null) return [];
  const [low, median, high] = row.mchirp_quantiles.map((m) => number(m)), edges = DATA.mchirp_edges;
  const bins = row.mchirp_bins.map((p, k) => [p, `${edges[k]} to ${edges[k + 1] ?? "∞"}: ${probability(p)}`]).filter(([p]) => p >= 0.005).map(([, text]) => text);
  const caveat = row.p_astro === null ? "if it is a signal" : `if it is a signal, and p_astro is ${probability(row.p_astro)}`;
  return [["HasNS, HasMassGap, HasRemnant", `${["HasNS", "HasMassGap", "HasRemnant"].map((name) => probability(row[name])).join(", ")} (${caveat})`],
    ["Source chirp mass", `${median} M☉, 90 % interval ${low} to ${high} (${caveat}); in M☉, ${bins.join(", ")}`]];
};
const facts = (row) => {
  const distances = ["H1", "L1", "V1", "K1"].filter((ifo) => row[`eff_distance_mpc_${ifo}`] != null)
    .map((ifo) => `${ifo} ${number(row[`eff_distance_mpc_${ifo}`])}`).join(", ");
  const found = [["Time", `${row.utc} UTC (GPS ${row.gps.toFixed(3)})`], ["FAR", row.far_hz === null ? "not assigned" : `${number(row.far_hz)} Hz, ${often(row.far_hz)}`],
    ["SNR, chirp mass", `${number(row.snr, 4)}; ${number(row.mchirp_det, 4)} M☉ in the detector frame`], ["Detectors", `${row.ifos}${distances ? `; effective distances ${distances} Mpc` : ""}`]];
  if (row.truth !== undefined) found.push(["In truth", row.is_signal ? `${DATA.truth}${row.source_class ? `, ${row.source_class}` : ""}${row.known_event ? `, ${row.known_event}` : ""}` : row.truth]);
  found.push(...properties(row));
  if (DATA.scored_by && row.scored_p_astro != null) found.push(["Scored", `p_astro ${probability(row.scored_p_astro)}, ${DATA.scored_by}`]);
  if (row.extrapolated) found.push(["Extrapolated", row.extrapolated]);
  if (row.note) found.push(["Note", row.note]);
  return node("dl", {}, ...found.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, value)]));
};
const key = (sources) => node("span", { class: "key" }, ...sources.map((s) => node("span", {}, node("i", { style: `background:${COLOUR[s]}` }), NAME[s] || s)));
const verdict = (row) => {
  if (row.p_astro !== null) return [node("p", { class: "said" }, node("strong", {}, `p_astro ${probability(row.p_astro)}`), ` (90 % interval ${probability(row.p_astro_low)} to ${probability(row.p_astro_high)}): ${said(row)}`), bar(row), key(DATA.sources)];
  const last = row.shares.at(-1), best = DATA.sources.slice(0, 3).map((s, k) => `${s} ${probability(last[k])}`).join(", ");
  return [node("p", { class: "said" }, node("strong", {}, "No FAR: whether it is a signal cannot be said."), ` If it is one: ${best}, by its chirp mass and SNR alone.`), key(DATA.sources.slice(0, 3))];
};
const eventBody = (row) => {
  const drawn = node("figure", {}), judged = row.p_astro !== null;
  const panel = (title, note, ...content) => node("div", { class: "panel" }, node("h3", {}, title), ...content, node("p", { class: "note" }, note));
  const parts = [...verdict(row), node("div", { class: "two" },
    ...(judged ? [panel("A signal, or noise?", "What each fact adds, in decibans: 10 make a signal ten times likelier, 20 a hundred times. To the right: for a signal; the line is the 90 % interval.", waterfall(row))] : []),
    panel("Which class, if it is a signal?", "The classes' shares once each fact is known.", shares(row)))];
  if (row.source_mchirp !== null) parts.push(panel("Which masses?", "Component masses in the source frame that agree with the chirp mass, one standard deviation wide, and its area's shares.", drawn));
  parts.push(facts(row), node("p", { class: "links" }, ...links(row)));
  return [parts, () => { if (row.source_mchirp !== null) massPlane(drawn, row); }];
};
const openEvent = (k) => {
  const dialog = place("event"), row = ROWS[k], [parts, after] = eventBody(row), name = row.event_id.split("/").pop();
  dialog.replaceChildren(node("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"),
    node("h2", { id: "event-title" }, row.known_event ? `${row.known_event} (${name})` : name), ...parts);
  dialog.showModal();
  dialog.scrollTop = 0;
  after();
};
const mergerBars = (holder) => {
  const seen = DATA.known.filter((row) => row.p_astro !== null).sort((a, b) => a.far_hz - b.far_hz).slice(0, 120);
  if (!seen.length) return holder.replaceChildren(node("p", { class: "dim" }, "No known merger has a candidate."));
  holder.replaceChildren(key(DATA.sources), node("table", { class: "bars" }, node("tbody", {}, ...seen.map((row) => node("tr", {},
    node("th", { scope: "row", class: "l" }, row.row === null ? short(row.name) : node("button", { type: "button", class: "link", title: row.name, onclick: () => openEvent(row.row) }, short(row.name))),
    node("td", { class: "track" }, bar(row)), node("td", {}, probability(row.p_astro)), node("td", { class: "l" }, row.source_class || ""))))));
};

const TABLES = {
  "known-table": () => [DATA.known, DATA.columns.known, { sort: "gps", falling: false, label: "known mergers" }],
  "uncatalogued-table": () => [DATA.uncatalogued.map((k) => ROWS[k]), DATA.columns.candidates, { sort: "p_astro", label: "candidates no catalogue has" }],
  "candidates-table": () => [SHOWN, DATA.columns.candidates, { sort: "p_astro", label: "candidates" }],
};
for (const [id, content] of Object.entries(TABLES)) if (place(id)) {
  const [rows, columns, options] = content();
  sortable(place(id), columns, rows, options);
}
for (const button of document.querySelectorAll("[data-row]")) button.addEventListener("click", () => openEvent(Number(button.dataset.row)));
if (place("plane")) plane(place("plane"), SHOWN);
if (place("mergers-bars")) mergerBars(place("mergers-bars"));
for (const holder of document.querySelectorAll("[data-chart]")) plot(holder, DATA.charts[holder.dataset.chart], 320);
const choice = place("efficiency-choice");
if (choice) {
  const again = () => plot(place("efficiency"), DATA.charts[choice.value], 320);
  choice.onchange = again;
  again();
}
if (place("single")) {
  const [parts, after] = eventBody(ROWS[0]);
  place("single").replaceChildren(...parts);
  after();
}
// A page of paper is narrower than the screen.
const drawnPlots = () => document.querySelectorAll(".js-plotly-plot");
addEventListener("beforeprint", () => { for (const holder of drawnPlots()) Plotly.relayout(holder, { width: Math.min(holder.clientWidth, holder.id === "plane" ? 540 : holder.closest(".half") ? 470 : 800) }); });
addEventListener("afterprint", () => { for (const holder of drawnPlots()) Plotly.relayout(holder, { width: null, autosize: true }); });

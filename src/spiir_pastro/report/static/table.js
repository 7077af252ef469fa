// A table that sorts by any column and filters by words and by conditions like snr>10.
const cells = {
  text: (v) => v === null ? "–" : String(v),
  number: (v) => number(v),
  probability,
  yes: (v) => v ? "yes" : "no",
  gps: (v) => v === null ? "–" : v.toFixed(2),
};
const CONDITION = /^([a-z_0-9]+)(<=|>=|<|>|=)(.+)$/i;
const conditions = (text, columns) => text.trim().split(/\s+/).filter(Boolean).map((word) => {
  const [, name, sign, right] = word.match(CONDITION) || [];
  const column = name && columns.find((c) => c.key.toLowerCase() === name.toLowerCase());
  if (!column) {
    const wanted = word.toLowerCase();
    return (row) => columns.some((c) => c.kind === "text" && String(row[c.key] ?? "").toLowerCase().includes(wanted));
  }
  const value = Number(right);
  const compare = { "<": (v) => v < value, ">": (v) => v > value, "<=": (v) => v <= value, ">=": (v) => v >= value,
    "=": (v) => Number.isNaN(value) ? String(v).toLowerCase() === right.toLowerCase() : Number(v) === value };
  return (row) => row[column.key] !== null && compare[sign](row[column.key]);
});
const bar = (row) => {
  const made = node("span", { class: "bar", role: "img", "aria-label": DATA.sources.map((s) => `${s} ${probability(row[s])}`).join(", ") });
  for (const source of DATA.sources)
    made.append(node("i", { style: `width:${100 * (row[source] || 0)}%;background:${css(source)}` }));
  return made;
};
const sortable = (holder, columns, rows, { page = 25, sort = null, falling = true, label }) => {
  let order = sort, down = falling, from = 0;
  const search = node("input", { type: "search", placeholder: "filter: words, or far_hz<1e-6 p_astro>0.5", "aria-label": `Filter ${label}`,
    oninput: () => { from = 0; draw(); } });
  const count = node("span", { class: "dim", role: "status" });
  const before = node("button", { type: "button", onclick: () => { from -= page; draw(); } }, "‹ back");
  const after = node("button", { type: "button", onclick: () => { from += page; draw(); } }, "more ›");
  const heads = columns.map((column) => node("th", { scope: "col", class: column.kind === "text" ? "l" : "" },
    column.kind === "bar" ? column.label : node("button", { type: "button", title: `Sort by ${column.label}`, onclick: () => {
      down = order === column.key ? !down : column.kind !== "text";
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
    if (column.kind === "bar") return node("td", {}, bar(row));
    const text = cells[column.kind](row[column.key] ?? null);
    const left = column.kind === "text" ? "l" : "";
    if (column.opens && row.row !== null && row.row !== undefined && row[column.key] !== null)
      return node("td", { class: left }, node("button", { type: "button", class: "link", title: text, onclick: () => openEvent(row.row) }, text.split("/").pop()));
    return node("td", { class: `${left} ${column.wide ? "wide" : ""}` }, text);
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
  holder.replaceChildren(node("div", { class: "tools" }, search, count, before, after),
    node("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      node("table", {}, node("thead", {}, node("tr", {}, ...heads)), body)));
};

/** The graph as a table: the same memories and facts, for whoever reads rather than looks. */

import { fill, h } from "./dom.js";
import { clipped, count, day, figure } from "./times.js";

const MOST_ROWS = 200;

/** Return the table. */
export function GraphTable({ onPick }) {
  const filter = h("input", { type: "search", id: "filter", placeholder: "Words or a speaker", oninput: () => draw() });
  const body = h("tbody");
  const told = h("p", { class: "note", role: "status" });
  const element = h("div", { class: "table-box", hidden: true },
    h("div", { class: "table-head" }, h("label", { for: "filter" }, "Filter"), filter, told),
    h("table", {},
      h("caption", { class: "visually-hidden" }, "Memories and facts at this moment, those with the strongest links first"),
      h("thead", {}, h("tr", {}, ["What", "Who", "When", "Links", "Strongest"].map((name, place) =>
        h("th", { scope: "col", class: place > 2 ? "number" : null }, name)))),
      body));
  let rows = [];

  function draw() {
    const wanted = filter.value.trim().toLowerCase();
    const found = rows.filter((row) => !wanted || `${row.who} ${row.text}`.toLowerCase().includes(wanted));
    told.textContent = found.length > MOST_ROWS ? `the first ${MOST_ROWS} of ${found.length}` : count(found.length, "row");
    fill(body, found.slice(0, MOST_ROWS).map((row) => h("tr", { "aria-selected": row.selected ? "true" : null },
      h("th", { scope: "row" }, h("span", { class: `dot dot-${row.dot}`, "aria-hidden": "true" }),
        h("button", { type: "button", class: "as-text", onclick: () => onPick(row.id, row.kind, true) }, row.text ? clipped(row.text, 140) : "(its words were erased)")),
      h("td", {}, row.kind === "fact" ? `fact: ${row.who}` : row.who), h("td", { class: "figures" }, day(row.timeMs)),
      h("td", { class: "number figures" }, row.links), h("td", { class: "number figures" }, row.strongest ? figure(row.strongest) : "–"))));
  }

  return {
    element,
    /** Show a state as of a time. */
    show(state, timeMs, selected) {
      if (element.hidden) return;
      const links = new Map();
      for (const edge of state.edges.values()) {
        const weight = state.weight(edge, timeMs);
        for (const id of edge.ids) {
          const [number, most] = links.get(id) ?? [0, 0];
          links.set(id, [number + 1, Math.max(most, weight)]);
        }
      }
      const memories = [...state.memories.values()].map((one) => ({
        id: one.id, kind: "memory", dot: one.role === "agent" ? "agent" : "user", text: one.text, who: one.speaker, timeMs: one.timeMs,
        links: links.get(one.id)?.[0] ?? 0, strongest: links.get(one.id)?.[1] ?? 0, selected: one.id === selected,
      }));
      const facts = state.shownFacts.map((one) => ({
        id: one.id, kind: "fact", dot: "fact", text: one.text, who: one.subject, timeMs: one.fromMs, links: one.evidence.length, strongest: 0,
        selected: one.id === selected,
      }));
      rows = [...facts, ...memories.sort((one, other) => other.strongest - one.strongest || other.timeMs - one.timeMs)];
      draw();
    },
  };
}

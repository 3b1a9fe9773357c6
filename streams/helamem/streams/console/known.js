/** What is known: the facts of a space and the profile that they come to. */

import { fill, h } from "./dom.js";
import { clipped, count, day } from "./times.js";

const KINDS = { "user-model": "about a person", fact: "fact", "agent-knowledge": "what an agent knows" };

/** Return the list of facts. */
export function Known({ onPick }) {
  const head = h("h2", { id: "known-title" });
  const list = h("ul", { class: "facts" });
  let last = null;
  return {
    element: h("section", { class: "known", "aria-labelledby": "known-title" }, head, list),
    show(facts, selected = null) {
      const now = [selected, ...facts.map((fact) => `${fact.id} ${fact.toMs} ${fact.text?.length}`)].join();
      if (now === last) return;
      last = now;
      head.textContent = facts.length ? count(facts.length, "fact") : "No facts yet";
      fill(list, facts.length
        ? facts.map((fact) => Item(fact, selected, onPick))
        : h("li", { class: "note" }, "Facts are distilled where recalls have linked memories strongly."));
    },
  };
}

function Item(fact, selected, onPick) {
  const over = fact.toMs !== null;
  return h("li", { class: over ? "fact fact-over" : "fact" },
    h("button", { type: "button", class: "fact-text", "data-id": fact.id, "aria-pressed": String(fact.id === selected), onclick: () => onPick(fact.id, "fact") },
      fact.text === null || fact.text === "" ? "(its words were erased)" : clipped(fact.text, 180)),
    h("p", { class: "note" },
      `${fact.subject || KINDS[fact.factKind] || fact.factKind} · ${over ? `${day(fact.fromMs)} to ${day(fact.toMs)}` : `since ${day(fact.fromMs)}`} · ${count(fact.evidence.length, "memory", "memories")}`));
}

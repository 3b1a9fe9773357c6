/** What is selected: a memory with what it is linked to, or a fact with what it rests on. */

import { fill, h } from "./dom.js";
import { clipped, count, day, figure, moment, short } from "./times.js";

const MOST_LINKS = 25;

/** Return the panel; `place` is the address of its lineage. */
export function Detail({ onPick, onClose, place }) {
  const element = h("section", { class: "detail", "aria-labelledby": "detail-title", tabindex: "-1" });

  const top = (kind, title) =>
    h("header", { class: "detail-head" },
      h("h2", { id: "detail-title" }, h("span", { class: `dot dot-${kind}`, "aria-hidden": "true" }), title),
      h("button", { type: "button", class: "quiet", onclick: onClose }, "Close"));

  const words = (text) =>
    h("p", { class: text ? "words" : "words note" }, text || "Its words were erased.");

  const links = (title, rows) => [
    h("h3", {}, title),
    h("ul", { class: "links" }, rows.length ? rows : h("li", { class: "note" }, "None at this moment.")),
  ];

  const row = (id, kind, text, value, share, to = null) =>
    h("li", {},
      value !== null && h("span", { class: "weight figures" }, figure(value),
        h("span", { class: "weight-bar", "aria-hidden": "true" }, h("span", { style: { width: `${100 * share}%` } }))),
      h("button", { type: "button", class: "as-text", onclick: () => onPick(id, kind) }, text),
      to && h("a", { href: to, "aria-label": `Why they are linked: ${text}` }, "why"));

  return {
    element,
    /** Show a memory. `links` are `[id, weight, lastMs]`, `near` the turns beside it, `facts` those that rest on it. */
    memory(memory, { learned, near, facts, textOf, when, peak, hidden }) {
      const most = Math.max(peak, 1e-9);
      fill(element,
        top(memory.role === "agent" ? "agent" : "user", memory.speaker),
        words(memory.text),
        h("dl", { class: "figures" },
          h("dt", {}, "Said"), h("dd", {}, moment(memory.timeMs)),
          h("dt", {}, "Conversation"), h("dd", {}, memory.conversation),
          h("dt", {}, "Memory"), h("dd", {}, h("code", { title: memory.id }, short(memory.id))),
          hidden && [h("dt", {}, "Hidden"), h("dd", {}, "Forgotten: recalls do not find it")]),
        h("p", {}, h("a", { class: "button", href: place(memory.id) }, "Where it came from")),
        links(`${count(learned.length, "learned link")}${when ? ` on ${day(when)}` : ""}`,
          learned.slice(0, MOST_LINKS).map(([id, weight]) => row(id, "memory", clipped(textOf(id), 120), weight, weight / most, place(memory.id, id)))),
        learned.length > MOST_LINKS && h("p", { class: "note" }, `and ${learned.length - MOST_LINKS} weaker ones`),
        links("Turns beside it", near.map((id) => row(id, "memory", clipped(textOf(id), 120), null, 0))),
        facts.length > 0 && links("Facts that rest on it", facts.map((fact) => row(fact.id, "fact", clipped(fact.text ?? "(erased)", 120), null, 0))));
    },
    /** Say that what is selected is not there at this moment. */
    absent() {
      fill(element, top("absent", "Not there yet"), h("p", { class: "words note" }, "At this moment the log did not hold it, or it is over."));
    },
    /** Show a fact. */
    fact(fact, { textOf }) {
      fill(element,
        top("fact", fact.subject || "Fact"),
        words(fact.text),
        h("dl", { class: "figures" },
          h("dt", {}, "Holds"),
          h("dd", {}, fact.toMs === null ? `since ${moment(fact.fromMs)}` : `${moment(fact.fromMs)} to ${moment(fact.toMs)}`),
          h("dt", {}, "Kind"), h("dd", {}, fact.factKind),
          h("dt", {}, "Fact"), h("dd", {}, h("code", { title: fact.id }, short(fact.id))),
          fact.by && [h("dt", {}, "Superseded"), h("dd", {}, h("button", { type: "button", class: "as-link", onclick: () => onPick(fact.by, "fact") }, "by a newer fact"))]),
        h("p", {}, h("a", { class: "button", href: place(fact.id) }, "Where it came from")),
        links("Rests on", fact.evidence.map((id) => row(id, "memory", clipped(textOf(id), 160), null, 0))));
    },
  };
}

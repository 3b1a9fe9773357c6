/** Where something came from, down to the messages, and what an event caused. */

import * as api from "./api.js";
import { fill, h, say } from "./dom.js";
import { LineageList } from "./lineage_list.js";
import { Facts, nameOf, wordsOf } from "./lineage_node.js";
import { LineagePicture } from "./lineage_picture.js";
import { Refused } from "./refused.js";
import { clipped, count, day, ms } from "./times.js";

const TRACE = "trace";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Show the view: of a fact or memory, of the link between two memories, or forward from an event. */
export async function lineage(main, { space, rest, signal, address }) {
  if (!rest.length) {
    await chooser(main, { space, signal, address });
    return;
  }
  const forward = rest[0] === TRACE;
  fill(main, h("p", { class: "note reading", role: "status" }, "Reading the log…"));
  const found = forward ? await api.trace(space, rest[1]) : await api.why(space, rest[0], rest[1] ?? null);
  if (signal.aborted) return;
  const root = found.lineage;
  const aside = h("aside", { class: "side lineage-side", "aria-label": "The chosen part" });
  const list = LineageList(root, look);
  const picture = forward ? null : LineagePicture(root, look, signal);
  const body = h("div", { class: "lineage-body" }, picture ?? list);

  function look(node) {
    fill(aside, h("section", { class: "detail" },
      h("div", { class: "detail-head" }, h("h2", {}, nameOf(node))),
      h("p", { class: "words" }, wordsOf(node)),
      Facts(node),
      h("p", { class: "links-line" },
        node.event_type && h("a", { class: "button", href: address("lineage", space, TRACE, node.id) }, "What it caused"),
        (node.kind === "memory" || node.kind === "fact") && h("a", { class: "button", href: address("explore", space, node.id) }, "In the graph"),
        node.kind === "memory" && node.id !== root.id && h("a", { class: "button", href: address("lineage", space, node.id) }, "Where it came from"))));
    say(`${nameOf(node)}: ${clipped(wordsOf(node), 120)}`);
  }

  const shows = (name) => (event) => {
    for (const button of event.target.parentElement.children) button.setAttribute("aria-pressed", String(button === event.target));
    fill(body, name === "Picture" ? picture : list);
  };
  fill(main,
    h("div", { class: "lineage" },
      h("header", { class: "lineage-head" },
        h("h1", {}, forward ? `What this ${nameOf(root).toLowerCase()} caused` : `Where this ${nameOf(root).toLowerCase()} came from`),
        h("p", { class: "note" }, found.problems.length ? "" : "Read and folded again from the log; nothing in it is missing or contradicts it."),
        picture && h("div", { class: "tools", role: "group", "aria-label": "Form" },
          ["Picture", "List"].map((name) => h("button", { type: "button", "aria-pressed": String(name === "Picture"), onclick: shows(name) }, name)))),
      found.problems.length > 0 && h("div", { class: "refused", role: "alert" }, h("ul", {}, found.problems.map((one) => h("li", {}, one)))),
      body),
    aside);
  look(root);
}

/** Ask what is meant: an id, or one of the facts. */
async function chooser(main, { space, signal, address }) {
  const field = h("input", { id: "thing", type: "text", placeholder: "Id of a fact, a memory or an event", autocomplete: "off", spellcheck: "false" });
  const refusal = h("div");
  const list = h("ul", { class: "facts" });
  async function go(event) {
    event.preventDefault();
    const id = field.value.trim();
    if (!id) return;
    if (!UUID.test(id)) {
      location.hash = address("lineage", space, TRACE, id);
      return;
    }
    try {
      await api.why(space, id);
      location.hash = address("lineage", space, id);
    } catch (error) {
      if (error.status === 404) location.hash = address("lineage", space, TRACE, id);
      else fill(refusal, Refused(error));
    }
  }
  fill(main, h("section", { class: "chooser" },
    h("h1", {}, "Lineage"),
    h("p", { class: "note" }, "Where a fact, a memory or a link came from, with the place and the hash of each record, and what an event caused."),
    h("form", { onsubmit: go }, h("label", { for: "thing" }, "Id"),
      h("div", { class: "search-line" }, field, h("button", { type: "submit", class: "primary" }, "Show"))),
    refusal,
    h("h2", {}, "Facts of this space"), list));
  const facts = (await api.facts(space)).filter((fact) => !fact.hidden).reverse();
  if (signal.aborted) return;
  fill(list, facts.length
    ? facts.map((fact) => h("li", { class: "fact" },
      h("a", { class: "fact-text", href: address("lineage", space, fact.id) }, clipped(fact.text || "(its words were erased)", 200)),
      h("p", { class: "note" }, `${fact.subject} · since ${day(ms(fact.valid_from))} · ${count(fact.evidence.length, "memory", "memories")}`)))
    : h("li", { class: "note" }, "None yet: facts are distilled where recalls have linked memories strongly."));
}

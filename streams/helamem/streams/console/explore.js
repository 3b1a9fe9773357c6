/** Exploring a space: search it, see what is known, look at one thing. */

import * as api from "./api.js";
import { Detail } from "./detail.js";
import { fill, h, say } from "./dom.js";
import { Known } from "./known.js";
import { Search } from "./search.js";
import { clipped, ms } from "./times.js";

/** Show the view. */
export async function explore(main, { space, signal, address }) {
  const facts = (await api.facts(space)).filter((fact) => !fact.hidden).map(factOf).reverse();
  if (signal.aborted) return;
  const byId = new Map(facts.map((fact) => [fact.id, fact]));
  const texts = new Map();
  const textOf = (id) => texts.get(id) ?? "a memory";
  const known = Known({ onPick: pick });
  const detail = Detail({ onPick: pick, onClose: close, place: (id) => address("lineage", space, id) });
  const side = h("aside", { class: "side", "aria-label": "What is known" }, known.element);
  const search = Search({
    space, signal, asOf: () => null, onPick: pick,
    onResults: (hits) => hits.forEach((hit) => texts.set(hit.id, hit.text)),
  });

  async function pick(id, kind) {
    try {
      if (kind === "fact") {
        const fact = byId.get(id);
        await Promise.all(fact.evidence.filter((one) => !texts.has(one)).map(async (one) => {
          texts.set(one, (await api.memory(space, one)).text);
        }));
        detail.fact(fact, { textOf });
      } else {
        const { memory, neighbours } = await api.neighbours(space, id, null);
        for (const one of neighbours) texts.set(one.memory_id, one.memory?.text || "(its words were erased)");
        detail.memory({ ...memory, timeMs: ms(memory.time) }, {
          learned: neighbours.map((one) => [one.memory_id, one.weight]), near: memory.previous ? [memory.previous] : [],
          facts: facts.filter((fact) => fact.evidence.includes(id)), textOf, when: null,
          peak: neighbours[0]?.weight ?? 0, hidden: memory.hidden,
        });
      }
      fill(side, detail.element);
      say(`Selected: ${clipped(detail.element.querySelector(".words").textContent, 120)}`);
    } catch (error) {
      say(error.message);
    }
  }

  function close() {
    fill(side, known.element);
  }

  known.show(facts);
  fill(main, h("h1", { class: "visually-hidden" }, `Explore ${space}`), search.element, side);
  search.field.focus();
}

function factOf(fact) {
  return { ...fact, factKind: fact.kind, fromMs: ms(fact.valid_from), toMs: fact.valid_until ? ms(fact.valid_until) : null, by: null };
}

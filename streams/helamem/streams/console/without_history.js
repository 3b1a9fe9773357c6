/** A key that may recall and not audit: there is no history, but what is there now can be looked at. */

import * as api from "./api.js";
import { ms } from "./times.js";

/** Return what looks up facts and memories and shows them. */
export async function WithoutHistory({ space, known, detail }) {
  const facts = (await api.facts(space)).filter((fact) => !fact.hidden).map((fact) => ({
    ...fact, factKind: fact.kind, fromMs: ms(fact.valid_from), toMs: fact.valid_until ? ms(fact.valid_until) : null, by: null,
  })).reverse();
  const texts = new Map();
  const textOf = (id) => texts.get(id) || "(its words were erased)";
  known.show(facts);

  async function read(ids) {
    for (const memory of await Promise.all(ids.filter((id) => !texts.has(id)).map((id) => api.memory(space, id)))) {
      texts.set(memory.id, memory.text);
    }
  }

  return async (id, kind) => {
    if (kind === "fact") {
      const fact = facts.find((one) => one.id === id);
      await read(fact.evidence);
      detail.fact(fact, { textOf });
      return;
    }
    const { memory, neighbours } = await api.neighbours(space, id, null);
    for (const one of neighbours) texts.set(one.memory_id, one.memory?.text);
    await read(memory.previous ? [memory.previous] : []);
    detail.memory({ ...memory, timeMs: ms(memory.time) }, {
      learned: neighbours.map((one) => [one.memory_id, one.weight]), near: memory.previous ? [memory.previous] : [],
      facts: facts.filter((fact) => fact.evidence.includes(id)), textOf, when: null, peak: neighbours[0]?.weight ?? 0,
      hidden: memory.hidden,
    });
  };
}

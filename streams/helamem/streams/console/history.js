/**
 * What a space was at any moment: changes in the order in which the log took them, and the state that they come to.
 *
 * A moment can be read by two clocks. `recorded` is when the log took a record. `told` is the time of what was said:
 * the latest event time so far. Both give the same states in the same order, so a history that was imported within
 * seconds can still be walked through by the months that it tells of.
 */

import { ms } from "./times.js";

/** The name of the link between two memories. */
export const pairOf = (one, other) => (one < other ? `${one} ${other}` : `${other} ${one}`);

/** All changes of a space. */
export class History {
  constructor() {
    this.changes = [];
    this.halfLifeMs = null;
    this.maxWeight = 1;
    this.resume = null;
    this.told = [];
    this.recorded = [];
    /** Of every link the largest weight that it ever had. */
    this.strongest = new Map();
    /** The largest weight that any link ever had. */
    this.peak = 0;
    /** How many erasures it tells of. */
    this.erasures = 0;
  }

  /** Take a page of an answer. */
  add(page) {
    this.halfLifeMs = page.half_life_s * 1000;
    this.maxWeight = page.max_weight;
    this.resume = page.next ?? page.resume;
    let told = this.told.at(-1) ?? 0;
    let recorded = this.recorded.at(-1) ?? 0;
    for (const change of page.changes) {
      told = Math.max(told, eventTime(change));
      recorded = Math.max(recorded, ms(change.at));
      if (change.kind === "erased") this.#erase(change);
      this.changes.push(change);
      this.told.push(told);
      this.recorded.push(recorded);
      for (const { memory_ids: [one, other], weight } of change.edges ?? []) {
        const pair = pairOf(one, other);
        this.peak = Math.max(this.peak, weight);
        this.strongest.set(pair, Math.max(weight, this.strongest.get(pair) ?? 0));
      }
    }
  }

  /** Take erased words out of what was told before, at every moment; a question of before may hold them too. */
  #erase({ memory_ids: memories, fact_ids: facts }) {
    const gone = new Set([...memories, ...facts]);
    this.erasures += 1;
    for (const change of this.changes) {
      if (change.kind === "memory" && gone.has(change.memory_id)) change.text = null;
      else if (change.kind === "fact" && gone.has(change.fact_id)) change.statement = null;
      else if (change.kind === "links") change.query = null;
    }
  }

  get length() {
    return this.changes.length;
  }

  /** Return the times of the changes by a clock. */
  times(clock) {
    return clock === "told" ? this.told : this.recorded;
  }

  /** Return which clock spreads what happened: an import of months within seconds is walked through by what it tells. */
  get clock() {
    const length = (times) => (times.at(-1) ?? 0) - (times[0] ?? 0);
    return length(this.recorded) * 20 < length(this.told) ? "told" : "recorded";
  }

  /** Return how many changes there were at a time. */
  countAt(timeMs, clock) {
    const times = this.times(clock);
    let low = 0;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] <= timeMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function eventTime(change) {
  if (change.kind === "memory") return ms(change.time);
  if (change.kind !== "links") return 0;
  return change.edges.reduce((latest, edge) => Math.max(latest, ms(edge.last_strengthened)), 0);
}

/** What a space is after some of its changes. */
export class State {
  constructor(history) {
    this.history = history;
    this.reset();
  }

  reset() {
    this.index = 0;
    this.erasures = this.history.erasures;
    this.memories = new Map();
    this.edges = new Map();
    this.facts = new Map();
    this.hidden = new Set();
    /** What was asked, in order. */
    this.asked = [];
  }

  /** Go to where so many changes have happened, back or forth. */
  goTo(index) {
    if (index < this.index || this.erasures < this.history.erasures) this.reset();
    for (; this.index < index; this.index++) this.#apply(this.history.changes[this.index]);
    return this;
  }

  /** Return the weight of a link as it has faded by a time of what is told. */
  weight(edge, toldMs) {
    const { halfLifeMs } = this.history;
    return edge.weight * 2 ** (-Math.max(0, toldMs - edge.lastMs) / halfLifeMs);
  }

  /** Return the links of a memory, the strongest first: `[other id, weight, last strengthened]`. */
  linksOf(id, toldMs) {
    const found = [];
    for (const edge of this.edges.values()) {
      if (edge.ids[0] !== id && edge.ids[1] !== id) continue;
      found.push([edge.ids[0] === id ? edge.ids[1] : edge.ids[0], this.weight(edge, toldMs), edge.lastMs]);
    }
    return found.sort((one, other) => other[1] - one[1]);
  }

  /** Return the facts that are shown, the newest first. */
  get shownFacts() {
    return [...this.facts.values()].filter((fact) => !fact.gone).sort((one, other) => other.fromMs - one.fromMs);
  }

  #apply(change) {
    switch (change.kind) {
      case "memory":
        this.memories.set(change.memory_id, {
          id: change.memory_id, conversation: change.conversation, speaker: change.speaker, role: change.role,
          text: change.text, timeMs: ms(change.time), previous: change.previous, eventId: change.event_id,
        });
        if (change.hidden) this.hidden.add(change.memory_id);
        break;
      case "links":
        if (change.query && !change.reinforced) this.asked.push(change.query);
        for (const { memory_ids: ids, weight, last_strengthened: last } of change.edges) {
          this.edges.set(pairOf(...ids), { ids, weight, lastMs: ms(last) });
        }
        for (const ids of change.pruned) this.edges.delete(pairOf(...ids));
        break;
      case "fact":
        this.facts.set(change.fact_id, {
          id: change.fact_id, subject: change.subject, factKind: change.fact_kind,
          text: change.statement, fromMs: ms(change.valid_from), toMs: change.valid_to ? ms(change.valid_to) : null,
          evidence: change.evidence, by: null, gone: change.hidden,
        });
        break;
      case "retraction":
        this.#fact(change.fact_id, { gone: true });
        break;
      case "superseded":
        this.#fact(change.fact_id, { by: change.by, toMs: ms(change.valid_to) });
        break;
      case "reinstated":
        this.#fact(change.fact_id, { by: null, toMs: null });
        break;
      case "hidden":
        for (const id of change.memory_ids) this.hidden.add(id);
        break;
      case "shown":
        for (const id of change.memory_ids) this.hidden.delete(id);
        break;
      case "erased":
        for (const id of change.memory_ids) this.hidden.add(id);
        break;
      default: // a newer gateway tells of what this page does not draw
    }
  }

  #fact(id, parts) {
    const fact = this.facts.get(id);
    if (fact) this.facts.set(id, { ...fact, ...parts });
  }
}

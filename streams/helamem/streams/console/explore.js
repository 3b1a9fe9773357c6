/** Exploring a space: its graph at any moment, what a search finds in it, what is known, and one thing of it. */

import * as api from "./api.js";
import { Detail } from "./detail.js";
import { calmly, fill, h, say } from "./dom.js";
import { canDraw, GraphPicture } from "./graph.js";
import { History, pairOf, State } from "./history.js";
import { Known } from "./known.js";
import { Refused } from "./refused.js";
import { Search } from "./search.js";
import { GraphTable } from "./table.js";
import { Timeline } from "./timeline.js";
import { clipped, count, figure } from "./times.js";
import { WithoutHistory } from "./without_history.js";

/** Show the view. */
export async function explore(main, { space, rest, signal, address }) {
  const history = new History();
  const state = new State(history);
  let selected = null; // { id, kind }
  let hits = [];
  let timeline = null;
  let picture = null;
  let drawn = 0; // changes that the picture has
  let lookUp = null; // what shows one thing where there is no history

  const known = Known({ onPick: pick });
  const detail = Detail({ onPick: pick, onClose: () => choose(null), place: (...ids) => address("lineage", space, ...ids) });
  const side = h("aside", { class: "side", "aria-label": "What is known, or selected" }, known.element);
  const reading = h("p", { class: "reading note", role: "status" }, "Reading the history…");
  const middle = h("div", { class: "stage" }, reading);
  const search = Search({
    space, signal, onPick: pick,
    asOf: () => (timeline && !timeline.now ? new Date(Math.round(timeline.timeMs)).toISOString() : null),
    onResults(found) {
      hits = found;
      mark();
    },
  });
  fill(main, h("h1", { class: "visually-hidden" }, `Explore ${space}`), search.element, middle, side);

  try {
    await read();
  } catch (error) {
    if (signal.aborted) return;
    fill(middle, Refused(error));
    lookUp = await WithoutHistory({ space, known, detail });
    return;
  }
  if (signal.aborted) return;
  begin();

  async function read() {
    for (let page = null; page === null || page.next; ) {
      page = await api.history(space, page?.next ?? history.resume, { signal });
      history.add(page);
      reading.textContent = `Reading the history: ${count(history.length, "change")}…`;
    }
  }

  function begin() {
    const table = GraphTable({ onPick: pick });
    timeline = Timeline({ history, signal, onMoment: ({ index, timeMs }) => showMoment(index, timeMs) });
    if (canDraw()) picture = GraphPicture({ onPick: pick, signal });
    else table.element.hidden = false;
    const views = h("div", { class: "tools", role: "group", "aria-label": "View" },
      ["Graph", "Table"].map((name) => h("button", { type: "button", "aria-pressed": String(name === "Graph" ? picture !== null : picture === null), onclick: choosesView }, name)),
      h("button", { type: "button", class: "only-narrow", onclick: () => choose(null, true) }, "Facts"));
    const zooms = h("div", { class: "tools zooms", role: "group", "aria-label": "Zoom" },
      h("button", { type: "button", "aria-label": "Zoom in", onclick: () => picture.zoom(1.5) }, "+"),
      h("button", { type: "button", "aria-label": "Zoom out", onclick: () => picture.zoom(1 / 1.5) }, "−"),
      h("button", { type: "button", "aria-label": "Show all", onclick: () => picture.zoom(0) }, "All"));
    const legend = Legend();
    fill(middle,
      h("div", { class: "canvas" },
        picture ? picture.element : h("p", { class: "note" }, "This browser has no WebGL, so there is the table alone."),
        table.element, views, picture && zooms, picture && legend.element),
      timeline.element);
    middle.classList.add("begun");

    function choosesView(event) {
      const isTable = event.target.textContent === "Table";
      for (const button of views.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", String(button === event.target));
      table.element.hidden = !isTable;
      for (const part of [picture?.element, zooms, legend.element]) part?.toggleAttribute("hidden", isTable);
      table.show(state, timeline.timeMs, selected?.id);
    }

    function showMoment(index, timeMs) {
      state.goTo(index);
      let links = 0;
      for (const edge of state.edges.values()) if (state.weight(edge, timeMs) >= history.peak * 0.01) links += 1;
      const facts = state.shownFacts;
      timeline.tell(state.memories.size, links, facts.length);
      legend.tell(history.peak, picture?.undrawn(state) ?? 0);
      picture?.show(state, timeMs, history.peak);
      table.show(state, timeMs, selected?.id);
      known.show(facts, selected?.id);
      search.asked(state.asked);
      if (selected) drawDetail();
      searchAgain();
    }

    const searchAgain = calmly(() => search.again(), 400);
    extend();
    timeline.draw();
    timeline.goToEnd();
    if (rest[0]) pick(rest[0], state.facts.has(rest[0]) ? "fact" : "memory");
    followEvents();
  }

  function extend() {
    drawn = history.length;
    const sums = new Map();
    for (const [pair, weight] of history.strongest) for (const id of pair.split(" ")) sums.set(id, (sums.get(id) ?? 0) + weight);
    picture?.scale(Math.max(0, ...sums.values()));
    picture?.extend(history);
  }

  /** Take what happens from now on, a moment after it has happened, and what happened while nothing was followed. */
  function followEvents() {
    let taken = Promise.resolve();
    const take = calmly(() => { taken = taken.then(grow); }, 700); // never two at once: both would read the same page
    api.follow(space, take, (how) => {
      timeline.live(how === "following" ? "Live" : "Not live");
      if (how === "following") take();
    }, signal);
  }

  async function grow() {
    const { atEnd } = timeline;
    try {
      await read();
    } catch (error) {
      if (!signal.aborted) timeline.live(error.message);
      return;
    }
    if (signal.aborted || history.length === drawn) return;
    if (history.erasures > state.erasures) say("Words were erased"); // what was said of the selection may have held them
    extend();
    timeline.grown(atEnd);
  }

  async function pick(id, kind, enters = false) {
    if (lookUp) await lookUp(id, kind);
    choose({ id, kind });
    if (enters) detail.element.focus();
  }

  function choose(thing, open = thing !== null) {
    selected = thing;
    fill(side, thing ? detail.element : known.element);
    side.classList.toggle("open", open);
    if (thing) {
      if (timeline) drawDetail();
      picture?.reveal(thing.id);
      say(`Selected: ${clipped(detail.element.querySelector(".words")?.textContent ?? "", 160)}`);
    }
    if (timeline) known.show(state.shownFacts, thing?.id);
    mark();
  }

  function textOf(id) {
    const thing = state.memories.get(id) ?? state.facts.get(id);
    return thing ? (thing.text ?? "(its words were erased)") : "a memory that is not there at this moment";
  }

  function drawDetail() {
    const { id, kind } = selected;
    const thing = kind === "fact" ? state.facts.get(id) : state.memories.get(id);
    if (!thing) detail.absent();
    else if (kind === "fact") detail.fact(thing, { textOf });
    else {
      const learned = state.linksOf(id, timeline.timeMs);
      detail.memory(thing, {
        learned, textOf, peak: history.peak, when: timeline.timeMs, hidden: state.hidden.has(id),
        near: [thing.previous, ...[...state.memories.values()].filter((one) => one.previous === id).map((one) => one.id)].filter(Boolean),
        facts: state.shownFacts.filter((fact) => fact.evidence.includes(id)),
      });
    }
  }

  function mark() {
    const near = !selected || !timeline ? []
      : selected.kind === "fact" ? (state.facts.get(selected.id)?.evidence ?? [])
        : state.linksOf(selected.id, timeline.timeMs).filter(([, weight]) => weight >= history.peak * 0.01).map(([id]) => id);
    picture?.mark({
      selected: selected?.id ?? null, near, hits: hits.map((hit) => hit.id),
      paths: hits.filter((hit) => hit.via).map((hit) => pairOf(hit.id, hit.via)),
    });
  }
}

/** Return what the signs of the graph mean. */
function Legend() {
  const peak = h("span", { class: "figures" });
  const missing = h("li", { hidden: true });
  const line = (kind) => h("span", { class: `sign sign-${kind}`, "aria-hidden": "true" });
  return {
    element: h("ul", { class: "legend", "aria-label": "Legend" },
      h("li", {}, h("span", { class: "dot dot-user", "aria-hidden": "true" }), "said by a person"),
      h("li", {}, h("span", { class: "dot dot-agent", "aria-hidden": "true" }), "by an agent"),
      h("li", {}, h("span", { class: "dot dot-fact", "aria-hidden": "true" }), "fact"),
      h("li", {}, line("learned"), "learned link, thickest ", peak),
      h("li", {}, line("turn"), "next turn"),
      missing),
    tell(weight, undrawn) {
      peak.textContent = figure(weight);
      missing.textContent = `${count(undrawn, "older memory", "older memories")} not drawn; the table has all`;
      missing.hidden = undrawn === 0;
    },
  };
}

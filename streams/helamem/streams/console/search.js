/** Searching a space: what comes, and why. */

import * as api from "./api.js";
import { fill, h, s, say } from "./dom.js";
import { Refused } from "./refused.js";
import { clipped, count, day, figure, moment } from "./times.js";

const REASONS = { base: "Matched", association: "Associated", fact: "Fact" };
const MOST_ASKED = 12;
const WORDS = { base: "It matches the question.", association: "A memory that matches leads to it.", fact: "Distilled from memories." };

/** Return the search: a form, and its results. `asOf` says which moment; `onResults`, `onPick` are told what happened. */
export function Search({ space, asOf, onResults, onPick, signal }) {
  const results = h("div", { class: "results" });
  const asked = h("div", { class: "asked" });
  const field = h("input", { id: "query", type: "search", name: "query", placeholder: "Ask this space…", autocomplete: "off", enterkeyhint: "search", oninput: () => field.value === "" && search() });
  const form = h("form", { class: "search", role: "search", onsubmit: search },
    h("label", { for: "query" }, "Search"),
    h("div", { class: "search-line" }, field, h("button", { type: "submit", class: "primary" }, "Search")),
    h("p", { class: "note" }, "Teaches nothing: it is not recorded as a recall, and no link learns from it."));
  let number = 0;
  let known = { queries: null, length: 0 };

  function ask(query) {
    field.value = query;
    search();
  }

  async function search(event) {
    event?.preventDefault();
    const query = field.value.trim();
    asked.hidden = query !== "";
    if (!query) {
      fill(results);
      onResults([]);
      return;
    }
    const mine = ++number;
    try {
      const answer = await api.recall(space, { query, as_of: asOf() }, { signal });
      if (mine === number) draw(answer);
    } catch (error) {
      if (mine !== number || signal.aborted) return;
      fill(results, Refused(error, search));
      onResults([]);
    }
  }

  function draw({ results: found, as_of: when }) {
    const most = Math.max(...found.map((hit) => hit.score), 0.000001);
    const known = new Map(found.map((hit) => [hit.id, hit]));
    say(found.length ? `${count(found.length, "result")}` : "Nothing was found");
    fill(results,
      h("p", { class: "results-head" },
        found.length ? h("span", {}, count(found.length, "result")) : h("span", {}, "Nothing was found."),
        h("span", { class: "note" }, `as of ${moment(Date.parse(when))}`)),
      found.length > 0 && h("ol", { class: "hits" }, found.map((hit) => Hit(hit, most, known, onPick))));
    onResults(found);
  }

  return {
    element: h("div", { class: "search-box" }, form, results, asked),
    again: () => field.value.trim() && search(),
    /** Say what agents have asked of the space, the latest last. */
    asked(queries) {
      if (queries === known.queries && queries.length === known.length) return;
      known = { queries, length: queries.length };
      const latest = [...new Set(queries.toReversed())].slice(0, MOST_ASKED);
      fill(asked, latest.length > 0 && [
        h("h2", {}, "Asked by agents"),
        h("ul", {}, latest.map((one) => h("li", {}, h("button", { type: "button", class: "as-text", onclick: () => ask(one) }, clipped(one, 140))))),
      ]);
    },
  };
}

function Hit(hit, most, known, onPick) {
  const via = hit.via ? known.get(hit.via) : null;
  return h("li", { class: `hit hit-${hit.path}` },
    h("button", { type: "button", class: "hit-text", onclick: () => onPick(hit.id, hit.kind), "data-id": hit.id },
      hit.text ? clipped(hit.text, 260) : "(its words were erased)"),
    h("p", { class: "hit-meta" },
      h("span", { class: `chip chip-${hit.path}`, title: WORDS[hit.path] }, REASONS[hit.path]),
      h("span", {}, `${hit.speaker} · ${day(Date.parse(hit.time))}`)),
    hit.via && Path(hit, via, onPick),
    Shares(hit, most));
}

/** Return how association led here, drawn: what matched, the link, and this. */
function Path(hit, via, onPick) {
  return h("div", { class: "path" },
    s("svg", { viewBox: "0 0 14 40", width: 14, height: 40, "aria-hidden": "true" },
      s("circle", { cx: 7, cy: 6, r: 4, class: "path-from" }),
      s("path", { d: "M7 11V29M3.5 26 7 31l3.5-5", class: "path-line" }),
      s("circle", { cx: 7, cy: 36, r: 3, class: "path-to" })),
    h("p", {}, "Linked to ",
      h("button", { type: "button", class: "as-link", onclick: () => onPick(hit.via, "memory") },
        via ? `“${clipped(via.text, 90)}”` : "a memory that is not among the results")));
}

/** Return the score in its shares: what matches, and what association adds. */
function Shares(hit, most) {
  const matched = Math.min(hit.base, hit.score);
  const added = Math.max(0, hit.score - matched);
  const text = added > 0.0005
    ? `${figure(hit.score)} = ${figure(matched)} matched + ${figure(added)} linked`
    : `${figure(hit.score)} ${hit.kind === "fact" ? "as a fact" : "matched"}`;
  const part = (value) => `${(100 * Math.max(0, value)) / most}%`;
  return h("div", { class: "shares" },
    h("span", { class: "bar-ground", "aria-hidden": "true" },
      h("span", { class: hit.kind === "fact" ? "share-fact" : "share-base", style: { width: part(matched) } }),
      h("span", { class: "share-association", style: { width: part(added) } })),
    h("span", { class: "note figures" }, h("span", { class: "visually-hidden" }, "Score "), text));
}

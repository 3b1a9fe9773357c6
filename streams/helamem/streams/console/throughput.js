/** How much goes through and how late it is: this gateway's own metrics, and the events of the space as they come. */

import * as api from "./api.js";
import { fill, h, s } from "./dom.js";
import { quantile, rate, Sample } from "./metrics.js";
import { Refused } from "./refused.js";
import { clipped, exact, ms, span } from "./times.js";

const EVERY_MS = 2000;
const KEPT = 91; // three minutes
const MOST_EVENTS = 60;
const GROUPS = ["encoding", "co-activation", "consolidation"];
const perSecond = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

const FIGURES = [
  { name: "Messages", unit: "a second", of: (one, other) => rate(one, other, "helamem_records_consumed_total", { group: "encoding" }), told: perSecond },
  { name: "Recalls answered", unit: "a second", of: (one, other) => rate(one, other, "helamem_recall_seconds_count", { stage: "total" }), told: perSecond },
  { name: "Links strengthened", unit: "a second", of: (one, other) => rate(one, other, "helamem_edges_updated_total") / 2, told: perSecond },
  { name: "Requests", unit: "a second", of: (one, other) => rate(one, other, "helamem_http_requests_total"), told: perSecond },
  { name: "Waiting", unit: "records", of: (_, other) => GROUPS.reduce((sum, group) => sum + other.sum("helamem_lag_records", { group }), 0), told: (value) => value.toLocaleString("en") },
  { name: "Latest is late by", unit: "", of: (_, other) => other.most("helamem_lag_seconds"), told: span },
];

/** Show the view. */
export async function throughput(main, { space, signal }) {
  const samples = [];
  const tiles = FIGURES.map((figure) => ({ figure, value: h("p", { class: "tile-value figures" }, "–"), line: s("svg", { viewBox: "0 0 180 36", preserveAspectRatio: "none", "aria-hidden": "true" }) }));
  const groups = h("tbody");
  const fresh = h("p", { class: "figures" });
  const events = h("ol", { class: "events" });
  const state = h("p", { class: "note", role: "status" }, "Connecting…");
  const refusal = h("div");
  fill(main, h("div", { class: "page" },
    h("h1", {}, "Throughput"),
    h("p", { class: "note" }, `What this gateway counts, every ${EVERY_MS / 1000} seconds, over three minutes.`),
    refusal,
    h("ul", { class: "tiles" }, tiles.map(({ figure, value, line }) => h("li", { class: "tile" }, h("h2", {}, figure.name), value, line))),
    h("div", { class: "halves" },
      h("section", { "aria-labelledby": "groups-title" },
        h("h2", { id: "groups-title" }, "Processors"),
        h("table", {}, h("thead", {}, h("tr", {}, ["Processor", "Records a second", "Waiting", "Late by", "Put aside"].map((name, place) => h("th", { scope: "col", class: place ? "number" : null }, name)))), groups),
        h("h2", {}, "Until a message can be recalled"), fresh),
      h("section", { "aria-labelledby": "events-title" },
        h("h2", { id: "events-title" }, `Events of ${space}`), state, events))));

  async function look() {
    try {
      samples.push(new Sample(await api.metrics(), Date.now()));
      fill(refusal);
    } catch (error) {
      fill(refusal, Refused(error));
      return error.status !== 403 && error.status !== 401;
    }
    if (samples.length > KEPT) samples.shift();
    if (samples.length > 1) draw();
    return true;
  }

  function draw() {
    const [first, before, now] = [samples[0], samples.at(-2), samples.at(-1)];
    for (const { figure, value, line } of tiles) {
      const values = samples.slice(1).map((sample, number) => figure.of(samples[number], sample));
      fill(value, figure.told(values.at(-1)), h("span", { class: "note" }, ` ${figure.unit}`));
      const most = Math.max(...values, 1e-9);
      const x = (number) => 180 - (values.length - 1 - number) * (180 / (KEPT - 2));
      const points = values.map((one, number) => `${x(number).toFixed(1)} ${(34 - (32 * one) / most).toFixed(1)}`);
      fill(line, s("path", { d: `M${points.join("L")}L180 36L${x(0)} 36Z`, class: "spark-ground" }), s("path", { d: `M${points.join("L")}`, class: "spark" }));
    }
    fill(groups, GROUPS.map((group) => h("tr", {}, h("th", { scope: "row" }, group),
      h("td", { class: "number figures" }, perSecond(rate(before, now, "helamem_records_consumed_total", { group }))),
      h("td", { class: "number figures" }, now.sum("helamem_lag_records", { group }).toLocaleString("en")),
      h("td", { class: "number figures" }, span(now.most("helamem_lag_seconds", { group }))),
      h("td", { class: "number figures" }, now.sum("helamem_records_dead_lettered_total", { group }).toLocaleString("en")))));
    const of = (share) => quantile(first, now, "helamem_freshness_seconds", share, { since: "append" });
    fresh.textContent = of(0.5) === null ? "No message in these minutes." : `half of them ${span(of(0.5))} after the log took it, 95 of 100 within ${span(of(0.95))}`;
  }

  api.follow(space, (event) => {
    if (event.type.startsWith("subject.erased")) events.replaceChildren(); // the words of any of them may be erased
    events.prepend(Event(event));
    while (events.childElementCount > MOST_EVENTS) events.lastChild.remove();
    state.textContent = "Live";
  }, (how, why) => { state.textContent = how === "following" ? "Live: nothing has happened since this page was opened" : `Not live: ${why}`; }, signal);

  for (let goes = true; goes && !signal.aborted; ) {
    goes = await look();
    await new Promise((done) => { setTimeout(done, samples.length < 2 ? EVERY_MS / 2 : EVERY_MS); });
  }
}

function Event({ type, time, position, data }) {
  const words = data.text ?? data.query ?? data.reason ?? "";
  return h("li", {}, h("span", { class: "tag" }, type.replace(/\.v\d+$/, "")), " ",
    h("span", { class: "event-words" }, data.speaker ? `${data.speaker}: ` : "", clipped(String(words), 160)),
    h("span", { class: "note figures" }, ` ${exact(ms(time))} · `, h("code", {}, `${position.partition} @ ${position.offset}`)));
}

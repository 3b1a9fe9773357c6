/** The time slider: any moment of a space, by what its messages tell or by when the log took them. */

import { fill, h, s, say, still } from "./dom.js";
import { count, moment } from "./times.js";

const STEPS = 1000;
const WHOLE_S = 24; // of play from the beginning to the end, at speed 1
const STILL_MS = 900; // between two jumps where things should not move
const BINS = 120;
const PLAY = "M5 3.5v11l9-5.5z";
const PAUSE = "M6 4v10M12 4v10";

/** Return the slider. `onMoment({ index, timeMs, now })` is told where it is. */
export function Timeline({ history, onMoment, signal }) {
  let clock = history.clock;
  let timeMs = 0;
  let now = false;
  let index = 0;
  let playing = 0;

  const play = h("button", { type: "button", class: "play", onclick: toggle, "aria-label": "Play" }, icon(PLAY, "icon-full"));
  const back = h("button", { type: "button", class: "quiet", onclick: () => step(-1), "aria-label": "Previous change" }, icon("M11.5 4 6 9l5.5 5M5 4v10"));
  const on = h("button", { type: "button", class: "quiet", onclick: () => step(1), "aria-label": "Next change" }, icon("M6.5 4 12 9l-5.5 5M13 4v10"));
  const slider = h("input", { type: "range", min: 0, max: STEPS, step: 1, id: "time", "aria-label": "Moment", oninput: () => goTo(timeAt(Number(slider.value) / STEPS)) });
  const density = s("svg", { class: "density", viewBox: `0 0 ${BINS} 24`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const where = h("output", { for: "time", class: "moment figures" });
  const counts = h("span", { class: "note figures" });
  const clocks = h("select", { "aria-label": "Clock", onchange: () => { clock = clocks.value; draw(); goTo(end(), true); } },
    h("option", { value: "told" }, "by what is told"), h("option", { value: "recorded" }, "by the log's time"));
  const speed = h("select", { "aria-label": "Speed" }, [0.5, 1, 2, 4].map((times) => h("option", { value: times, selected: times === 1 }, `${times}×`)));
  const today = h("button", { type: "button", class: "quiet", onclick: () => goTo(Date.now(), true, true), "aria-pressed": "false" }, "Now");
  const live = h("span", { class: "live note", role: "status" });
  clocks.value = clock;

  const element = h("section", { class: "time", "aria-label": "Time" },
    h("div", { class: "time-head" }, where, counts, live, h("span", { class: "time-options" }, clocks, speed)),
    h("div", { class: "time-line" }, back, play, on, h("div", { class: "slide" }, density, slider), today));

  const times = () => history.times(clock);
  const begin = () => times()[0] ?? 0;
  const end = () => times().at(-1) ?? 0;
  const timeAt = (share) => (share >= 1 ? end() : begin() + share * (end() - begin()));

  function goTo(wanted, quiet = false, isNow = false) {
    now = isNow;
    timeMs = isNow ? wanted : Math.min(Math.max(wanted, begin()), end());
    index = isNow ? history.length : history.countAt(timeMs, clock);
    const length = end() - begin();
    slider.value = String(Math.round(length ? (STEPS * (Math.min(timeMs, end()) - begin())) / length : STEPS));
    slider.style.setProperty("--done", `${(100 * Number(slider.value)) / STEPS}%`);
    where.textContent = now ? `Now, ${moment(timeMs)}` : moment(timeMs);
    today.setAttribute("aria-pressed", String(now));
    slider.setAttribute("aria-valuetext", where.textContent);
    back.disabled = index === 0 || history.countAt(begin(), clock) === index;
    on.disabled = index >= history.length;
    if (!quiet && playing && timeMs >= end()) stop();
    onMoment({ index, timeMs, now });
  }

  /** Go to the change before or after this moment. */
  function step(by) {
    stop();
    goTo(by > 0 ? (times()[index] ?? end()) : (times()[history.countAt(times()[index - 1] - 1, clock) - 1] ?? begin()));
  }

  function toggle() {
    if (playing) return stop();
    if (now || timeMs >= end()) goTo(begin());
    play.setAttribute("aria-label", "Pause");
    fill(play, icon(PAUSE));
    say("Playing");
    if (still()) {
      playing = setInterval(() => goTo(times()[index] ?? end()), STILL_MS / Number(speed.value));
      return undefined;
    }
    let last = performance.now();
    const move = (at) => {
      const passed = Math.min(at - last, 250) / 1000;
      last = at;
      goTo(timeMs + (passed / WHOLE_S) * Number(speed.value) * (end() - begin()));
      if (playing) playing = requestAnimationFrame(move);
    };
    playing = requestAnimationFrame(move);
    return undefined;
  }

  function stop() {
    if (!playing) return;
    cancelAnimationFrame(playing);
    clearInterval(playing);
    playing = 0;
    play.setAttribute("aria-label", "Play");
    fill(play, icon(PLAY, "icon-full"));
    say(`Paused at ${where.textContent}, ${counts.textContent}`);
  }

  /** Draw how much happened when: memories below, links above them, facts as marks. */
  function draw() {
    const bins = Array.from({ length: BINS }, () => ({ memory: 0, links: 0, fact: 0 }));
    const length = end() - begin() || 1;
    history.changes.forEach(({ kind }, number) => {
      const bin = bins[Math.min(BINS - 1, Math.floor((BINS * (times()[number] - begin())) / length))];
      if (kind in bin) bin[kind] += 1;
    });
    const most = Math.max(1, ...bins.map((bin) => bin.memory + bin.links));
    const height = (number) => (number ? Math.max(1.5, 20 * Math.sqrt(number / most)) : 0);
    fill(density, bins.flatMap((bin, number) => {
      const [all, said] = [height(bin.memory + bin.links), height(bin.memory)];
      return [
        bin.links > 0 && s("rect", { x: number + 0.1, y: 24 - all, width: 0.8, height: all, class: "bin-links" }),
        bin.memory > 0 && s("rect", { x: number + 0.1, y: 24 - said, width: 0.8, height: said, class: "bin-memories" }),
        bin.fact > 0 && s("rect", { x: number, y: 0, width: 1, height: 2.5, class: "bin-facts" }),
      ];
    }));
  }

  signal.addEventListener("abort", () => { cancelAnimationFrame(playing); clearInterval(playing); playing = 0; });
  return {
    element,
    get now() { return now; },
    get timeMs() { return timeMs; },
    goToEnd: () => goTo(end(), true),
    /** Say what the moment holds. */
    tell: (memories, links, facts) => { counts.textContent = `${count(memories, "memory", "memories")} · ${count(links, "link")} · ${count(facts, "fact")}`; },
    /** Say whether events are followed. */
    live: (text) => { live.textContent = text; },
    /** Take what was added to the history; whoever stood at its end stays there. */
    grown(atEnd) {
      draw();
      if (now) goTo(Date.now(), true, true);
      else goTo(atEnd && !playing ? end() : timeMs, true);
    },
    get atEnd() { return now || timeMs >= end(); },
    draw,
  };
}

const icon = (path, kind = "icon-line") =>
  s("svg", { viewBox: "0 0 18 18", width: 18, height: 18, "aria-hidden": "true", class: kind }, s("path", { d: path }));

/** A lineage as a picture: columns of cards, and lines as thick as what a recall gave. */

import { fill, h, s } from "./dom.js";
import { headOf, nameOf, placeOf, wordsOf } from "./lineage_node.js";
import { drawn, TITLES } from "./lineage_model.js";
import { clipped, count, figure, moment, ms } from "./times.js";

/** Return the picture of a node; `onPick` is told which one somebody looks at. */
export function LineagePicture(root, onPick, signal) {
  const { columns, lines, left } = drawn(root);
  const cards = new Map();
  const paths = s("svg", { class: "ways", "aria-hidden": "true" });
  const shown = columns.map((column, number) => ({ column, number })).filter(({ column }) => column.length);
  const element = h("div", { class: "picture" },
    paths,
    shown.map(({ column, number }) => h("section", { class: "column", "aria-label": titleOf(number, root) },
      h("h2", {}, titleOf(number, root)),
      h("ul", {}, column.map((card) => h("li", {}, Card(card)))))),
    left > 0 && h("p", { class: "note picture-left" }, `${count(left, "weaker link")} not drawn; the list has all`));

  function Card({ node, gave, units, weight }) {
    const card = h("button", {
      type: "button", class: `card card-${node.kind}`, "aria-pressed": "false",
      onclick: () => { pick(node.id); onPick(gave ? { ...node, contribution: gave, contribution_units: units } : node); },
      onpointerenter: () => light(node.id), onpointerleave: () => light(chosen), onfocus: () => light(node.id), onblur: () => light(chosen),
    },
    h("span", { class: "card-head" }, h("span", {}, headOf(node)),
      gave > 0 && h("span", { class: "figures gave" }, `gave ${figure(gave)}`),
      weight !== null && h("span", { class: "figures gave" }, `linked ${figure(weight)}`)),
    node.kind === "message" ? null : h("span", { class: "card-words" }, clipped(wordsOf(node), 150)),
    node.time && h("span", { class: "card-meta figures" }, moment(ms(node.time))),
    node.record && h("span", { class: "card-meta" }, h("code", {}, `${placeOf(node.record)}`)),
    node.record && h("span", { class: "card-meta" }, h("code", {}, node.record.sha256.slice(0, 16), "…")));
    cards.set(node.id, card);
    return card;
  }

  let chosen = root.id;
  function pick(id) {
    chosen = id;
    for (const [one, card] of cards) card.setAttribute("aria-pressed", String(one === id));
    light(id);
  }

  /** Make plain what leads to a card and from it. */
  function light(id) {
    const near = new Set([id]);
    for (const { from, to } of lines) if (from === id || to === id) near.add(from).add(to);
    for (const [one, card] of cards) card.classList.toggle("far", id !== root.id && !near.has(one));
    for (const path of paths.children) path.classList.toggle("lit", id !== root.id && (path.dataset.from === id || path.dataset.to === id));
  }

  function draw() {
    const ground = element.getBoundingClientRect();
    if (!ground.width) return;
    paths.setAttribute("width", element.scrollWidth);
    paths.setAttribute("height", element.scrollHeight);
    fill(paths, lines.map(({ from, to, share, kind }) => {
      const [one, other] = [cards.get(from).getBoundingClientRect(), cards.get(to).getBoundingClientRect()];
      const backwards = one.left > other.left;
      const x1 = (backwards ? one.left : one.right) - ground.left + element.scrollLeft;
      const x2 = (backwards ? other.right : other.left) - ground.left + element.scrollLeft;
      const [y1, y2] = [one, other].map((box) => box.top + Math.min(box.height / 2, 34) - ground.top + element.scrollTop);
      const bend = (x2 - x1) / 2;
      return s("path", {
        d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, class: `way way-${kind}`, "stroke-width": 1 + 6 * share,
        "data-from": from, "data-to": to,
      });
    }));
    light(chosen);
  }

  const resized = new ResizeObserver(draw);
  resized.observe(element);
  signal.addEventListener("abort", () => resized.disconnect());
  return element;
}

const titleOf = (number, root) => (number === 0 ? nameOf(root) : TITLES[number]);

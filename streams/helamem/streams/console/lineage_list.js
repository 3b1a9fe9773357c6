/** A lineage as a list: all of it, one thing below what it led to. */

import { h } from "./dom.js";
import { nameOf, wordsOf } from "./lineage_node.js";
import { clipped, figure } from "./times.js";

const OPEN_TO = 2;

/** Return the list. */
export function LineageList(root, onPick) {
  return h("ul", { class: "tree" }, Item(root, 0, onPick));
}

function Item(node, depth, onPick) {
  const head = [
    h("span", { class: `tag tag-${node.kind}` }, nameOf(node)), " ",
    h("button", { type: "button", class: "as-text", onclick: () => onPick(node) }, clipped(wordsOf(node), 160)),
    node.contribution !== undefined && h("span", { class: "note figures" }, ` gave ${figure(node.contribution)}`),
  ];
  if (!node.children.length) return h("li", { class: "leaf" }, head);
  const inner = h("ul");
  const details = h("details", { ontoggle: () => grow() }, h("summary", {}, head, h("span", { class: "note" }, ` (${node.children.length})`)), inner);
  const grow = () => {
    if (details.open && !inner.childElementCount) inner.append(...node.children.map((child) => Item(child, depth + 1, onPick)));
  };
  if (depth < OPEN_TO) {
    details.open = true;
    grow();
  }
  return h("li", {}, details);
}

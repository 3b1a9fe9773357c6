/** One thing of a lineage in words. */

import { h } from "./dom.js";
import { exact, figure, ms } from "./times.js";

const NAMES = {
  fact: "Fact", hub: "Hub", memory: "Memory", pair: "Link", edge: "Link", "temporal-edge": "Next turn", message: "Message",
  recalled: "Recall", reinforced: "Reinforced", distilled: "Distilled", retracted: "Retracted", forgotten: "Forgotten",
  restored: "Restored", erased: "Erased", settings: "Settings", "dead-letter": "Dead letter",
};
const UNITS = 2 ** 32;

export const nameOf = (node) => NAMES[node.kind] ?? node.kind;

/** Return what a node says in one sentence. */
export function wordsOf(node) {
  switch (node.kind) {
    case "hub": return `A memory with ${node.degree} links of strength ${figure(node.strength_units / UNITS)} together`;
    case "recalled":
    case "reinforced": return node.query ? `“${node.query}”` : "Its words cannot be read";
    case "pair":
    case "edge":
    case "temporal-edge": return node.weight === undefined ? "Two memories" : `weight ${figure(node.weight)}`;
    default: return node.text || node.reason || (node.text === "" ? "Its words were erased" : nameOf(node));
  }
}

/** Return what stands over a card: who spoke, or what it is. */
export const headOf = (node) => node.speaker ?? nameOf(node);

/** Return where a record stands. */
export const placeOf = ({ topic, partition, offset }) => `${topic.replace(/^helamem\./, "")} ${partition} @ ${offset}`;

/** Return all that is known of a node. */
export function Facts(node) {
  const rows = [];
  const row = (name, value) => value !== undefined && value !== null && rows.push(h("dt", {}, name), h("dd", {}, value));
  row("Speaker", node.speaker);
  row("Conversation", node.conversation);
  row("Kind", node.fact_kind);
  row("Event time", node.time && exact(ms(node.time)));
  row("Valid from", node.valid_from && exact(ms(node.valid_from)));
  row("Distiller", node.distiller);
  row("Gave", node.contribution !== undefined && node.contribution !== null ? `${figure(node.contribution)} (${node.contribution_units} units)` : null);
  row("Weight", node.weight !== undefined ? `${figure(node.weight)}${node.weight_units === undefined ? "" : ` (${node.weight_units} units)`}` : null);
  row("Derived again", node.derived_again === undefined ? null : node.derived_again ? "from the recalls, and it is the same" : "and it differs");
  if (node.record) {
    row("Stands at", h("code", {}, placeOf(node.record)));
    row("Taken at", exact(ms(node.record.append_time)));
    row("SHA-256", h("code", {}, node.record.sha256));
  }
  row("Content hash", node.content_hash && h("code", {}, node.content_hash));
  row("Id", h("code", {}, node.id));
  return h("dl", { class: "figures" }, rows);
}

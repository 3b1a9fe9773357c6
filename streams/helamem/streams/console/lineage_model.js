/** A lineage as cards in columns with lines between them: what is asked about, hub, recalls, memories, messages. */

const COLUMNS = {
  hub: 1, distilled: 1, recalled: 2, reinforced: 2, memory: 3, message: 4,
  retracted: 1, forgotten: 1, restored: 1, erased: 1, settings: 1, "dead-letter": 4,
};
export const TITLES = ["What is asked about", "Hub", "Recalls, and what each gave", "Memories", "Messages"];
const MOST_EDGES = 12; // the strongest are drawn; the list has all

/** Return `{ cards, lines, left }`: cards by column, lines from card to card with a share from 0 to 1, edges left out. */
export function drawn(root) {
  const cards = new Map();
  const lines = [];
  const add = (node, column = COLUMNS[node.kind] ?? 1) => {
    const card = cards.get(node.id) ?? { node, column, gave: 0, units: 0, weight: null };
    if (!cards.has(node.id)) cards.set(node.id, card);
    return card;
  };
  const line = (from, to, share = 0, kind = "plain") => {
    if (from !== to && !lines.some((one) => one.from === from && one.to === to)) lines.push({ from, to, share, kind });
  };
  add(root, 0);
  let left = 0;

  function descend(node) {
    const edges = node.children.filter(({ kind }) => kind === "edge").sort((one, other) => other.weight - one.weight);
    left += Math.max(0, edges.length - MOST_EDGES);
    for (const edge of edges.slice(0, MOST_EDGES)) link(node, edge);
    for (const child of node.children) {
      if (child.kind === "edge") continue;
      if (child.kind === "temporal-edge") {
        for (const beside of child.children) {
          add(beside);
          line(node.id, beside.id, 0, "turn");
          descend(beside);
        }
        continue;
      }
      add(child);
      line(node.id, child.id);
      descend(child);
    }
  }

  /** Draw a learned link: the recalls that made it stand between its memories. */
  function link(node, edge) {
    const memories = edge.children.filter(({ kind }) => kind === "memory");
    const events = edge.children.filter(({ contribution }) => contribution !== undefined);
    for (const memory of memories) {
      add(memory).weight = edge.weight;
      descend(memory);
    }
    const ends = memories.length ? memories.map(({ id }) => id) : edge.memory_ids.filter((id) => id !== node.id);
    for (const event of events) {
      const card = add(event);
      card.gave += event.contribution;
      card.units += event.contribution_units;
      line(node.id, event.id);
      for (const id of ends) line(event.id, id, event.contribution, "gave");
    }
    if (!events.length) for (const id of ends) line(node.id, id);
  }

  descend(root);
  const known = lines.filter(({ from, to }) => cards.has(from) && cards.has(to));
  const most = Math.max(...known.map(({ share }) => share), 1e-9);
  const columns = TITLES.map((_, column) => [...cards.values()].filter((card) => card.column === column));
  columns[2].sort((one, other) => other.gave - one.gave);
  return { columns, lines: known.map((one) => ({ ...one, share: one.share / most })), left };
}

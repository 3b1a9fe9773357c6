/** The memory graph: memories and facts, links as thick as their weight, as of a moment. */

import { h, still } from "./dom.js";
import { layOut, spiral } from "./layout.js";
import { diamondOf, drawHover, drawLabel } from "./shapes.js";
import { colour, onTheme } from "./theme.js";
import { clipped } from "./times.js";

const MOST_NODES = 6000;
const THICKEST = 9; // pixels of the strongest link that there ever was
const FAINTEST = 0.01; // of it; what has faded further is not drawn
const PULL = { turn: 0.7, evidence: 0.5, learned: 3 };
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** Return the picture. `onPick(id, kind)` is told what somebody chose. */
export function GraphPicture({ onPick, signal }) {
  const stage = h("div", {
    class: "graph", tabindex: "0", role: "group", "aria-roledescription": "graph", onkeydown: onKey,
    "aria-label": "Memory graph. Arrow keys go from memory to memory, Enter shows its details, plus and minus zoom, 0 shows all. The table tells the same.",
  });
  const graph = new graphology.MultiUndirectedGraph();
  const conversations = new Map();
  let renderer = null;
  let isWhole = true;
  let stopLayout = () => {};
  let paint = {};
  let moment = null; // { state, timeMs, peak }
  let strength = new Map();
  let strongest = 1e-9;
  let marked = { selected: null, near: new Set(), hits: new Set(), paths: new Set() };

  function begin() {
    renderer = new Sigma(graph, stage, {
      allowInvalidContainer: true, zIndex: true, enableCameraRotation: false, hideEdgesOnMove: false,
      labelFont: getComputedStyle(document.body).fontFamily, labelSize: 12, labelRenderedSizeThreshold: 7.5, labelDensity: 0.25,
      labelGridCellSize: 140, minEdgeThickness: 0.7, stagePadding: 36, minCameraRatio: 0.02, maxCameraRatio: 3,
      defaultDrawNodeLabel: drawLabel, defaultDrawNodeHover: drawHover, nodeReducer: drawnNode, edgeReducer: drawnEdge,
    });
    const programs = renderer.getSetting("nodeProgramClasses");
    renderer.setSetting("nodeProgramClasses", { ...programs, diamond: diamondOf(programs.circle) });
    renderer.on("clickNode", ({ node }) => onPick(node, kindOf(node)));
    renderer.on("enterNode", () => stage.classList.add("pointing"));
    renderer.on("leaveNode", () => stage.classList.remove("pointing"));
    const resized = new ResizeObserver(() => renderer?.refresh({ schedule: true }));
    resized.observe(stage);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      stopLayout();
      renderer.kill();
      renderer = null;
    });
    readPaint();
  }

  function readPaint() {
    const names = ["user", "agent", "fact", "edge", "edge-temporal", "dim", "accent", "association", "muted"];
    paint = Object.fromEntries(names.map((name) => [name, colour(name)]));
    renderer?.refresh({ schedule: true });
  }

  const kindOf = (id) => (graph.hasNode(id) ? graph.getNodeAttribute(id, "kind") : "memory");

  /** Add what the history has and the graph has not, and take out words that were erased; where memories are many, the oldest that nothing links stay out. */
  function extend(history) {
    const before = graph.order;
    for (const change of chosen(history)) {
      if (change.kind === "memory" && !graph.hasNode(change.memory_id)) addMemory(change);
      else if (change.kind === "fact") addFact(change);
    }
    for (const change of history.changes) {
      const id = { memory: change.memory_id, fact: change.fact_id }[change.kind];
      if (id === undefined || !graph.hasNode(id)) continue;
      const label = labelOf(change);
      if (graph.getNodeAttribute(id, "label") !== label) graph.setNodeAttribute(id, "label", label);
    }
    for (const pair of history.strongest.keys()) addEdge(`learned ${pair}`, ...pair.split(" "), "learned");
    const peak = history.peak || 1;
    graph.forEachEdge((edge, { kind, pair }) => {
      if (kind === "learned") graph.setEdgeAttribute(edge, "pull", 0.2 + (PULL.learned * history.strongest.get(pair)) / peak);
    });
    if (graph.order === before) return;
    stopLayout();
    stopLayout = layOut(graph, (ids, places, done) => {
      if (done < 1 && still()) return;
      const at = new Map(ids.map((id, number) => [id, 2 * number]));
      graph.updateEachNodeAttributes((id, node) => ({ ...node, x: places[at.get(id)], y: places[at.get(id) + 1] }), { attributes: ["x", "y"] });
      if (done >= 1) stage.dataset.laidOut = String(graph.order);
    });
  }

  function chosen(history) {
    const memories = history.changes.filter((change) => change.kind === "memory");
    isWhole = memories.length <= MOST_NODES;
    if (isWhole) return history.changes;
    const linked = new Set([...history.strongest.keys()].flatMap((pair) => pair.split(" ")));
    const byWorth = new Set([...memories.filter((one) => linked.has(one.memory_id)), ...memories.toReversed()]);
    const kept = new Set([...byWorth].slice(0, MOST_NODES));
    return history.changes.filter((change) => change.kind !== "memory" || kept.has(change));
  }

  function addMemory(change) {
    const { memory_id: id, conversation, role, previous } = change;
    if (!conversations.has(conversation)) conversations.set(conversation, { number: conversations.size, turns: 0 });
    const here = conversations.get(conversation);
    const centre = spiral(here.number, 60);
    const at = spiral(here.turns++, 7);
    graph.addNode(id, {
      x: centre.x + at.x, y: centre.y + at.y, kind: "memory", role, label: labelOf(change),
    });
    if (previous) addEdge(`turn ${id}`, previous, id, "turn");
  }

  function addFact(change) {
    const { fact_id: id, evidence } = change;
    if (!graph.hasNode(id)) {
      const near = evidence.filter((one) => graph.hasNode(one)).map((one) => graph.getNodeAttributes(one));
      const middle = (axis) => near.reduce((sum, one) => sum + one[axis], 0) / Math.max(near.length, 1);
      graph.addNode(id, { x: middle("x") + 3, y: middle("y") + 3, kind: "fact", type: "diamond", label: labelOf(change) });
    }
    for (const one of evidence) addEdge(`evidence ${id} ${one}`, id, one, "evidence");
  }

  function addEdge(name, one, other, kind) {
    if (graph.hasEdge(name) || !graph.hasNode(one) || !graph.hasNode(other)) return;
    graph.addEdgeWithKey(name, one, other, { kind, pair: name.slice(kind.length + 1), pull: PULL[kind] });
  }

  /** Return how many memories of a moment are not drawn. */
  function undrawn(state) {
    return isWhole ? 0 : [...state.memories.keys()].filter((id) => !graph.hasNode(id)).length;
  }

  /** Show the graph as of a moment. */
  function show(state, timeMs, peak) {
    moment = { state, timeMs, peak: peak || 1 };
    strength = new Map();
    for (const edge of state.edges.values()) {
      const weight = state.weight(edge, timeMs);
      for (const id of edge.ids) strength.set(id, (strength.get(id) ?? 0) + weight);
    }
    renderer?.refresh({ schedule: true });
  }

  function isThere(id, kind) {
    if (!moment) return false;
    if (kind === "memory") return moment.state.memories.has(id);
    const fact = moment.state.facts.get(id);
    return fact !== undefined && !fact.gone;
  }

  const isMarked = (id) => id === marked.selected || marked.near.has(id) || marked.hits.has(id);
  const marking = () => marked.selected !== null || marked.hits.size > 0;

  function drawnNode(id, { kind, role, x, y, label, type }) {
    if (!isThere(id, kind)) return { x, y, hidden: true };
    const own = kind === "fact" ? 5.5 : 2.4 + 7 * Math.sqrt((strength.get(id) ?? 0) / strongest);
    const plain = kind === "fact" ? paint.fact : moment.state.hidden.has(id) ? paint.edge : paint[role === "agent" ? "agent" : "user"];
    const dimmed = marking() && !isMarked(id);
    return {
      x, y, type, size: id === marked.selected ? Math.max(own, 6) : own, color: dimmed ? paint.dim : plain,
      label: dimmed ? null : label, forceLabel: id === marked.selected, highlighted: id === marked.selected,
      zIndex: dimmed ? 0 : id === marked.selected ? 3 : 2,
    };
  }

  function drawnEdge(id, { kind, pair }) {
    const [one, other] = graph.extremities(id);
    const ends = isThere(one, kindOf(one)) && isThere(other, kindOf(other));
    if (!ends) return { hidden: true };
    const touched = one === marked.selected || other === marked.selected;
    const onPath = marked.paths.has(kind === "learned" ? pair : [one, other].sort().join(" "));
    const dimmed = marking() && !touched && !onPath;
    if (kind === "turn") {
      return { size: onPath ? 2 : 0.8, color: onPath ? paint.association : dimmed ? paint.dim : paint["edge-temporal"], zIndex: onPath ? 2 : 0 };
    }
    if (kind === "evidence") return { size: 1, color: dimmed ? paint.dim : paint.fact, zIndex: touched ? 2 : 0 };
    const edge = moment.state.edges.get(pair);
    const share = edge ? moment.state.weight(edge, moment.timeMs) / moment.peak : 0;
    if (share < FAINTEST) return { hidden: true };
    return {
      size: THICKEST * share, zIndex: onPath ? 3 : touched ? 2 : 1,
      color: onPath ? paint.association : dimmed ? paint.dim : touched ? paint.accent : paint.edge,
    };
  }

  /** Mark what is selected with what it is linked to, what a search found, and the ways that association took. */
  function mark({ selected = null, near = [], hits = [], paths = [] }) {
    marked = { selected, near: new Set(near), hits: new Set(hits), paths: new Set(paths) };
    renderer?.refresh({ schedule: true });
  }

  /** Bring a node into view where it is not. */
  function reveal(id) {
    const place = renderer?.getNodeDisplayData(id);
    if (!place) return;
    const camera = renderer.getCamera();
    const { x, y } = renderer.framedGraphToViewport(place);
    const { width, height } = renderer.getDimensions();
    if (x > 40 && y > 40 && x < width - 200 && y < height - 40) return;
    if (still()) camera.setState({ x: place.x, y: place.y });
    else camera.animate({ x: place.x, y: place.y }, { duration: 300 });
  }

  function zoom(by) {
    const camera = renderer?.getCamera();
    if (!camera) return;
    const to = by === 0 ? { x: 0.5, y: 0.5, ratio: 1 } : { ratio: Math.min(3, Math.max(0.02, camera.ratio / by)) };
    if (still()) camera.setState(to);
    else camera.animate(to, { duration: 200 });
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in ARROWS) go(ARROWS[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") zoom(0);
    else if (event.key === "Enter" && marked.selected) onPick(marked.selected, kindOf(marked.selected), true);
    else return;
    event.preventDefault();
  }

  /** Go to the nearest node in a direction; from nowhere to the one with the strongest links. */
  function go([right, down]) {
    const seen = graph.filterNodes((id, { kind }) => isThere(id, kind));
    if (!seen.length) return;
    const from = marked.selected && renderer.getNodeDisplayData(marked.selected);
    const cost = (id) => {
      if (!from) return -(strength.get(id) ?? 0);
      const place = renderer.getNodeDisplayData(id);
      const [x, y] = [place.x - from.x, -(place.y - from.y)];
      const ahead = x * right + y * down;
      const aside = Math.abs(x * down) + Math.abs(y * right);
      return id === marked.selected || ahead <= 0 || aside > ahead ? Infinity : Math.hypot(x, y) + aside;
    };
    let best = null;
    let least = Infinity;
    for (const id of seen) {
      const its = cost(id);
      if (its < least) [best, least] = [id, its];
    }
    if (best) onPick(best, kindOf(best));
  }

  /** Return how thick the link between two memories is drawn, in pixels; 0 where it is not. */
  function thickness(pair) {
    const drawn = renderer?.getEdgeDisplayData(`learned ${pair}`);
    return !drawn || drawn.hidden ? 0 : drawn.size;
  }

  begin();
  onTheme(readPaint);
  stage.thickness = thickness; // for whoever measures what is drawn
  stage.label = (id) => renderer?.getNodeDisplayData(id)?.label;
  return {
    element: stage, extend, undrawn, show, mark, reveal, zoom,
    /** Say how strong the strongest memory ever was: sizes are shares of it. */
    scale(most) { strongest = Math.max(most, 1e-9); },
  };
}

function labelOf({ kind, speaker, text, statement }) {
  return kind === "fact" ? clipped(statement ?? "(erased)", 36) : `${speaker}: ${clipped(text ?? "(erased)", 30)}`;
}

/** Return whether the browser can draw it. */
export function canDraw() {
  const context = document.createElement("canvas").getContext("webgl2") ?? document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

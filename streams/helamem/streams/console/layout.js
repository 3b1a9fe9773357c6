/** Where memories are drawn: by ForceAtlas2, from places that are the same each time. */

import { layoutWorker } from "./trusted.js";

const NODE = 10;
const EDGE = 3;
const GOLDEN = Math.PI * (3 - Math.sqrt(5));

/** Return a place for the nth of something. */
export function spiral(number, scale = 10) {
  const radius = scale * Math.sqrt(number + 0.5);
  return { x: radius * Math.cos(number * GOLDEN), y: radius * Math.sin(number * GOLDEN) };
}

/** Lay a graph out; `onPlaces(places, done)` is told on the way, and what is returned stops it. */
export function layOut(graph, onPlaces) {
  const ids = graph.nodes();
  const index = new Map(ids.map((id, number) => [id, number]));
  const nodes = new Float32Array(NODE * ids.length);
  ids.forEach((id, number) => {
    const { x, y } = graph.getNodeAttributes(id);
    nodes.set([x, y, 0, 0, 0, 0, 1, 1, 1, 0], NODE * number);
  });
  const edges = new Float32Array(EDGE * graph.size);
  let at = 0;
  graph.forEachEdge((_, { pull }, one, other) => {
    const [from, to] = [NODE * index.get(one), NODE * index.get(other)];
    nodes[from + 6] += pull;
    nodes[to + 6] += pull;
    edges.set([from, to, pull], at);
    at += EDGE;
  });
  const worker = layoutWorker();
  worker.onmessage = ({ data: { places, done } }) => {
    onPlaces(ids, places, done);
    if (done >= 1) worker.terminate();
  };
  worker.postMessage({
    nodes, edges, steps: ids.length > 1500 ? 160 : 320,
    settings: {
      linLogMode: false, outboundAttractionDistribution: false, adjustSizes: false, edgeWeightInfluence: 1,
      scalingRatio: 12, strongGravityMode: true, gravity: 0.06, slowDown: 1 + Math.log(Math.max(ids.length, 1)),
      barnesHutOptimize: ids.length > 600, barnesHutTheta: 0.6,
    },
  }, [nodes.buffer, edges.buffer]);
  return () => worker.terminate();
}

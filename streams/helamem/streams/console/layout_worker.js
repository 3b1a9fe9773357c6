/** Lays a graph out beside the page, so that the page stays quick. A classic worker: it loads a CommonJS module. */

const own = (path) => path;
const policy = self.trustedTypes?.createPolicy("helamem", { createScriptURL: own }) ?? { createScriptURL: own };
const module = { exports: null };
importScripts(policy.createScriptURL("/console/vendor/forceatlas2.js"));

const STEPS_A_TIME = 8;
const EVERY = 10; // floats of a node in the module's matrix; the first two are its place

self.onmessage = ({ data: { nodes, edges, steps, settings } }) => {
  for (let step = 0; step < steps; ) {
    for (const end = Math.min(step + STEPS_A_TIME, steps); step < end; step++) module.exports(settings, nodes, edges);
    const places = new Float32Array((2 * nodes.length) / EVERY);
    for (let node = 0; node < nodes.length / EVERY; node++) {
      places[2 * node] = nodes[EVERY * node];
      places[2 * node + 1] = nodes[EVERY * node + 1];
    }
    self.postMessage({ places, done: step / steps }, [places.buffer]);
  }
};

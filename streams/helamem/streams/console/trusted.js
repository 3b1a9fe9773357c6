/** The one place that names a script: browsers that know trusted types refuse any other. */

const own = (path) => path;
const policy = globalThis.trustedTypes?.createPolicy("helamem", { createScriptURL: own }) ?? { createScriptURL: own };

export const layoutWorker = () => new Worker(policy.createScriptURL("/console/layout_worker.js"));

/** What is asked of the gateway, and how it refuses. */

const KEY = "helamem.key";

/** A refusal, with its sentence. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the gateway answered ${status}; look at its log`);
    this.status = status;
    this.type = problem.type ?? "";
  }
}

/** The key of this tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const headers = (more = {}) => (key.get() ? { ...more, Authorization: `Bearer ${key.get()}` } : more);
const path = (space) => `/v1/spaces/${space.split("/").map(encodeURIComponent).join("/")}`;

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function asked(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: headers(options.headers), cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "the gateway cannot be reached; look whether it runs" });
  }
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

async function got(address, options) {
  return (await asked(address, options)).json();
}

const sent = (address, body, options = {}) =>
  got(address, {
    ...options,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

/** Return all items of a list, page by page; `most` bounds them. */
async function listed(address, name, most = 5000, parameters = {}) {
  const found = [];
  for (let cursor = null; ; ) {
    const page = await got(`${address}${query({ limit: 1000, cursor, ...parameters })}`);
    found.push(...page[name]);
    cursor = page.next;
    if (!cursor || found.length >= most) return found;
  }
}

export const spaces = () => listed("/v1/spaces", "spaces");
/** Ask without leaving a trace: whoever looks must not teach the links. */
export const recall = (space, asks, options) => sent(`${path(space)}/recall`, { ...asks, record: false }, options);
export const facts = (space) => listed(`${path(space)}/facts`, "facts");
export const profile = (space, asOf) => got(`${path(space)}/profile${query({ as_of: asOf })}`);
export const memory = (space, id) => got(`${path(space)}/memories/${encodeURIComponent(id)}`);
export const neighbours = (space, id, asOf) =>
  got(`${path(space)}/memories/${encodeURIComponent(id)}/neighbours${query({ as_of: asOf })}`);
export const why = (space, id, other = null, asOf = null) =>
  got(`${path(space)}/why/${encodeURIComponent(id)}${query({ other, as_of: asOf })}`);
export const trace = (space, id) => got(`${path(space)}/trace/${encodeURIComponent(id)}`);
export const history = (space, cursor, options) => got(`${path(space)}/history${query({ limit: 1000, cursor })}`, options);
export const deadLetters = () => listed("/v1/dead-letters", "dead_letters");
export const deadLetter = (id) => got(`/v1/dead-letters/${encodeURIComponent(id)}`);
export const redrive = (id) => got(`/v1/dead-letters/${encodeURIComponent(id)}/redrive`, { method: "POST" });

/** Process all that were put aside once more. */
export async function redriveAll() {
  const whole = { redriven: 0, refused: 0, outcomes: [] };
  for (let cursor = null; ; ) {
    const page = await got(`/v1/dead-letters/redrive${query({ cursor })}`, { method: "POST" });
    whole.redriven += page.redriven;
    whole.refused += page.refused;
    whole.outcomes.push(...page.outcomes);
    cursor = page.next;
    if (!cursor) return whole;
  }
}

export const metrics = async () => (await asked("/metrics")).text();
export const ready = async () => (await fetch("/ready", { cache: "no-store" })).ok;

/**
 * Follow the events of a space until the signal says stop, and come back where a stream ends.
 *
 * A browser's own EventSource sends no key, so the stream is read here.
 */
export async function follow(space, onEvent, onState, signal) {
  let last = null;
  for (let waitMs = 500; !signal.aborted; waitMs = Math.min(waitMs * 2, 15000)) {
    try {
      const answer = await asked(`${path(space)}/events`, { signal, headers: last ? { "Last-Event-ID": last } : {} });
      onState("following");
      waitMs = 500;
      for await (const event of eventsOf(answer.body)) {
        last = event.id ?? last;
        if (event.data) onEvent(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      onState("away", error.message);
      if (error instanceof Refusal && [401, 403, 404, 422].includes(error.status)) return;
    }
    await new Promise((done) => setTimeout(done, waitMs));
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = part.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trimStart()]);
      const event = Object.fromEntries(fields.filter(([name]) => name));
      if (Object.keys(event).length) yield event;
    }
  }
}

/** Times and numbers as they are read. All times are UTC, as in the log. */

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC",
});

export const day = (ms) => DAY.format(ms);
export const moment = (ms) => `${DAY.format(ms)}, ${CLOCK.format(ms)}`;
export const exact = (ms) => `${DAY.format(ms)}, ${EXACT.format(ms)}.${String(ms % 1000).padStart(3, "0")} UTC`;

/** Return a time of an answer in milliseconds. */
export const ms = (text) => Date.parse(text);

/** Return a number of seconds in the unit that suits it. */
export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Return a weight or a score. */
export function figure(value) {
  if (value === 0) return "0";
  return Math.abs(value) < 0.0005 ? value.toExponential(1) : value.toFixed(3);
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
export const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text);
export const short = (id) => id.slice(0, 8);

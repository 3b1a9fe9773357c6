/** Prometheus' text format, as far as the page needs it. */

const LINE = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/** What was counted at one time. */
export class Sample {
  constructor(text, atMs) {
    this.atMs = atMs;
    this.series = new Map();
    for (const line of text.split("\n")) {
      const found = LINE.exec(line);
      if (!found) continue;
      const labels = Object.fromEntries([...(found[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
      if (!this.series.has(found[1])) this.series.set(found[1], []);
      this.series.get(found[1]).push({ labels, value: Number(found[3]) });
    }
  }

  /** Return the values of a metric whose labels are these. */
  values(name, labels = {}) {
    return (this.series.get(name) ?? [])
      .filter((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
      .map((one) => one.value);
  }

  sum(name, labels) {
    return this.values(name, labels).reduce((sum, value) => sum + value, 0);
  }

  most(name, labels) {
    return Math.max(0, ...this.values(name, labels));
  }
}

/** Return how much a count grew a second between two samples. */
export function rate(before, after, name, labels) {
  const seconds = (after.atMs - before.atMs) / 1000;
  return seconds > 0 ? Math.max(0, after.sum(name, labels) - before.sum(name, labels)) / seconds : 0;
}

/** Return a quantile of what a histogram took between two samples, or null where it took nothing. */
export function quantile(before, after, name, share, labels = {}) {
  const grown = new Map();
  for (const [sample, sign] of [[after, 1], [before, -1]]) {
    for (const { labels: its, value } of sample?.series.get(`${name}_bucket`) ?? []) {
      if (!Object.entries(labels).every(([label, wanted]) => its[label] === wanted)) continue;
      grown.set(its.le, (grown.get(its.le) ?? 0) + sign * value);
    }
  }
  const bounds = [...grown].map(([le, number]) => [le === "+Inf" ? Infinity : Number(le), number]).sort((one, other) => one[0] - other[0]);
  const all = bounds.at(-1)?.[1] ?? 0;
  if (!all) return null;
  let low = 0;
  let below = 0;
  for (const [bound, number] of bounds) {
    if (number >= share * all) return bound === Infinity ? low : low + ((bound - low) * (share * all - below)) / Math.max(number - below, 1e-9);
    [low, below] = [bound, number];
  }
  return low;
}

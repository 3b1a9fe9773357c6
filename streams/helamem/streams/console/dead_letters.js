/** Records that could not be processed: what was wrong, and another try. */

import * as api from "./api.js";
import { fill, h, say } from "./dom.js";
import { placeOf } from "./lineage_node.js";
import { Refused } from "./refused.js";
import { count, moment, ms } from "./times.js";

/** Show the view. */
export async function deadLetters(main, { signal }) {
  const rows = h("tbody");
  const told = h("div", { role: "status" });
  const record = h("div");
  const all = h("button", { type: "button", class: "primary", onclick: () => redrive(api.redriveAll, "all that wait") }, "Redrive all");
  const table = h("table", { class: "letters" },
    h("caption", { class: "visually-hidden" }, "Records that were put aside, the oldest first"),
    h("thead", {}, h("tr", {}, ["Put aside", "Space", "Processor", "Stands at", "What was wrong", "Redriven", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "visually-hidden" }, "What to do"))))),
    rows);
  const none = h("p", { class: "note" }, api.key.get() ? "None in the spaces that this key is for." : "None: every record of the log was processed.");
  fill(main, h("div", { class: "page" },
    h("header", { class: "page-head" }, h("h1", {}, "Dead letters"), all),
    h("p", { class: "note" }, "Records that could not be processed. Nobody waits for them: they were put aside with their bytes and the reason. Mend what was at fault, and redrive them: they are appended to their topic again, unchanged."),
    told, none, table, record));

  async function look() {
    const letters = await api.deadLetters();
    if (signal.aborted) return;
    const waiting = letters.filter((letter) => !letter.redriven);
    all.hidden = !waiting.length;
    table.hidden = !letters.length;
    none.hidden = letters.length > 0;
    fill(rows, letters.map(Row));
  }

  function Row(letter) {
    return h("tr", {},
      h("td", { class: "figures" }, moment(ms(letter.put_aside))),
      h("td", {}, letter.space ?? "unknown"),
      h("td", {}, letter.group),
      h("td", {}, h("code", {}, placeOf(letter.position))),
      h("th", { scope: "row" }, letter.field && h("code", {}, `${letter.field}: `), letter.reason),
      h("td", {}, letter.redriven ? h("code", {}, placeOf(letter.redriven)) : "waits"),
      h("td", { class: "row-buttons" },
        h("button", { type: "button", class: "quiet", onclick: () => open(letter) }, "Bytes"),
        !letter.redriven && h("button", { type: "button", onclick: () => redrive(() => api.redrive(letter.id), "it") }, "Redrive")));
  }

  async function open({ id, position }) {
    try {
      const letter = await api.deadLetter(id);
      fill(record, h("section", { "aria-labelledby": "record-title" },
        h("h2", { id: "record-title" }, `Record ${placeOf(position)}`),
        h("pre", { tabindex: "0" }, letter.value ?? `base64: ${letter.value_base64}`)));
      record.querySelector("pre").focus();
    } catch (error) {
      fill(told, Refused(error));
    }
  }

  async function redrive(call, what) {
    try {
      const { redriven, refused, outcomes } = await call();
      const why = [...new Set(outcomes.map((one) => one.refusal).filter(Boolean))];
      const text = `${count(redriven, "record")} appended again${refused ? `, ${refused} left alone: ${why.join("; ")}` : ""}.`;
      fill(told, h("p", { class: refused ? "refused" : "done" }, text));
      await look();
      say(text);
    } catch (error) {
      fill(told, Refused(error, () => redrive(call, what)));
    }
  }

  await look();
}

/** What is shown where the gateway refused or something went wrong. */

import { h } from "./dom.js";

/** Return a sentence, and a way to try again where there is one. */
export function Refused(error, again = null) {
  return h("section", { class: "refused", role: "alert" },
    h("p", {}, error.message),
    again && h("button", { type: "button", class: "quiet", onclick: again }, "Try again"));
}

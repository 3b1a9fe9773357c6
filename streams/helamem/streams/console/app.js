/** The console: which view is shown, of which space, and who asks. */

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { installTheme } from "./theme.js";
import { Refused } from "./refused.js";
import { explore } from "./explore.js";
import { lineage } from "./lineage.js";
import { deadLetters } from "./dead_letters.js";
import { throughput } from "./throughput.js";

const VIEWS = { explore, lineage, "dead-letters": deadLetters, throughput };
const TITLES = { explore: "Explore", lineage: "Lineage", "dead-letters": "Dead letters", throughput: "Throughput" };
const READY_EVERY_MS = 10_000;

const main = document.getElementById("main");
const picker = document.getElementById("space");
const WITHOUT_SPACE = ["dead-letters"]; // views that show what is in no space, or of all
let leave = () => {};
let unlisted = null; // why the spaces are not told to this key

/** Return where we are: `#/lineage/acme/mira/ID` is a view, a space and what of it. */
function place() {
  const [view, tenant, name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return { view: view in VIEWS ? view : "explore", space: tenant && name ? `${tenant}/${name}` : null, rest };
}

/** Return the address of a view of a space. */
export function address(view, space, ...rest) {
  return `#/${[view, ...(space ?? "").split("/"), ...rest].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

async function show() {
  const { view, space, rest } = place();
  const known = [...picker.options].map((option) => option.value);
  if (known.length && (space === null || !known.includes(space)) && !WITHOUT_SPACE.includes(view)) {
    location.replace(address(view, known.includes(picker.value) ? picker.value : known[0]));
    return;
  }
  if (space !== null && known.includes(space)) picker.value = space;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    link.href = address(link.dataset.view, picker.value || null);
    link.toggleAttribute("aria-current", false);
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
  }
  document.title = `${TITLES[view]}${picker.value ? ` · ${picker.value}` : ""} · helamem`;
  leave();
  const leaving = new AbortController();
  leave = () => leaving.abort();
  main.dataset.view = view;
  if (!known.length && !WITHOUT_SPACE.includes(view)) {
    if (unlisted) {
      refuse(unlisted);
      return;
    }
    fill(main, h("section", { class: "empty" }, h("h1", {}, "No space yet"),
      h("p", {}, "Nothing has been remembered so far. Append a message, and this page shows what becomes of it:"),
      h("pre", {}, `curl -s ${location.origin}/v1/spaces/acme/mira/messages -H 'Content-Type: application/json' -d '{"conversation": "monday", "speaker": "Mira", "text": "We have moved from Lisbon to Bergen."}'`),
      h("button", { type: "button", class: "primary", onclick: begin }, "Look again")));
    return;
  }
  try {
    await VIEWS[view](main, { space: picker.value, rest, signal: leaving.signal, address });
  } catch (error) {
    if (!leaving.signal.aborted) refuse(error);
  }
}

function refuse(error) {
  fill(main, Refused(error, begin));
  if (error.status === 401) askForKey(error);
}

/** Return the spaces; none where the key may not list them: other views may be open to it. */
async function listed() {
  unlisted = null;
  try {
    return await api.spaces();
  } catch (error) {
    if (error.status !== 403) throw error;
    unlisted = error;
    return [];
  }
}

async function begin() {
  try {
    const spaces = await listed();
    const before = picker.value;
    fill(picker, spaces.map(({ space, memories }) =>
      h("option", { value: space }, `${space} (${memories.toLocaleString("en")})`)));
    picker.disabled = !spaces.length;
    if (spaces.some(({ space }) => space === before)) picker.value = before;
    await show();
  } catch (error) {
    refuse(error);
  }
}

function askForKey(error = null) {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key-field");
  field.value = api.key.get();
  if (error) document.getElementById("key-why").textContent = error.message;
  if (!dialog.open) dialog.showModal();
  field.focus();
}

function installKey() {
  const dialog = document.getElementById("key-dialog");
  document.getElementById("key-button").addEventListener("click", () => askForKey());
  document.getElementById("key-field").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("use");
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "use") api.key.set(document.getElementById("key-field").value.trim());
    else if (dialog.returnValue === "forget") api.key.set("");
    else return;
    dialog.returnValue = "";
    begin();
  });
}

async function watchReady() {
  const ready = document.getElementById("ready");
  const look = async () => {
    const well = await api.ready().catch(() => false);
    const text = well ? "Ready" : "Not ready";
    if (ready.textContent !== text) ready.textContent = text;
    ready.dataset.well = String(well);
  };
  await look();
  setInterval(look, READY_EVERY_MS);
}

picker.addEventListener("change", () => {
  location.hash = address(place().view, picker.value);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # says where we are
  main.focus();
});
addEventListener("hashchange", show);
installTheme(document.getElementById("theme-button"));
installKey();
watchReady();
begin();

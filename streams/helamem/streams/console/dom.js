/** Elements made of plain data: text stays text, whatever somebody said. */

const SVG = "http://www.w3.org/2000/svg";

/** Return an element: `attributes` by name, `on…` are listeners, `style` sets properties; children are nodes or text. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Return an element of a picture. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Say something to whoever listens instead of looking. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Whether things should not move. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Return a function that is called once for many calls, a moment later. */
export function calmly(call, waitMs = 60) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), waitMs);
  };
}

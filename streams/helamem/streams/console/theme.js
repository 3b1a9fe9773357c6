/** Dark or light: as the system has it, until somebody chooses. */

const CHOSEN = "helamem.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

const chosen = () => localStorage.getItem(CHOSEN);
export const isDark = () => (chosen() ?? (dark.matches ? "dark" : "light")) === "dark";
export const onTheme = (listener) => listeners.add(listener);

/** Return a colour of the palette by its name. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Let a button change it. */
export function installTheme(button) {
  const apply = () => {
    if (chosen()) document.documentElement.dataset.theme = chosen();
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    for (const listener of listeners) listener();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(CHOSEN, isDark() ? "light" : "dark");
    apply();
  });
  dark.addEventListener("change", apply);
  apply();
}

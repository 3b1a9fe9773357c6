/** Dark or light: as the system has it, until somebody chooses. */

const CHOSEN = "helamem.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

const chosen = () => localStorage.getItem(CHOSEN);
export const isDark = () => (chosen() ?? (system.matches ? "dark" : "light")) === "dark";
export const onTheme = (listener) => listeners.add(listener);

/** Return a colour of the palette by its name, for what is painted and has no style that could tell light from dark. */
export function colour(name) {
  const [light, dark] = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).match(/#[0-9a-f]{6}/g);
  return isDark() ? dark : light;
}

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
  system.addEventListener("change", apply);
  apply();
}

/* What a reader can do around the text: light or dark, search, the two sides, and where in the page they are.
   In the place of the theme's scripts, which bring Bootstrap along. */

"use strict";

const root = document.documentElement;

/* Light, dark, or as the system has it; remembered if the browser lets us. */
const MODES = { auto: "as the system", light: "light", dark: "dark" };
const system = matchMedia("(prefers-color-scheme: dark)");
const switches = document.querySelectorAll(".theme-switch-button");

function colour(mode) {
  root.dataset.mode = mode;
  root.dataset.theme = mode === "auto" ? (system.matches ? "dark" : "light") : mode;
  for (const button of switches) button.setAttribute("aria-label", `Colours: ${MODES[mode]}`);
}

for (const button of switches) {
  button.addEventListener("click", () => {
    const names = Object.keys(MODES);
    colour(names[(names.indexOf(root.dataset.mode) + 1) % names.length]);
    try {
      localStorage.setItem("mode", root.dataset.mode);
    } catch {
      // Forbidden: it holds for this page.
    }
  });
}
system.addEventListener("change", () => colour(root.dataset.mode));
colour(root.dataset.mode in MODES ? root.dataset.mode : "auto");

/* A click on what lies around a dialog closes it; so does Escape, which Sphinx's highlighter takes away. */
function closable(dialog) {
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("keydown", ({ key }) => key === "Escape" && dialog.close());
}

const search = document.getElementById("pst-search-dialog");
closable(search);
for (const button of document.querySelectorAll(".search-button__button")) {
  button.addEventListener("click", () => search.showModal());
}
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (search.open) search.close();
  else search.showModal();
});

/* A side that a narrow window has no room for opens as a dialog; the left one can be put away in a wide window too. */
for (const [name, wide] of [["primary", "(min-width: 992px)"], ["secondary", "(min-width: 1200px)"]]) {
  const button = document.querySelector(`.${name}-toggle`);
  const side = document.getElementById(`pst-${name}-sidebar`);
  const dialog = document.getElementById(`pst-${name}-sidebar-modal`);
  if (!button || !side) continue;
  const classes = side.className;
  closable(dialog);
  button.addEventListener("click", () => {
    if (matchMedia(wide).matches) {
      side.classList.toggle("pst-sidebar-hidden");
      return;
    }
    dialog.className = classes;
    dialog.append(...side.childNodes);
    dialog.showModal();
  });
  dialog.addEventListener("click", ({ target }) => target.closest("a[href^='#']") && dialog.close());
  dialog.addEventListener("close", () => {
    side.append(...dialog.childNodes);
    dialog.className = "";
  });
}

/* The heading above what is read is marked in the page's contents. */
const links = new Map();
for (const link of document.querySelectorAll("#pst-page-toc-nav a[href^='#']")) {
  const part = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  if (part) links.set(part, link);
}
const seen = new Set();
const watch = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) seen[isIntersecting ? "add" : "delete"](target);
    const here = [...links.keys()].filter((part) => seen.has(part)).pop();
    for (const [part, link] of links) {
      link.classList.toggle("active", part === here);
      if (part === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-15% 0px -80% 0px" },
);
for (const part of links.keys()) watch.observe(part);

/* What scrolls sideways can be scrolled by the keyboard. */
const wide = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const each of document.querySelectorAll("article :is(pre, table, div.math, .cell_output > .output)")) wide.observe(each);

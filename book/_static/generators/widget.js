/* What the widgets share: how they open, pictures, sliders one may also type into, and one job at a time. */

import { Studio, facts } from "./studio.js";

/* Opens a widget: its still picture stays until the first one is drawn. All that it needs is asked for at once. */
export async function opened(Widget, figure, name, networks) {
  const studio = new Studio();
  const [found] = await Promise.all([facts(name), ...networks.map((network) => studio.bring(network))]);
  const widget = new Widget(figure, studio, found, networks);
  await widget.draw();
  widget.ready();
  widget.show();
  figure.dataset.state = "ready";
}

export const MARK = "#ffa552"; // on pictures, which are dark whatever the page is

export class Picture {
  /* A canvas of `side` pixels for images in [-1, 1]; how large it is shown is the style sheet's business. */
  constructor(side, className = "") {
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = side;
    this.canvas.className = `studio-picture ${className}`;
    this.canvas.setAttribute("role", "img");
    this.context = this.canvas.getContext("2d");
    if (!this.context) throw new Error("This browser has no canvas to draw on.");
  }

  show(data, label) {
    const { width } = this.canvas;
    const image = new ImageData(width, width);
    for (let i = 0; i < data.length; i++) {
      image.data.fill(Math.round(127.5 * (Math.min(1, Math.max(-1, data[i])) + 1)), 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    this.context.putImageData(image, 0, 0);
    this.canvas.setAttribute("aria-label", label);
  }
}

/* Draws and shows `widget`, and is never at work twice at once: of what is asked meanwhile, the last is drawn. Until
   then the pictures are marked as busy. */
export function redrawing(widget) {
  let [busy, again] = [null, false];
  const stage = widget.figure.querySelector(".studio-stage");
  const loop = async () => {
    stage.setAttribute("aria-busy", true);
    do {
      again = false;
      await widget.draw();
      widget.show();
    } while (again);
  };
  const rest = () => {
    busy = null;
    stage.setAttribute("aria-busy", false);
  };
  return () => {
    if (busy) again = true;
    else busy = loop().finally(rest);
    return busy;
  };
}

/* A number from `least` to `most`, with a minus that reads as one. */
export const written = (value, digits = 1) => value.toFixed(digits).replace("-", "\u2212").replace(/^\u2212(0\.?0*)$/, "$1");

/* Number fields that refuse the absurd with a sentence. `valid` turns text into a number or returns null. */
export function typed(input, valid, wanted, { say, change }) {
  input.addEventListener("change", () => {
    const value = valid(input.value);
    if (value === null) say(wanted);
    else say("");
    input.setAttribute("aria-invalid", value === null);
    change(value);
  });
}

/* A slider and the field beside it, for one number; returns how to set both. */
export function slider(row, { least, most, step, why, say, change }) {
  const [range, field] = row.querySelectorAll("input");
  Object.assign(range, { min: least, max: most, step });
  Object.assign(field, { min: least, max: most, step });
  const set = (value) => {
    range.value = field.value = value;
    field.setAttribute("aria-invalid", false);
  };
  range.addEventListener("input", () => {
    set(Number(range.value));
    say("");
    change(Number(range.value));
  });
  const wanted = `Type a number from ${written(least, 0)} to ${most}: ${why}`;
  typed(field, (text) => within(text, least, most), wanted, {
    say,
    change: (value) => {
      if (value === null) return;
      set(value);
      change(value);
    },
  });
  return set;
}

export function within(text, least, most) {
  const value = Number(text);
  return text.trim() !== "" && value >= least && value <= most ? value : null;
}

/* A seed of the library's random numbers. */
export const SEEDS = 2 ** 32;
export const seed = (text) => (/^\d{1,10}$/.test(text.trim()) && Number(text) < SEEDS ? Number(text) : null);
export const SEED_WANTED = "Type a whole number from 0 to 4294967295: it is the seed of the noise.";
export const anySeed = () => Math.floor(1e4 * Math.random());

/* Bytes in base64 as grey values in [-1, 1]. */
export const bytes = (text) => Float32Array.from(atob(text), (character) => character.charCodeAt(0) / 127.5 - 1);

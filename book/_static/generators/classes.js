/* Chapter 5: a conditional GAN at one's orders. */

import { latent } from "./random.js";
import { shrunk } from "./neighbours.js";
import { Picture, SEED_WANTED, anySeed, opened, redrawing, seed, typed, written } from "./widget.js";

const NETWORK = "conditional_gan_mednist_64";
// The library draws noise for the label's part of z, too, and cuts it off.
const [SIDE, LENGTH, LABEL, COLUMNS, ROWS] = [64, 64, 16, 6, 3];
const ALL = -1;

const markup = (names) => `
  <div class="studio-row" role="group" aria-label="Which class to draw">
    <button type="button" data-class="${ALL}">All six</button>
    ${names.map((name, k) => `<button type="button" data-class="${k}">${name}</button>`).join("")}
  </div>
  <div class="studio-row">
    <label>Noise <input type="number" name="noise" min="0" step="1"></label>
    <button type="button" data-do="other">Other noise</button>
  </div>
  <p class="studio-verdict"></p>
  <p class="studio-said" role="status"></p>`;

export const start = (figure) => opened(Classes, figure, "classes", [NETWORK]);

class Classes {
  constructor(figure, studio, found) {
    this.figure = figure;
    this.panel = figure.querySelector(".studio-panel");
    this.studio = studio;
    this.facts = found;
    this.pictures = Array.from({ length: COLUMNS * ROWS }, () => new Picture(SIDE));
    this.seed = 0;
    this.asked = ALL;
    this.redraw = redrawing(this);
  }

  ready() {
    const { panel } = this;
    panel.innerHTML = markup(this.facts.names);
    this.figure.querySelector(".studio-stage").replaceChildren(...this.pictures.map(({ canvas }) => canvas));
    this.noise = panel.querySelector("[name=noise]");
    this.noise.value = this.seed;
    const say = (text) => (panel.querySelector(".studio-said").textContent = text);
    const change = () => this.redraw().catch(({ message }) => say(message));
    typed(this.noise, seed, SEED_WANTED, { say, change: (value) => value !== null && ((this.seed = value), change()) });
    panel.addEventListener("click", ({ target }) => {
      const { dataset } = target;
      if (dataset.do === "other") {
        this.noise.value = this.seed = anySeed();
        this.noise.setAttribute("aria-invalid", false);
      } else if (dataset.class) this.asked = Number(dataset.class);
      else return;
      say("");
      change();
    });
  }

  /* One class with 18 noises; or all classes, one a column, with three. */
  async draw() {
    const { asked } = this;
    const all = asked === ALL;
    const noises = latent(all ? ROWS : COLUMNS * ROWS, LENGTH + LABEL, this.seed);
    const inputs = this.pictures.map((_, i) => ({
      data: noises[all ? Math.floor(i / COLUMNS) : i].subarray(0, LENGTH),
      channels: LENGTH,
      label: all ? i % COLUMNS : asked,
    }));
    this.drawn = { asked, images: await this.studio.run(NETWORK, inputs) };
  }

  show() {
    const { asked, images } = this.drawn;
    const { names, spread: real, surrogate } = this.facts;
    const name = (i) => names[asked === ALL ? i % COLUMNS : asked];
    this.pictures.forEach((picture, i) => picture.show(images[i], `${name(i)}, generated`));
    for (const button of this.panel.querySelectorAll("[data-class]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.class) === asked);
    }
    const share = asked === ALL ? null : spread(images, SIDE) / real[asked];
    this.panel.querySelector(".studio-verdict").textContent =
      share === null
        ? "A column is a class, a row one noise. Choose a class to see how much its images differ."
        : `${names[asked]}: these ${images.length} differ from one another ${written(share, 2)} times as much as ${surrogate ? "phantoms" : "real images"} of the class do. ${
            share < 0.35 ? "Collapsed: it is one image again and again." : ""
          }`;
  }
}

/* metrics.diversity.spread before the division: standard deviations of means over 4 × 4 pixels. */
export function spread(images, side) {
  const blocks = images.map((image) => shrunk(image, side, side / 4));
  const deviation = blocks[0].map((_, b) => {
    const mean = blocks.reduce((sum, image) => sum + image[b], 0) / blocks.length;
    return Math.sqrt(blocks.reduce((sum, image) => sum + (image[b] - mean) ** 2, 0) / (blocks.length - 1));
  });
  return deviation.reduce((sum, value) => sum + value, 0) / deviation.length;
}

/* Chapter 4: a DCGAN's latent space, with sliders along directions that mean something. */

import { air, lungBrightness } from "./chest.js";
import { onArc, radius, steered } from "./latent.js";
import { Neighbours } from "./neighbours.js";
import { latent } from "./random.js";
import { Picture, SEED_WANTED, anySeed, opened, redrawing, seed, slider, typed, written } from "./widget.js";

const [NETWORK, WITNESS] = ["dcgan_pneumoniamnist_64", "features_pneumoniamnist_64"];
const [SIDE, LENGTH] = [64, 64];
const STOPS = [0, 0.25, 0.5, 0.75, 1]; // of the strip between two samples
const SHOWN = 4; // neighbours
const percent = (share) => `${Math.round(100 * share)} %`;
const grey = (value) => written(value, 2);
// The properties in the order of metrics.steering.chest_properties.
const PROPERTIES = [
  { name: "Pneumonia, says the witness", write: percent },
  { name: "Brightness of the lungs", write: grey },
  { name: "Size of the lung fields", write: percent },
];

const row = (name, label) => `
  <div class="studio-slider" data-slider="${name}"><label><span>${label}</span><input type="range"></label>
  <input type="number" aria-label="${label}: type a number"><span class="studio-value"></span></div>`;

const MARKUP = `
  <div class="studio-row">
    <label>From sample <input type="number" name="from" min="0" step="1"></label>
    <label>to sample <input type="number" name="to" min="0" step="1"></label>
    <button type="button" data-do="other">Other samples</button>
  </div>
  ${row("way", "Way from one to the other, %")}
  <p class="studio-head">Then, in standard deviations of z:</p>
  ${PROPERTIES.map(({ name }, k) => row(k, name)).join("")}
  <div class="studio-row">
    <button type="button" data-do="back">Back to the sample</button>
    <span class="studio-radius"></span>
  </div>
  <p class="studio-said" role="status"></p>`;

const NEIGHBOURS = `
  <button type="button" data-do="compare">Nearest real X-rays</button>
  <div class="studio-found"></div>
  <p class="studio-distance"></p>`;

export const start = (figure) => opened(Explorer, figure, "explorer", [NETWORK, WITNESS]);

class Explorer {
  constructor(figure, studio, found) {
    this.figure = figure;
    this.panel = figure.querySelector(".studio-panel");
    this.studio = studio;
    this.facts = found;
    this.picture = new Picture(SIDE, "studio-large");
    this.strip = STOPS.map(() => new Picture(SIDE));
    this.seeds = { from: 1, to: 3 };
    this.way = 0;
    this.amounts = PROPERTIES.map(() => 0);
    this.redraw = redrawing(this);
  }

  /* What was drawn takes the place of the still picture. */
  ready() {
    const { panel } = this;
    panel.innerHTML = MARKUP;
    this.figure.querySelector(".studio-stage").replaceChildren(...[this.picture, ...this.strip].map(({ canvas }) => canvas));
    const say = (text) => this.say(text);
    const change = () => this.redraw().catch(({ message }) => say(message));
    this.fields = {};
    for (const name of ["from", "to"]) {
      this.fields[name] = panel.querySelector(`[name=${name}]`);
      typed(this.fields[name], seed, SEED_WANTED, {
        say,
        change: (value) => value !== null && ((this.seeds[name] = value), change()),
      });
    }
    const at = (name) => panel.querySelector(`[data-slider="${name}"]`);
    this.setWay = slider(at("way"), {
      least: 0,
      most: 100,
      step: 1,
      why: "0 is the first sample, 100 the second.",
      say,
      change: (value) => ((this.way = value / 100), change()),
    });
    const { positions } = this.facts;
    this.setAmounts = PROPERTIES.map((_, k) =>
      slider(at(k), {
        least: positions[0],
        most: positions.at(-1),
        step: 0.1,
        why: "further out G has hardly ever been asked to draw.",
        say,
        change: (value) => ((this.amounts[k] = value), change()),
      }),
    );
    const neighbours = document.createElement("div");
    neighbours.className = "studio-neighbours";
    neighbours.innerHTML = NEIGHBOURS;
    this.figure.append(neighbours);
    this.found = Array.from({ length: SHOWN }, () => new Picture(this.facts.neighbours.size));
    neighbours.querySelector(".studio-found").replaceChildren(...this.found.map(({ canvas }) => canvas));
    for (const { canvas } of this.found) canvas.setAttribute("aria-label", "Not searched yet");
    this.figure.addEventListener("click", ({ target }) => target.dataset.do && this[target.dataset.do](change));
    this.setFields();
  }

  say(text) {
    this.panel.querySelector(".studio-said").textContent = text;
  }

  other(change) {
    this.seeds = { from: anySeed(), to: anySeed() };
    this.setFields();
    change();
  }

  back(change) {
    this.way = 0;
    this.amounts.fill(0);
    this.setFields();
    change();
  }

  async compare() {
    if (this.neighbours) return;
    this.say("The training images are being fetched.");
    try {
      this.neighbours = await Neighbours.fetched(this.facts.neighbours);
      this.say("");
      this.compared();
    } catch ({ message }) {
      this.say(message);
    }
  }

  setFields() {
    for (const [name, field] of Object.entries(this.fields)) {
      field.value = this.seeds[name];
      field.setAttribute("aria-invalid", false);
    }
    this.setWay(Math.round(100 * this.way));
    this.setAmounts.forEach((set, k) => set(this.amounts[k]));
    this.say("");
  }

  async draw() {
    const { chest, directions } = this.facts;
    const ends = ["from", "to"].map((name) => latent(1, LENGTH, this.seeds[name])[0]);
    const asked = [this.way, ...STOPS].map((t) => steered(onArc(...ends, t), directions, this.amounts));
    const images = await this.studio.run(NETWORK, asked.map((data) => ({ data, channels: LENGTH })));
    const [[normal, ill]] = await this.studio.run(WITNESS, [{ data: images[0], channels: 1, height: SIDE, width: SIDE }]);
    const measured = [1 / (1 + Math.exp(normal - ill)), lungBrightness(images[0], SIDE, chest), air(images[0], SIDE, chest)];
    this.drawn = { images, measured, radius: radius(asked[0]), amounts: [...this.amounts] };
  }

  show() {
    const { images, measured, amounts } = this.drawn;
    const words = PROPERTIES.map(({ name, write }, k) => `${name}: ${write(measured[k])}`).join(". ");
    this.picture.show(images[0], `A generated chest X-ray. ${words}.`);
    this.strip.forEach((picture, i) => picture.show(images[i + 1], `${percent(STOPS[i])} of the way`));
    PROPERTIES.forEach(({ write }, k) => {
      const average = this.expected(k, amounts[k]);
      const at = written(amounts[k], Number.isInteger(amounts[k]) ? 0 : 1);
      const text = `here ${write(measured[k])}; mean of ${this.facts.probes} at ${at}: ${write(average)}`;
      const row = this.panel.querySelector(`[data-slider="${k}"]`);
      row.querySelector(".studio-value").textContent = text;
      row.querySelector("[type=range]").setAttribute("aria-valuetext", `${at}, ${text}`);
    });
    this.panel.querySelector(".studio-radius").textContent = `|z| = ${written(this.drawn.radius)}; N(0, I) lies near ${Math.sqrt(LENGTH)}`;
    if (this.neighbours) this.compared();
  }

  /* The property's mean over the probes with its slider alone at `amount`. */
  expected(k, amount) {
    const { positions, moved } = this.facts;
    const right = Math.min(positions.length - 1, Math.max(1, positions.findIndex((position) => position >= amount)));
    const share = (amount - positions[right - 1]) / (positions[right] - positions[right - 1]);
    return moved[k][right - 1][k] * (1 - share) + moved[k][right][k] * share;
  }

  compared() {
    const { count, size, strangers, apart, surrogate } = this.facts.neighbours;
    const kind = surrogate ? "phantom" : "real X-ray";
    const found = this.neighbours.nearest(this.drawn.images[0], SIDE, SHOWN);
    found.forEach(({ image, distance, number }, i) => {
      this.found[i].show(image, `Training image ${number}, a ${kind}; it differs by ${grey(distance)}`);
      this.found[i].canvas.title = `Training image ${number}: ${grey(distance)}`;
    });
    const nearer = apart.filter((distance) => distance < found[0].distance).length / apart.length;
    this.figure.querySelector(".studio-distance").textContent =
      `The nearest of all ${count} training images${surrogate ? " (phantoms, not patients)" : ""}, searched at ${size} × ${size} pixels: it differs by ${grey(found[0].distance)} (root mean square; grey values lie from −1 to 1). Of ${strangers} ${kind}s that G never saw, ${percent(nearer)} have a nearer one.`;
  }
}

/* Chapters 5 and 6: paint a lesion into a T1 slice and see what a translator makes of it in T2. */

import { MARK, Picture, bytes, opened, redrawing, slider, written } from "./widget.js";

const row = (name, label) => `
  <div class="studio-slider" data-slider="${name}"><label><span>${label}</span><input type="range"></label>
  <input type="number" aria-label="${label}: type a number"></div>`;

const MARKUP = `
  <p class="studio-hint">Paint on the large T1: with the mouse, with a finger, or with the arrow keys; the space bar puts the brush down and up.</p>
  <div class="studio-row">
    <label>Slice <select></select></label>
    <button type="button" data-do="paint">Paint</button>
    <button type="button" data-do="erase">Erase</button>
    <button type="button" data-do="example">Paint one for me</button>
    <button type="button" data-do="reset">Reset</button>
  </div>
  ${row("grey", "Grey value of the paint: −1 black, 1 white")}
  ${row("radius", "Radius of the brush, in pixels")}
  <p class="studio-verdict"></p>
  <p class="studio-real"></p>
  <p class="studio-said" role="status"></p>`;

export const start = (figure) => opened(Lesion, figure, "lesion", ["pix2pix_openms_64"]);

export class Lesion {
  constructor(figure, studio, found, [network]) {
    this.figure = figure;
    this.panel = figure.querySelector(".studio-panel");
    this.studio = studio;
    this.network = network;
    this.press = {
      paint: () => this.use(true),
      erase: () => this.use(false),
      example: () => this.example(),
      reset: () => this.reset(),
    };
    this.facts = found;
    this.brush = { ...found.example, paints: true };
    this.side = found.size;
    for (const name of ["t1", "t2"]) this[name] = found[name].map(bytes);
    [this.source, this.made, this.truth] = [new Picture(this.side, "studio-canvas"), new Picture(this.side), new Picture(this.side)];
    this.choose(0);
    this.stroke(found.example.x, found.example.y);
    this.redraw = redrawing(this);
  }

  choose(slice) {
    this.slice = slice;
    this.paint = new Float32Array(this.side ** 2).fill(NaN); // where nothing is painted
  }

  get painted() {
    return this.t1[this.slice].map((value, i) => (Number.isNaN(this.paint[i]) ? value : this.paint[i]));
  }

  stroke(x, y) {
    const { radius, grey, paints } = this.brush;
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        const [column, row] = [Math.floor(x) + dx, Math.floor(y) + dy];
        const inside = Math.min(column, row) >= 0 && Math.max(column, row) < this.side;
        if (inside && dx * dx + dy * dy <= radius * radius) this.paint[row * this.side + column] = paints ? grey : NaN;
      }
    }
  }

  /* What the network makes of the slice as it was, and as it is painted, with the same dropout. */
  async draw() {
    const { slice } = this;
    const input = (data) => ({ data, channels: 1, height: this.side, width: this.side });
    const mask = this.paint.map((value) => (Number.isNaN(value) ? 0 : 1));
    const images = [this.t1[slice], this.painted];
    const [before, after] = await this.studio.run(this.network, images.map(input));
    this.drawn = { slice, mask, t1: images, t2: [before, after] };
  }

  ready() {
    const { panel } = this;
    panel.innerHTML = MARKUP;
    this.figure.querySelector(".studio-stage").replaceChildren(...[this.source, this.made, this.truth].map(({ canvas }) => canvas));
    this.said = panel.querySelector(".studio-said");
    this.change = () => this.redraw().catch(({ message }) => (this.said.textContent = message));
    this.select = panel.querySelector("select");
    this.select.innerHTML = this.t1.map((_, i) => `<option value="${i}">${i + 1} of ${this.t1.length}</option>`).join("");
    this.select.addEventListener("change", () => {
      this.choose(Number(this.select.value));
      this.change();
    });
    panel.addEventListener("click", ({ target }) => target.dataset.do && this.press[target.dataset.do]());
    const say = (text) => (this.said.textContent = text);
    const field = (name, settings) =>
      slider(panel.querySelector(`[data-slider=${name}]`), { say, change: (value) => (this.brush[name] = value), ...settings });
    field("grey", { least: -1, most: 1, step: 0.05, why: "no pixel is darker than black or brighter than white." })(this.brush.grey);
    field("radius", { least: 0, most: 8, step: 1, why: "0 paints a single pixel." })(this.brush.radius);
    const { contrast, compared, ring, truth } = this.facts;
    panel.querySelector(".studio-real").textContent =
      `For comparison, ${compared}: against the ${ring} pixels around them they are ${signed(contrast.t1)} in T1, ${signed(contrast.t2)} in the ${truth} T2 and ${signed(contrast.made)} in the made one.`;
    this.allowPainting();
    this.use(true);
  }

  use(paints) {
    this.brush.paints = paints;
    this.panel.querySelector("[data-do=paint]").setAttribute("aria-pressed", paints);
    this.panel.querySelector("[data-do=erase]").setAttribute("aria-pressed", !paints);
  }

  reset() {
    this.choose(this.slice);
    this.change();
  }

  example() {
    const [kept, { example }] = [this.brush, this.facts];
    this.brush = { ...example, paints: true };
    this.stroke(example.x, example.y);
    this.brush = kept;
    this.change();
  }

  allowPainting() {
    const { canvas } = this.source;
    canvas.tabIndex = 0;
    const scale = () => this.side / canvas.clientWidth;
    const touch = ({ offsetX, offsetY }) => {
      this.stroke(offsetX * scale(), offsetY * scale());
      this.showSource();
      this.change();
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.down = true;
      this.pen = null;
      touch(event);
    });
    canvas.addEventListener("pointermove", (event) => this.down && touch(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.down = false));
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move && event.key !== " ") return;
      event.preventDefault();
      this.pen ??= { at: [this.side / 2, this.side / 2], down: false };
      if (move) this.pen.at = this.pen.at.map((value, i) => Math.min(this.side - 1, Math.max(0, value + move[i])));
      else this.pen.down = !this.pen.down;
      if (this.pen.down) {
        this.stroke(...this.pen.at);
        this.change();
      }
      this.showSource();
    });
    canvas.addEventListener("blur", () => {
      this.pen = null;
      this.showSource();
    });
  }

  showSource() {
    this.source.show(this.painted, `T1, slice ${this.slice + 1}, to paint on`);
    if (!this.pen) return;
    const { context } = this.source;
    const { radius } = this.brush;
    const [x, y] = this.pen.at;
    context.strokeStyle = this.pen.down ? MARK : "#7cc4f0";
    context.strokeRect(x - radius - 0.5, y - radius - 0.5, 2 * radius + 2, 2 * radius + 2);
  }

  show() {
    const { slice, mask, t1, t2 } = this.drawn;
    const count = mask.reduce((sum, value) => sum + value, 0);
    this.showSource();
    this.truth.show(this.t2[slice], `T2, ${this.facts.truth}, of the slice as it was`);
    let words = `Nothing is painted: above the T2 that the network makes of this T1, below the ${this.facts.truth} one.`;
    if (count) {
      const [[, t1After], [t2Before, t2After]] = [t1, t2].map((pair) => pair.map((data) => contrast(data, mask, this.side, this.facts.ring)));
      words = `Your lesion, ${count} pixels, is ${signed(t1After)} in T1. In the made T2 the same place is ${signed(t2After)}; before you painted it was ${signed(t2Before)}. ${verdict(t2After - t2Before, this.facts.contrast.t2)}`;
    }
    this.made.show(t2[1], `T2, made from T1. ${words}`);
    this.panel.querySelector(".studio-verdict").textContent = words;
    if (!this.down) this.said.textContent = "";
  }
}

/* Half of what real lesions have in T2, gained by painting, is called arriving. */
function verdict(gained, real) {
  if (gained >= real / 2) return "It arrives, bright as lesions are in T2.";
  if (gained <= -real / 2) return "It arrives as a dark spot, which in T2 no such lesion is.";
  return "It does not arrive.";
}

function signed(value) {
  const size = written(Math.abs(value), 2);
  return size === "0.00" ? "as bright as what is around it" : `${size} ${value < 0 ? "darker" : "brighter"}`;
}

/* By how much the pixels of a mask are brighter than those up to `ring` pixels around it. */
export function contrast(data, mask, side, ring) {
  const [inside, around] = [[], []];
  const near = (x, y) => {
    for (let dy = -ring; dy <= ring; dy++) {
      for (let dx = -ring; dx <= ring; dx++) {
        const [column, row] = [x + dx, y + dy];
        if (Math.min(column, row) >= 0 && Math.max(column, row) < side && mask[row * side + column]) return true;
      }
    }
    return false;
  };
  for (let i = 0; i < data.length; i++) {
    if (mask[i]) inside.push(data[i]);
    else if (near(i % side, Math.floor(i / side))) around.push(data[i]);
  }
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  return mean(inside) - mean(around);
}

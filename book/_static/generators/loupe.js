/* Chapter 7: what a super-resolver adds, under a loupe, beside the truth and bicubic interpolation. */

import { MARK, Picture, bytes, opened, redrawing, written } from "./widget.js";

const NETWORKS = { SRResNet: "srgan_pneumoniamnist_64_SRResNet", SRGAN: "srgan_pneumoniamnist_64_SRGAN" };
const METHODS = ["bicubic", "SRResNet", "SRGAN", "truth"];
const GLASS = 16; // pixels of its side

const MARKUP = `
  <p class="studio-hint">Move the loupe on the large image: with the mouse, with a finger, or with the arrow keys. Below it, what lies under the glass.</p>
  <div class="studio-row"><label>Patient <select name="patient"></select></label>
  <label>Large <select name="shown">${METHODS.map((name) => `<option>${name}</option>`).join("")}</select></label></div>
  <table class="studio-table"><thead><tr><th scope="col">answer</th><th scope="col">error under the loupe</th><th scope="col">PSNR, whole image</th></tr></thead><tbody></tbody></table>
  <p class="studio-note"></p>
  <p class="studio-said" role="status"></p>`;

export const start = (figure) => opened(Loupe, figure, "loupe", Object.values(NETWORKS));

class Loupe {
  constructor(figure, studio, found) {
    this.figure = figure;
    this.panel = figure.querySelector(".studio-panel");
    this.studio = studio;
    this.glass = METHODS.map(() => new Picture(GLASS));
    this.patient = 0;
    this.shown = "SRGAN";
    this.facts = found;
    this.side = found.size;
    this.picture = new Picture(found.size, "studio-large studio-canvas");
    this.corner = found.corner;
    for (const name of ["truth", "bicubic"]) this[name] = found[name].map(bytes);
    this.redraw = redrawing(this);
  }

  async draw() {
    const { patient } = this;
    const side = this.side / this.facts.factor;
    const input = { data: Float32Array.from(this.facts.small[patient]), channels: 1, height: side, width: side };
    const answers = { bicubic: this.bicubic[patient], truth: this.truth[patient] };
    for (const [name, network] of Object.entries(NETWORKS)) {
      const [image] = await this.studio.run(network, [input]);
      answers[name] = image.map((value) => Math.min(1, Math.max(-1, value)));
    }
    this.drawn = { patient, answers };
  }

  ready() {
    const { panel, picture } = this;
    panel.innerHTML = MARKUP;
    this.figure.querySelector(".studio-stage").replaceChildren(...[picture, ...this.glass].map(({ canvas }) => canvas));
    const [patients, shown] = panel.querySelectorAll("select");
    patients.innerHTML = this.truth.map((_, i) => `<option value="${i}">${i + 1} of ${this.truth.length}</option>`).join("");
    patients.addEventListener("change", () => {
      this.patient = Number(patients.value);
      this.redraw().catch(({ message }) => (panel.querySelector(".studio-said").textContent = message));
    });
    shown.value = this.shown;
    shown.addEventListener("change", () => {
      this.shown = shown.value;
      this.show();
    });
    this.rows = panel.querySelector("tbody");
    panel.querySelector(".studio-note").textContent =
      `The small image has ${this.side / this.facts.factor} × ${this.side / this.facts.factor} pixels; every answer has ${this.side} × ${this.side}. Errors are root mean squares of grey values from −1 to 1.${this.facts.surrogate ? " These are phantoms, not patients." : ""}`;
    this.allowMoving();
  }

  allowMoving() {
    const { canvas } = this.picture;
    canvas.tabIndex = 0;
    let down = false;
    const follow = ({ offsetX, offsetY }) => {
      const scale = this.side / canvas.clientWidth;
      this.move(Math.round(offsetX * scale - GLASS / 2), Math.round(offsetY * scale - GLASS / 2));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      down = true;
      follow(event);
    });
    canvas.addEventListener("pointermove", (event) => down && follow(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (down = false));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(this.corner[0] + step[0], this.corner[1] + step[1]);
    });
  }

  move(...corner) {
    this.corner = corner.map((at) => Math.min(this.side - GLASS, Math.max(0, at)));
    this.show();
  }

  show() {
    const { patient, answers } = this.drawn;
    const { truth } = answers;
    const [left, top] = this.corner;
    const under = (data) => Float32Array.from({ length: GLASS ** 2 }, (_, i) => data[(top + Math.floor(i / GLASS)) * this.side + left + (i % GLASS)]);
    this.picture.show(answers[this.shown], `Patient ${patient + 1}, ${this.shown}; the loupe is ${left} pixels from the left and ${top} from the top`);
    const { context } = this.picture;
    context.strokeStyle = MARK;
    context.strokeRect(left - 0.5, top - 0.5, GLASS + 1, GLASS + 1);
    const measured = METHODS.map((name, i) => {
      this.glass[i].show(under(answers[name]), `Under the loupe: ${name}`);
      const error = Math.sqrt(meanSquare(under(answers[name]), under(truth)));
      return [name, written(error, 2), name === "truth" ? "" : `${written(psnr(answers[name], truth))} dB`];
    });
    this.rows.innerHTML = measured
      .map(([name, ...values]) => `<tr><th scope="row">${name}</th>${values.map((value) => `<td>${value}</td>`).join("")}</tr>`)
      .join("");
  }
}

const meanSquare = (a, b) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / a.length;

/* metrics.fidelity.psnr with a range of 2, in decibels. */
export const psnr = (image, truth) => 10 * Math.log10(4 / meanSquare(image, truth));

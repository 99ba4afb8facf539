/* The game on the page: canvases, controls, words. Everything that is computed is in the files beside this one. */

import { LOOK, diagnose, measure } from "./diagnosis.js";
import { Game } from "./game.js";
import { REACH, drawCosts, drawPlane, palette } from "./picture.js";
import { Generator } from "./random.js";
import { LUNGS, drawing, moons, ring } from "./targets.js";
import { trained } from "./trained.js";

const SHOWN = 300; // points of each kind, and steps of the costs
const LATENT = new Generator(5).normal(2 * SHOWN); // the same noise in every picture
const START = { loss: "nonSaturating", rateG: 1e-3, rateD: 1e-3, stepsD: 1 };
const FAILURES = {
  collapse: { loss: "nonSaturating", rateG: 3e-3, rateD: 3e-4, stepsD: 1 },
  oscillation: { loss: "leastSquares", rateG: 1e-2, rateD: 1e-3, stepsD: 1 },
};
// The critic with a penalty wants a lead.
const SUITS = { wasserstein: { rateG: 3e-4, rateD: 1e-3, stepsD: 3 } };
const AT_ONCE = 100; // steps a press where nothing may move
const SLOW = 400; // milliseconds a step
const PACE = 8; // milliseconds a step otherwise, if the computer keeps up
const FRAME = 30; // milliseconds of playing between two pictures, at most
const WORDS = 50; // steps between two sentences that differ in their numbers alone
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

const MARKUP = `
  <div class="game-verdict"><p class="game-names"></p><p class="game-words"></p></div>
  <p class="game-said" role="status"></p>
  <div class="game-buttons" role="group" aria-label="Play the game">
    <button type="button" data-do="play">Play</button>
    <button type="button" data-do="step">Step</button>
    <button type="button" data-do="slow" aria-pressed="false">Slow</button>
    <button type="button" data-do="reset">Reset</button>
  </div>
  <div class="game-buttons" role="group" aria-labelledby="game-ready">
    <p id="game-ready">Show me a game that</p>
    <button type="button" data-do="trained">is learnt</button>
    <button type="button" data-do="collapse">collapses</button>
    <button type="button" data-do="oscillation">oscillates</button>
  </div>
  <div class="game-settings">
    <label>Data
      <select name="target"><option value="ring">ring of Gaussians</option><option value="moons">two moons</option>
      <option value="drawing">your drawing</option></select></label>
    <label>Loss
      <select name="loss"><option value="minimax">minimax</option><option value="nonSaturating">non-saturating</option>
      <option value="leastSquares">least squares</option><option value="wasserstein">Wasserstein, penalty</option></select></label>
    <label><span>Learning rate of G <b aria-hidden="true"></b></span>
      <input type="range" name="rateG" min="-5" max="1" step="0.1"></label>
    <label><span>Learning rate of D <b aria-hidden="true"></b></span>
      <input type="range" name="rateD" min="-5" max="1" step="0.1"></label>
    <label><span>D steps per G step <b aria-hidden="true"></b></span>
      <input type="range" name="stepsD" min="1" max="8" step="1"></label>
  </div>`;

const DRAWING = `Draw on the picture: with the mouse, with a finger, or with the arrow keys; the space bar puts the pen
  down and up. <button type="button">Back to the lungs</button>`;

export async function start(figure) {
  if (!document.createElement("canvas").getContext("2d")) throw new Error("This browser has no canvas to draw on.");
  const saved = await trained();
  new Widget(figure, saved);
}

class Widget {
  constructor(figure, saved) {
    this.figure = figure;
    this.saved = saved;
    this.panel = figure.querySelector(".game-panel");
    this.panel.innerHTML = MARKUP;
    this.plane = this.canvas("plane");
    this.costs = this.canvas("costs");
    figure.querySelector(".game-stage").replaceChildren(this.plane, this.costs);
    this.hint = document.createElement("p");
    this.hint.className = "game-drawing";
    this.hint.innerHTML = DRAWING;
    this.hint.lastChild.addEventListener("click", () => this.clear());
    figure.querySelector(".game-key").after(this.hint);
    this.lines = LUNGS;
    this.targetName = "ring";

    this.panel.addEventListener("click", ({ target }) => target.dataset.do && this[target.dataset.do](target));
    this.panel.addEventListener("input", ({ target }) => this.set(target));
    this.allowDrawing();
    new ResizeObserver(() => this.fit()).observe(this.plane);
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    new IntersectionObserver((all) => all.at(-1).isIntersecting || this.pause()).observe(figure);
    document.addEventListener("visibilitychange", () => document.hidden && this.pause());
    STILL.addEventListener("change", () => this.pause());
    this.trained();
    this.fit();
    this.figure.dataset.state = "ready";
  }

  canvas(name) {
    const canvas = document.createElement("canvas");
    canvas.className = `game-${name}`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    return canvas;
  }

  get target() {
    return { ring, moons, drawing: this.drawn }[this.targetName];
  }

  /* Games to begin with. */

  begin(settings, targetName = this.targetName) {
    this.pause();
    this.targetName = targetName;
    this.drawn = drawing(this.lines);
    this.game = new Game(this.target.draw, settings);
    this.began();
  }

  began() {
    this.looks = [measure(this.game, this.target)];
    this.real = this.target.draw(SHOWN, 1);
    this.showSettings();
    this.look();
  }

  trained() {
    this.begin(START, "ring");
    this.game.restore(this.saved);
    this.began();
  }

  reset() {
    const { loss } = this.game.settings;
    this.begin(this.names.includes("Divergence") ? { ...START, ...SUITS[loss], loss } : this.game.settings);
  }

  collapse() {
    this.provoke(FAILURES.collapse, "Mode collapse");
  }

  oscillation() {
    this.provoke(FAILURES.oscillation, "Oscillation");
  }

  /* Begin a game that fails and play it, until it is named where nothing may move. */
  provoke(settings, name) {
    this.begin(settings, "ring");
    if (STILL.matches) this.jump(600, () => this.names.includes(name));
    else this.play();
  }

  /* Time. */

  play() {
    if (this.playing) this.pause();
    else if (STILL.matches) this.jump(AT_ONCE);
    else if (!this.over) {
      this.playing = true;
      this.stepped = performance.now();
      this.showButtons();
      this.next = requestAnimationFrame((now) => this.frame(now));
    }
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    cancelAnimationFrame(this.next);
    this.showButtons();
    this.say();
  }

  slow(button) {
    this.slowly = !this.slowly;
    button.setAttribute("aria-pressed", this.slowly);
  }

  step() {
    this.pause();
    if (this.over) return;
    this.advance();
    this.look();
  }

  /* Many steps and one picture, without holding the page up. */
  async jump(steps, enough = () => false) {
    const { game } = this;
    for (let i = 0; i < steps && game === this.game && !this.over && !enough(); i++) {
      this.advance();
      if (i % 20 === 19) await new Promise((resolve) => setTimeout(resolve));
    }
    if (game === this.game) this.look();
  }

  frame(now) {
    this.next = requestAnimationFrame((next) => this.frame(next));
    const due = Math.floor((now - this.stepped) / (this.slowly ? SLOW : PACE));
    if (due > 0) {
      this.stepped = now;
      const until = performance.now() + FRAME;
      for (let i = 0; i < (this.slowly ? 1 : due) && !this.over && performance.now() < until; i++) this.advance();
      this.draw();
      this.showStep();
    }
    if (this.over) this.pause();
  }

  advance() {
    const { D, G } = this.game.play();
    if (this.game.step % LOOK === 0 || !Number.isFinite(D + G)) this.diagnose(measure(this.game, this.target));
  }

  /* Pictures and words. */

  look() {
    this.diagnose(measure(this.game, this.target));
    this.draw();
    this.showStep();
    this.showButtons();
    this.say();
  }

  diagnose(measured) {
    if (this.looks.at(-1).step === measured.step) this.looks.pop();
    this.looks.push(measured);
    this.looks = this.looks.slice(-60);
    const found = diagnose(this.game, this.looks, this.target);
    this.over = found.some(({ stop }) => stop);
    const names = found.map(({ name }) => name);
    const news = names.join() !== this.names?.join();
    this.names = names;
    if (!news && this.playing && this.game.step % WORDS) return;
    this.words = found[0].words;
    this.panel.querySelector(".game-names").textContent = names
      .map((name, i) => (i ? name.toLowerCase() : name))
      .join(" and ");
    this.panel.querySelector(".game-words").textContent = this.words;
    this.panel.querySelector("[data-do=reset]").classList.toggle("game-wanted", names.includes("Divergence"));
    this.panel.querySelector(".game-verdict").classList.toggle("game-bad", Boolean(found[0].bad));
    if (news && this.playing) this.say();
  }

  /* For those who hear the page: when something new happens, and whenever the game stands still. */
  say() {
    this.panel.querySelector(".game-said").textContent = `Step ${this.game.step}. ${this.names.join(", ")}. ${this.words}`;
  }

  showStep() {
    this.figure.dataset.step = this.game.step;
  }

  fit() {
    this.scale = Math.min(3, devicePixelRatio || 1);
    for (const canvas of [this.plane, this.costs]) {
      const { width, height } = canvas.getBoundingClientRect();
      canvas.width = Math.round(width * this.scale);
      canvas.height = Math.round(height * this.scale);
    }
    this.draw();
  }

  draw() {
    if (!this.plane.width || !this.game || !this.scale) return;
    const paint = palette(this.figure);
    drawPlane(this.plane, this.game, this.real, LATENT, paint);
    drawCosts(this.costs, this.game, paint, SHOWN, this.scale);
    if (this.pen) this.drawPen(paint);
    if (!this.playing) this.describe();
  }

  describe() {
    const { reached, inside } = this.looks.at(-1);
    const last = this.game.history.at(-1);
    const { length } = this.target.places;
    this.plane.setAttribute(
      "aria-label",
      `The plane at step ${this.game.step}. ${reached} of ${length} ${this.target.parts} of the data reached, ${Math.round(100 * inside)} % of the generated points in them. ${this.names.join(", ")}.`,
    );
    this.costs.setAttribute(
      "aria-label",
      last ? `Costs over the last steps; now L_D is ${last.D.toPrecision(3)} and L_G is ${last.G.toPrecision(3)}.` : "No costs yet.",
    );
  }

  showButtons() {
    const press = (name) => this.panel.querySelector(`[data-do=${name}]`);
    press("play").textContent = this.playing ? "Pause" : STILL.matches ? `${AT_ONCE} steps` : "Play";
    press("slow").hidden = STILL.matches;
    for (const name of ["play", "step"]) press(name).disabled = Boolean(this.over);
  }

  /* Settings. */

  showSettings() {
    const { settings } = this.game;
    const at = (name) => this.panel.querySelector(`[name=${name}]`);
    at("target").value = this.targetName;
    at("loss").value = settings.loss;
    at("rateG").value = Math.log10(settings.rateG);
    at("rateD").value = Math.log10(settings.rateD);
    at("stepsD").value = settings.stepsD;
    this.showNumbers();
    this.hint.hidden = this.targetName !== "drawing";
    this.plane.classList.toggle("game-canvas-to-draw", this.targetName === "drawing");
    if (this.targetName === "drawing") this.plane.tabIndex = 0;
    else this.plane.removeAttribute("tabindex");
  }

  showNumbers() {
    const { settings } = this.game;
    for (const name of ["rateG", "rateD", "stepsD"]) {
      const input = this.panel.querySelector(`[name=${name}]`);
      const text = `${settings[name]}`;
      input.previousElementSibling.querySelector("b").textContent = text;
      input.setAttribute("aria-valuetext", text);
    }
  }

  set({ name, value }) {
    if (name === "target") return this.begin(this.game.settings, value);
    if (name === "loss") return this.begin({ ...START, ...SUITS[value], loss: value });
    const changed = name === "stepsD" ? Number(value) : Number((10 ** value).toPrecision(2));
    this.game.change({ ...this.game.settings, [name]: changed });
    this.showNumbers();
  }

  /* The reader's own data. */

  allowDrawing() {
    const { plane } = this;
    const where = ({ offsetX, offsetY }) => {
      const unit = plane.clientWidth / (2 * REACH);
      return [offsetX / unit - REACH, REACH - offsetY / unit];
    };
    const active = () => this.targetName === "drawing";
    plane.addEventListener("pointerdown", (event) => {
      if (!active()) return;
      plane.setPointerCapture(event.pointerId);
      this.pen = null;
      this.stroke([where(event)]);
    });
    plane.addEventListener("pointermove", (event) => active() && this.line && !this.pen && this.extend(where(event)));
    for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => !this.pen && this.lift());
    plane.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!active() || !(move || event.key === " ")) return;
      event.preventDefault();
      this.pen ??= [0, 0];
      if (move) {
        this.pen = this.pen.map((value, i) => Math.min(REACH - 0.1, Math.max(0.1 - REACH, value + 0.2 * move[i])));
        if (this.line) this.extend(this.pen);
      } else if (this.line) this.lift();
      else this.stroke([this.pen]);
      this.draw();
    });
    plane.addEventListener("blur", () => {
      if (this.pen) this.lift();
      this.pen = null;
    });
  }

  stroke(line) {
    this.pause();
    this.line = line;
    this.lines = this.lines === LUNGS ? [line] : [...this.lines, line];
    this.redrawn();
  }

  extend(point) {
    const [x, y] = this.line.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 0.08) return;
    this.line.push(point);
    this.redrawn();
  }

  lift() {
    if (!this.line) return;
    this.line = null;
    this.say();
  }

  clear() {
    this.line = this.pen = null;
    this.lines = LUNGS;
    this.redrawn();
    this.say();
  }

  /* New data for the networks as they are. */
  redrawn() {
    this.drawn = drawing(this.lines);
    this.game.target = this.drawn.draw;
    this.real = this.drawn.draw(SHOWN, 1);
    this.looks = [measure(this.game, this.drawn)];
    this.draw();
  }

  drawPen(paint) {
    const context = this.plane.getContext("2d");
    const unit = this.plane.width / (2 * REACH);
    const [x, y] = [(this.pen[0] + REACH) * unit, (REACH - this.pen[1]) * unit];
    context.strokeStyle = paint.ink;
    context.lineWidth = unit * (this.line ? 0.06 : 0.03);
    context.strokeRect(x - unit * 0.1, y - unit * 0.1, unit * 0.2, unit * 0.2);
  }
}

/* The game: G and D take turns; in a turn only the mover's weights change. medgan_course.train.Game in the plane. */

import { LOSSES, gradientPenalty, mean } from "./losses.js";
import { Adam, Net } from "./nets.js";
import { Generator } from "./random.js";

export const BATCH = 128;
const WIDTH = 32;
const KEPT = 1_000; // steps of the history

export class Game {
  /* `target(n, seed)` draws n real points; `settings` are {loss, rateG, rateD, stepsD}. */
  constructor(target, settings, seed = 0) {
    const weights = new Generator(seed);
    this.G = new Net([2, WIDTH, WIDTH, 2], 0, weights); // noise z to points x^ = G(z)
    this.D = new Net([2, WIDTH, WIDTH, 1], 0.2, weights); // points to logits a = D(x)
    this.adamG = new Adam(this.G, settings.rateG);
    this.adamD = new Adam(this.D, settings.rateD);
    this.draws = new Generator(seed);
    this.step = 0;
    this.moved = 0; // sum of G's learning rates so far
    this.batches = 0;
    this.history = []; // {step, D, G}: both costs
    this.target = target;
    this.change(settings);
  }

  /* Go on from a state that book/game_state.py wrote, with new draws. */
  restore({ step, costs, numbers }) {
    let at = 0;
    for (const adam of [this.adamG, this.adamD]) {
      for (const array of [...adam.net.parameters, ...adam.m, ...adam.v]) {
        array.set(numbers.subarray(at, (at += array.length)));
      }
      adam.t = step;
    }
    this.step = this.batches = step;
    this.moved = step * this.settings.rateG;
    this.draws = new Generator(step);
    this.history = costs.D.map((D, i) => ({ step: step - costs.D.length + i, D, G: costs.G[i] }));
  }

  change(settings) {
    this.settings = settings;
    this.adamG.rate = settings.rateG;
    this.adamD.rate = settings.rateD;
  }

  get loss() {
    return LOSSES[this.settings.loss];
  }

  latent(n) {
    return this.draws.normal(2 * n);
  }

  /* One step: D moves `stepsD` times, each on a fresh batch, then G moves once. */
  play() {
    let costD = 0;
    for (let i = 0; i < this.settings.stepsD; i++) {
      costD += this.turnOfD(this.target(BATCH, this.batches++)) / this.settings.stepsD;
    }
    const costG = this.turnOfG();
    this.history.push({ step: this.step++, D: costD, G: costG });
    if (this.history.length > KEPT) this.history.shift();
    return this.history.at(-1);
  }

  turnOfD(real) {
    const { D, loss } = this;
    const fake = this.G.output(this.latent(BATCH)); // a number for D: nothing flows back into G
    const gradient = D.zeros();
    let total = 0;
    for (const [points, side] of [[real, loss.real], [fake, loss.fake]]) {
      const activations = D.forward(points);
      const { cost, signal } = mean(side, activations.at(-1));
      D.accumulate(gradient, activations, D.backward(activations, signal).signals);
      total += cost;
    }
    if (loss.penalty) {
      const epsilon = this.draws.uniform(BATCH);
      total += loss.penalty * gradientPenalty(D, real, fake, epsilon, loss.penalty, gradient);
    }
    this.adamD.step(gradient);
    return total;
  }

  turnOfG() {
    const { G, D } = this;
    const activations = G.forward(this.latent(BATCH));
    const { cost, pull } = this.asked(activations.at(-1));
    const gradient = G.zeros();
    G.accumulate(gradient, activations, G.backward(activations, pull).signals);
    this.adamG.step(gradient);
    this.moved += this.settings.rateG;
    return cost;
  }

  /* G's cost at the points x^, and its derivative in each of them: all that G ever learns about the data. */
  asked(points) {
    const { D, loss } = this;
    const activations = D.forward(points);
    const { cost, signal } = mean(loss.generator, activations.at(-1));
    return { cost, pull: D.backward(activations, signal).input };
  }
}

/* The costs of the two players as functions of one logit, each with its slope: medgan_course.losses.

   a is the discriminator's logit of a real point, â that of a generated one, sigma(a) = 1 / (1 + e^-a).
   A cost is the mean over the batch; -log sigma(a) = softplus(-a), so no logarithm of zero ever appears. */

import { linear } from "./nets.js";

export const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

const callReal = { value: (a) => softplus(-a), slope: (a) => -sigmoid(-a) }; // -log sigma(a)
const callFake = { value: softplus, slope: sigmoid }; // -log(1 - sigma(a))
const negative = ({ value, slope }) => ({ value: (a) => -value(a), slope: (a) => -slope(a) });
const halfSquare = (label) => ({ value: (a) => (a - label) ** 2 / 2, slope: (a) => a - label });
const identity = { value: (a) => a, slope: () => 1 };

/* L_D = E[real(a)] + E[fake(â)] + penalty * P,   L_G = E[generator(â)];
   `rest` is what both come to where D answers one half to everything. */
export const LOSSES = {
  minimax: { real: callReal, fake: callFake, generator: negative(callFake), rest: { D: 2 * Math.LN2, G: -Math.LN2 } },
  nonSaturating: { real: callReal, fake: callFake, generator: callReal, rest: { D: 2 * Math.LN2, G: Math.LN2 } },
  leastSquares: { real: halfSquare(1), fake: halfSquare(0), generator: halfSquare(1), rest: { D: 1 / 4, G: 1 / 8 } },
  wasserstein: { real: negative(identity), fake: identity, generator: negative(identity), penalty: 10 },
};

/* The mean cost of a batch of logits, and its derivative in each of them. */
export function mean({ value, slope }, logits) {
  const n = logits.length;
  return { cost: logits.reduce((sum, a) => sum + value(a), 0) / n, signal: logits.map((a) => slope(a) / n) };
}

/* The gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3):

     P = E (|g| - 1)^2,   g = the gradient of D at x~ = epsilon x + (1 - epsilon) x^,   epsilon ~ U[0, 1].

   D must lower P, so P is differentiated in D's weights: a gradient of a gradient. It needs no new machinery.
   Backpropagation of a 1 reads, from the top layer down, with M the gates (slopes of LeakyReLU) of each layer,

     v_3 = 1,   v_2 = M_2 W_3^T v_3,   v_1 = M_1 W_2^T v_2,   g = W_1^T v_1.

   That is linear in each W, and the gates are constant almost everywhere. With r = dP/dg = 2 (|g| - 1) g / (n |g|),

     dP/dW_1 = v_1 r^T,   dP/dW_2 = v_2 (M_1 W_1 r)^T,   dP/dW_3 = v_3 (M_2 W_2 M_1 W_1 r)^T:

   r goes forwards through the same network, without biases and with the gates as they were.
   Adds weight * dP/dW to `gradient` and returns P. */
export function gradientPenalty(D, real, fake, epsilon, weight, gradient) {
  const n = epsilon.length;
  const k = real.length / n;
  const between = real.map((x, i) => epsilon[Math.floor(i / k)] * x + (1 - epsilon[Math.floor(i / k)]) * fake[i]);
  const activations = D.forward(between);
  const { signals, input: g } = D.backward(activations, new Float64Array(n).fill(1));

  let penalty = 0;
  let r = new Float64Array(g.length);
  for (let row = 0; row < n; row++) {
    const norm = Math.sqrt(g.subarray(row * k, (row + 1) * k).reduce((sum, slope) => sum + slope ** 2, 0));
    penalty += (norm - 1) ** 2 / n;
    if (norm > 0) for (let i = row * k; i < (row + 1) * k; i++) r[i] = (2 * weight * (norm - 1) * g[i]) / (n * norm);
  }

  const forwards = [r];
  for (const [l, { inputs, units, weight: W }] of D.layers.slice(0, -1).entries()) {
    r = linear({ inputs, units, weight: W }, r);
    D.gate(r, activations[l + 1]);
    forwards.push(r);
  }
  const biases = gradient.map((part) => part.slice());
  D.accumulate(gradient, forwards, signals);
  for (let b = 1; b < gradient.length; b += 2) gradient[b].set(biases[b]); // P has no slope in the biases
  return penalty;
}

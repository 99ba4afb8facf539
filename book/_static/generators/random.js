/* torch.rand and torch.randn in float32, torch's own precision; the game computes in float64. */

import { Generator } from "../game/random.js";

export class Random extends Generator {
  /* torch.rand(n): the lower 24 of 32 bits. */
  uniform(n) {
    return Float64Array.from({ length: n }, () => (this.bits() & 0xffffff) / 2 ** 24);
  }
}

/* net.latent(n, seed=seed) of the library: n vectors of N(0, I). */
export function latent(n, length, seed) {
  const numbers = Float32Array.from(new Random(seed).normal(n * length));
  return Array.from({ length: n }, (_, i) => numbers.subarray(i * length, (i + 1) * length));
}

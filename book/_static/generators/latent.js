/* Ways through latent space. */

/* The arc from a to b, a share t of the way: chapter 4's on_arc. */
export function onArc(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const angle = Math.acos(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)));
  if (!(angle > 1e-4)) return a.slice(); // one sample, twice
  const [first, second] = [Math.sin((1 - t) * angle), Math.sin(t * angle)].map((part) => part / Math.sin(angle));
  return a.map((value, i) => first * value + second * b[i]);
}

/* z moved along each direction by as much as its slider says. */
export const steered = (z, directions, amounts) =>
  z.map((value, i) => directions.reduce((sum, direction, k) => sum + amounts[k] * direction[i], value));

export const radius = (z) => Math.sqrt(z.reduce((sum, value) => sum + value * value, 0));

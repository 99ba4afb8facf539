/* What G is to imitate. A target is {draw(n, seed), places, radius}: `places` are points along it, and a place
   counts as reached if at least 1 % of G's points lie within `radius` (medgan_course.metrics.coverage). */

import { Generator } from "./random.js";

const PLACES = 8;

/* medgan_course.systems.gan.RING, which is float32: equally likely centres, points within SIGMA of them. */
const SIGMA = 0.2;
const RING = Array.from({ length: PLACES }, (_, k) => {
  const angle = (2 * Math.PI * k) / PLACES;
  return [Math.fround(2 * Math.cos(angle)), Math.fround(2 * Math.sin(angle))];
});

export const ring = {
  parts: "modes",
  draw(n, seed) {
    const random = new Generator(seed);
    const which = random.integers(RING.length, n);
    return random.normal(2 * n).map((e, i) => RING[which[i >> 1]][i % 2] + SIGMA * e);
  },
  places: RING,
  radius: 3 * SIGMA,
};

/* Points spread evenly along lines, each a list of corners [x, y]. A single dot is as likely as a short line. */
export function drawing(lines, sigma = 0.08) {
  const pieces = lines.flatMap((line) =>
    line.length === 1 ? [[line[0], line[0], 0.5]] : line.slice(1).map((end, i) => [line[i], end, distance(line[i], end)]),
  );
  const total = pieces.reduce((sum, piece) => sum + piece[2], 0);
  const at = (share) => {
    let rest = share * total;
    const [a, b, length] = pieces.find((piece) => (rest -= piece[2]) <= 0) ?? pieces.at(-1);
    const t = Math.min(1, Math.max(0, 1 + rest / (length || 1)));
    return [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
  };
  return {
    parts: "parts",
    draw(n, seed) {
      const random = new Generator(seed);
      const points = Array.from(random.uniform(n), at).flat();
      return random.normal(2 * n).map((e, i) => points[i] + sigma * e);
    },
    places: Array.from({ length: PLACES }, (_, k) => at((k + 0.5) / PLACES)),
    radius: Math.max(3 * sigma, total / PLACES / 2),
  };
}

function distance([x, y], [u, v]) {
  return Math.hypot(u - x, v - y);
}

const HALF_CIRCLE = Array.from({ length: 25 }, (_, i) => [Math.cos((Math.PI * i) / 24), Math.sin((Math.PI * i) / 24)]);

export const moons = drawing(
  [HALF_CIRCLE.map(([x, y]) => [1.6 * x - 0.8, 1.6 * y - 0.4]), HALF_CIRCLE.map(([x, y]) => [0.8 - 1.6 * x, 0.4 - 1.6 * y])],
  0.12,
);

const LUNG = [[0.4, 1.6], [1.1, 1.2], [1.6, 0.3], [1.9, -0.8], [1.8, -1.6], [1.3, -1.8], [0.7, -1.4], [0.45, -0.8], [0.4, 1.6]];

/* What is there before the reader draws. */
export const LUNGS = [LUNG, LUNG.map(([x, y]) => [-x, y]), [[0, 2.3], [0, 1]]];

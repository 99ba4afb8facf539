/* What medgan_course/metrics/steering.py measures on a chest X-ray, on one image {data, side}. */

const LUNGS = [
  [0.25, 0.6875, 0.09375, 0.375],
  [0.25, 0.6875, 0.625, 0.90625],
];
const MEDIASTINUM = [0.25, 0.6875, 0.421875, 0.578125];
const CHEST = [0.125, 0.875, 0.0625, 0.9375];
const AIR = 0.35;

function part(data, side, place) {
  const [top, bottom, left, right] = place.map((share) => Math.round(share * side));
  const values = [];
  for (let y = top; y < bottom; y++) values.push(...data.subarray(y * side + left, y * side + right));
  return values;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const lungBrightness = (data, side) => mean(LUNGS.flatMap((lung) => part(data, side, lung)));

export function air(data, side) {
  const between = mean(part(data, side, MEDIASTINUM));
  return mean(part(data, side, CHEST).map((value) => (value < between - AIR ? 1 : 0)));
}

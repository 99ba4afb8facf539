/* What medgan_course/metrics/steering.py measures on a chest X-ray, on one image {data, side}, with that file's parts of
   the frame, as shares of its height and width, and its threshold of air. */

function part(data, side, place) {
  const [top, bottom, left, right] = place.map((share) => Math.round(share * side));
  const values = [];
  for (let y = top; y < bottom; y++) values.push(...data.subarray(y * side + left, y * side + right));
  return values;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const lungBrightness = (data, side, { lungs }) => mean(lungs.flatMap((lung) => part(data, side, lung)));

export function air(data, side, { mediastinum, frame, threshold }) {
  const between = mean(part(data, side, mediastinum));
  return mean(part(data, side, frame).map((value) => (value < between - threshold ? 1 : 0)));
}

/* What is drawn: the plane with D's opinion, the points and what is asked of them; and the costs over time. */

import { sigmoid } from "./losses.js";

export const REACH = 3; // the plane is shown from -3 to 3
const GRID = 36; // places on a side at which D is asked
const ARROWS = 90;
const ARROW = 0.5; // length of an arrow of slope 1, in units of the plane
const LONGEST = 0.8;

/* How real D takes each place for, from 0 to 1. The critic of the Wasserstein game has no scale of its own. */
function opinions(loss, logits) {
  if (loss === "leastSquares") return logits.map((a) => Math.min(1, Math.max(0, a)));
  if (loss !== "wasserstein") return logits.map(sigmoid);
  const [least, most] = [Math.min(...logits), Math.max(...logits)];
  return logits.map((a) => (a - least) / (most - least || 1));
}

/* The paint of the page's mode, from course.css. */
export function palette(element) {
  const style = getComputedStyle(element);
  const paint = (name) => style.getPropertyValue(`--course-${name}`).trim();
  return Object.fromEntries(
    ["real", "generated", "ink", "muted", "paper", "real-tint", "generated-tint"].map((name) => [name, paint(name)]),
  );
}

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

export function drawPlane(canvas, game, real, latent, paint) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  const unit = side / (2 * REACH);
  const place = (value) => (value + REACH) * unit;
  const across = (i) => place(i);
  const down = (i) => side - place(i);

  surface(context, game, paint);
  context.lineWidth = unit * 0.022;
  context.strokeStyle = paint.real;
  for (let i = 0; i < real.length; i += 2) {
    context.beginPath();
    context.arc(across(real[i]), down(real[i + 1]), unit * 0.045, 0, 2 * Math.PI);
    context.stroke();
  }

  const fake = game.G.output(latent);
  const { pull } = game.asked(fake);
  const count = fake.length / 2;
  context.strokeStyle = context.fillStyle = paint.ink;
  context.lineWidth = unit * 0.025;
  for (let i = 0; i < 2 * Math.min(ARROWS, count); i += 2) {
    // The cost is a mean over the points: times their number, it is each one's own.
    const slope = count * Math.hypot(pull[i], pull[i + 1]);
    // The root, so that the slight pull near the end of a training is seen beside the strong one of its beginning.
    const length = unit * Math.min(ARROW * Math.sqrt(slope), LONGEST);
    if (length > unit * 0.08) arrow(context, across(fake[i]), down(fake[i + 1]), Math.atan2(pull[i + 1], -pull[i]), length);
  }
  context.fillStyle = paint.generated;
  context.strokeStyle = paint.paper;
  context.lineWidth = unit * 0.012;
  for (let i = 0; i < fake.length; i += 2) {
    context.beginPath();
    context.arc(across(fake[i]), down(fake[i + 1]), unit * 0.055, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

function surface(context, game, paint) {
  const points = new Float64Array(2 * GRID * GRID);
  const tick = (i) => ((i + 0.5) / GRID) * 2 * REACH - REACH;
  for (let row = 0; row < GRID; row++) {
    for (let column = 0; column < GRID; column++) {
      points.set([tick(column), -tick(row)], 2 * (row * GRID + column));
    }
  }
  const opinion = opinions(game.settings.loss, game.D.output(points));
  const [fake, neutral, data] = [paint["generated-tint"], paint.paper, paint["real-tint"]].map(channels);
  const image = new ImageData(GRID, GRID);
  for (let i = 0; i < opinion.length; i++) {
    const sure = Math.abs(2 * opinion[i] - 1) ** 0.6 || 0; // so that a slight preference is seen, too
    const end = opinion[i] < 0.5 ? fake : data;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = neutral[c] + sure * (end[c] - neutral[c]);
    image.data[4 * i + 3] = 255;
  }
  const small = new OffscreenCanvas(GRID, GRID);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, context.canvas.width, context.canvas.height);
}

function arrow(context, x, y, angle, length) {
  const [endX, endY] = [x + length * Math.cos(angle), y + length * Math.sin(angle)];
  const head = length / 3;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(endX, endY);
  for (const turn of [2.6, -2.6]) {
    context.moveTo(endX, endY);
    context.lineTo(endX + head * Math.cos(angle + turn), endY + head * Math.sin(angle + turn));
  }
  context.stroke();
}

/* L_D and L_G over the last steps; dotted, what both come to where D answers one half to everything. */
export function drawCosts(canvas, game, paint, shown, scale) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const [left, right, top, bottom] = [44 * scale, 38 * scale, 10 * scale, 20 * scale];
  const recent = game.history.slice(-shown).filter(({ D, G }) => Number.isFinite(D + G));
  context.fillStyle = paint.paper;
  context.fillRect(0, 0, width, height);
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillStyle = paint.muted;
  if (recent.length < 2) {
    context.textAlign = "center";
    context.fillText("Here: both costs, step by step", width / 2, height / 2);
    return;
  }
  const values = recent.flatMap(({ D, G }) => [D, G]);
  const least = Math.min(0, ...values);
  const most = Math.max(0, least + 0.1, ...values) * 1.06;
  const first = recent.at(-1).step - shown + 1;
  const x = (step) => left + ((step - first) / (shown - 1)) * (width - left - right);
  const y = (value) => top + ((most - value) / (most - least)) * (height - top - bottom);

  context.textAlign = "right";
  const digits = most - least > 10 ? 0 : 1;
  const ticks = [0, least, Math.max(...values)].filter((value, i) => i === 0 || Math.abs(y(value) - y(0)) > 12 * scale);
  for (const value of ticks) context.fillText(value.toFixed(digits).replace("-", "\u2212"), left - 6 * scale, y(value));
  context.strokeStyle = paint.muted;
  context.lineWidth = 0.6 * scale;
  context.beginPath();
  context.moveTo(left, y(0));
  context.lineTo(width - right, y(0));
  context.stroke();
  context.textAlign = "left";
  context.fillText(`step ${Math.max(0, first)}`, left, height - 8 * scale);
  context.textAlign = "right";
  context.fillText(`${recent.at(-1).step}`, width - right, height - 8 * scale);

  const ends = { D: y(recent.at(-1).D), G: y(recent.at(-1).G) };
  const apart = 7 * scale - Math.abs(ends.D - ends.G) / 2; // so that the two names do not overlap
  for (const [player, colour] of [["D", paint.ink], ["G", paint.generated]]) {
    const half = game.loss.rest?.[player];
    context.strokeStyle = colour;
    context.lineWidth = 1.6 * scale;
    context.beginPath();
    for (const costs of recent) context.lineTo(x(costs.step), y(costs[player]));
    context.stroke();
    if (half !== undefined && half < most && half > least) {
      context.setLineDash([2 * scale, 4 * scale]);
      context.lineWidth = scale;
      context.beginPath();
      context.moveTo(left, y(half));
      context.lineTo(width - right, y(half));
      context.stroke();
      context.setLineDash([]);
    }
    context.fillStyle = colour;
    context.textAlign = "left";
    const shift = apart > 0 ? (ends[player] <= ends[player === "D" ? "G" : "D"] ? -apart : apart) : 0;
    context.font = `600 ${13 * scale}px system-ui, sans-serif`;
    context.fillText(`L`, width - right + 6 * scale, ends[player] + shift);
    context.font = `600 ${9 * scale}px system-ui, sans-serif`;
    context.fillText(player, width - right + 14 * scale, ends[player] + shift + 4 * scale);
  }
}

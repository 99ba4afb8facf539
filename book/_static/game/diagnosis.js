/* What happens in the game, measured and named. Look every LOOK steps; all of it is said in words on the page. */

import { Generator } from "./random.js";

export const LOOK = 10;
export const LOOKED_AT = 500;
const RECENT = 200; // steps over which a collapse must have lasted
const TURNING = 300; // steps in which the cloud is watched going round
const SWING = 400; // steps in which the costs are searched for a period
const LATENT = new Generator(2_014).normal(2 * LOOKED_AT); // the same noise whenever we look

/* Where G's points are: share of them near each place, how wide they spread, how far they have gone. */
export function measure(game, target) {
  const fake = game.G.output(LATENT);
  const real = target.draw(LOOKED_AT, 2_014);
  const near = target.places.map(() => 0);
  let inside = 0;
  for (let i = 0; i < fake.length; i += 2) {
    const distances = target.places.map(([x, y]) => Math.hypot(fake[i] - x, fake[i + 1] - y));
    const least = Math.min(...distances);
    if (least <= target.radius) {
      near[distances.indexOf(least)] += 1 / LOOKED_AT;
      inside += 1 / LOOKED_AT;
    }
  }
  const [fakes, reals] = [extent(fake), extent(real)];
  const logits = game.D.output(fake);
  return {
    step: game.step,
    reached: near.filter((share) => share >= 0.01).length,
    inside,
    spread: fakes.spread / reals.spread,
    away: Math.hypot(fakes.x - reals.x, fakes.y - reals.y) / reals.spread,
    angle: Math.atan2(fakes.y - reals.y, fakes.x - reals.x), // of the cloud's centre, seen from the data's
    slope: logits.reduce((sum, a) => sum + Math.abs(game.loss.generator.slope(a)), 0) / logits.length,
  };
}

function extent(points) {
  const n = points.length / 2;
  const mean = (axis) => points.reduce((sum, value, i) => (i % 2 === axis ? sum + value / n : sum), 0);
  const [x, y] = [mean(0), mean(1)];
  const square = points.reduce((sum, value, i) => sum + (value - (i % 2 ? y : x)) ** 2, 0);
  return { x, y, spread: Math.sqrt(square / n) };
}

/* The period of a series: the first lag, beyond the first zero, at which the autocorrelation has a peak of 0.6 or more,
   once noise is smoothed away and the trend taken out. null if there is none within a third of the series, which must
   show three periods, or if most of its variance is noise. */
export function period(values, half = 4) {
  if (!values.every(Number.isFinite)) return null;
  const smooth = values.slice(half, -half).map((_, i) => average(values.slice(i, i + 2 * half + 1)));
  const noise = values.slice(half, -half).map((value, i) => value - smooth[i]);
  const level = average(smooth);
  const middle = (smooth.length - 1) / 2;
  const time = smooth.map((_, i) => i - middle);
  const trend = dot(time, smooth) / dot(time, time);
  const swing = smooth.map((value, i) => value - level - trend * time[i]);
  if (!(dot(swing, swing) > dot(noise, noise))) return null;

  const correlation = Array.from({ length: Math.floor(swing.length / 3) }, (_, lag) => {
    const [early, late] = [swing.slice(0, swing.length - lag), swing.slice(lag)];
    return dot(early, late) / Math.sqrt(dot(early, early) * dot(late, late));
  });
  const first = correlation.findIndex((r) => r < 0);
  if (first < 0) return null;
  const peak = correlation.findIndex(
    (r, lag) => lag > first && r >= 0.6 && r >= correlation[lag - 1] && r > correlation[lag + 1],
  );
  return peak < 0 ? null : peak;
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const percent = (share) => `${Math.round(100 * share)} %`;

/* `looks` are measurements since the game began, the last one now. Returns [{name, words}], what to worry about
   first; `bad` says that something is to be worried about. */
export function diagnose(game, looks, target) {
  const now = looks.at(-1);
  const all = target.places.length;
  const last = game.history.at(-1);
  if ((last && !Number.isFinite(last.D + last.G)) || !Number.isFinite(now.spread)) {
    return [{ bad: true, stop: true, name: "Divergence", words: `A number became infinite at step ${last.step}. The learning rates are too high: nothing can be learnt from here. Reset goes back to rates that work.` }];
  }
  if (now.away > 15 || now.spread > 15) {
    return [{ bad: true, name: "Divergence", words: `The generated points have left the picture: they are ${Math.round(Math.max(now.away, now.spread))} times as far out as the data. The learning rates are too high. Reset goes back to rates that work.` }];
  }

  const found = [];
  const recent = looks.filter(({ step }) => step > game.step - RECENT);
  const reached = median(recent.map((look) => look.reached));
  const spread = median(recent.map((look) => look.spread));
  // Adam moves a weight by about its learning rate a step: before 0.4 in all, G has hardly left its start.
  const moved = game.moved >= 0.4 && recent.length >= RECENT / LOOK;
  if (moved && reached <= all / 4 && spread < 1 / 3) {
    found.push({ bad: true, name: "Mode collapse", words: `Whatever the noise, G makes nearly the same point: over ${RECENT} steps the points were ${percent(spread)} as wide as the data and held ${range(recent)} of ${all} ${target.parts} at a time. One lump goes wherever D does not yet object.` });
  }
  const turns = revolutions(looks.filter(({ step }) => step > game.step - TURNING));
  const swing = game.history.slice(-SWING).map((costs) => costs.G);
  const repeats = swing.length === SWING && game.moved >= 0.4 ? period(swing) : null;
  if (turns) {
    found.unshift({ bad: true, name: "Oscillation", words: `The generated points go round the data once in ${turns} steps${repeats ? `, and G's cost repeats itself every ${repeats}` : ""}. Once D has learnt where they are, they have left: the players circle around the equilibrium instead of settling there.` });
  } else if (repeats && !found.length) {
    found.push({ bad: true, name: "Oscillation", words: `G's cost goes up and down and repeats itself every ${repeats} steps. Once D has learnt where the points are, they have left: the players circle around the equilibrium instead of settling there.` });
  }
  if (game.settings.loss === "minimax" && now.slope < 0.05 && game.step) {
    found.push({ bad: true, name: "Saturation", words: `D is sure of every fake, and the minimax cost then leaves G a slope of only ${now.slope.toFixed(3)}: hardly anything to learn from.` });
  }
  if (found.length) return found;
  if (game.step === 0) return [{ name: "Untrained", words: `G maps all noise to one small cloud, and D has no opinion yet. Press Play.` }];
  if (now.reached === all && now.inside > 0.75) {
    return [{ name: "G has reached the data", words: `${percent(now.inside)} of the generated points lie in one of the ${all} ${target.parts}, and none is left out. D is pale where it cannot tell the two apart.` }];
  }
  return [{ name: "Learning", words: `G has reached ${now.reached} of ${all} ${target.parts} so far; ${percent(1 - now.inside)} of the generated points lie beside the data.` }];
}

/* Steps that the cloud's centre takes to go round the data's once, if it keeps turning one way; else null. */
function revolutions(looks) {
  if (looks.length < TURNING / LOOK || median(looks.map((look) => look.away)) < 0.3) return null;
  const steps = looks.slice(1).map((look, i) => look.angle - looks[i].angle);
  const turned = steps.map((angle) => angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI)));
  const net = Math.abs(turned.reduce((sum, angle) => sum + angle, 0));
  const all = turned.reduce((sum, angle) => sum + Math.abs(angle), 0);
  return net >= 3 * 2 * Math.PI && net >= 0.7 * all ? Math.round((2 * Math.PI * LOOK * turned.length) / net) : null;
}

function range(looks) {
  const values = looks.map((look) => look.reached);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${most}` : `${least} to ${most}`;
}

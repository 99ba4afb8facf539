/* What answers show. The formulas are those of medgan_course.metrics.observer, and tested to give the same numbers. */

const Z = 1.959963984540054; // 0.975 quantile of the standard normal distribution

const density = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/* The standard normal distribution function: 1/2 + density * (x + x^3/3 + x^5/15 + ...). */
export function normal(x) {
  let [term, sum] = [x, x];
  for (let k = 3; Math.abs(term) > 1e-17; k += 2) {
    term *= (x * x) / k;
    sum += term;
  }
  return 0.5 + density(x) * sum;
}

/* Its inverse, by Newton's steps from the middle; for shares of few answers, so not near 0 or 1. */
export function quantile(p) {
  let x = 0;
  for (let step = 1; Math.abs(step) > 1e-14; x -= step) step = (normal(x) - p) / density(x);
  return x;
}

/* Wilson's interval: [share, low, high] of k in n. */
export function wilson(k, n) {
  const p = k / n;
  const centre = (p + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const half = (Z * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n ** 2))) / (1 + Z ** 2 / n);
  return [p, Math.max(0, centre - half), Math.min(1, centre + half)];
}

/* isReal and calledReal are arrays of booleans; every result is [value, low, high], but for the counts. */
export function score(isReal, calledReal) {
  const count = (test) => isReal.filter((_, i) => test(isReal[i], calledReal[i])).length;
  const [n, real] = [isReal.length, count((is) => is)];
  const generated = n - real;
  const hits = count((is, called) => is && called);
  const alarms = count((is, called) => !is && called);
  const [zs, variances] = [[], []];
  for (const [k, of] of [[hits, real], [alarms, generated]]) {
    const rate = (k + 0.5) / (of + 1);
    const z = quantile(rate);
    zs.push(z);
    variances.push((rate * (1 - rate)) / (of * density(z) ** 2));
  }
  const error = Math.sqrt(variances[0] + variances[1]);
  const around = (value, se) => [value, value - Z * se, value + Z * se];
  return {
    n, real, generated, hits, alarms,
    right: hits + generated - alarms,
    accuracy: wilson(hits + generated - alarms, n),
    calledReal: wilson(hits + alarms, n),
    dPrime: around(zs[0] - zs[1], error),
    criterion: around(-(zs[0] + zs[1]) / 2, error / 2),
    oneAnswer: hits + alarms === 0 || hits + alarms === n,
  };
}

/* How often a test of n finds out a reader who is right in this share of all cases: whose interval lies above 1/2. */
export function power(share, n) {
  let [choices, sum] = [1, 0];
  for (let k = 0; k <= n; k++) {
    if (wilson(k, n)[1] > 0.5) sum += choices * share ** k * (1 - share) ** (n - k);
    choices *= (n - k) / (k + 1);
  }
  return sum;
}

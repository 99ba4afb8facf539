/* What the course's networks are made of, on maps {data, channels, height, width}: PyTorch's layers in evaluation mode.

   A layer is a function of the maps, of its line in the network's list, and of the bench: `bench.take(n)` hands out
   the next n weights, `bench.space(n)` room for n numbers, and `bench.multiply` is matmul.js. Nothing is changed in
   place, so that a skip may keep what it was given. */

const EPSILON = 1e-5; // of the norm

const maps = (bench, channels, height, width) => ({
  data: bench.space(channels * height * width),
  channels,
  height,
  width,
});

const alike = (bench, { channels, height, width }) => maps(bench, channels, height, width);

/* What is below zero, times `slope`. */
function sloped(before, slope, bench) {
  const after = alike(bench, before);
  const [from, to] = [before.data, after.data];
  // A branch would be guessed wrong for every other number.
  for (let i = 0; i < to.length; i++) to[i] = Math.max(from[i], 0) + slope * Math.min(from[i], 0);
  return after;
}

function tanh(before, _, bench) {
  const after = alike(bench, before);
  before.data.forEach((value, i) => (after.data[i] = Math.tanh(value)));
  return after;
}

const planes = ({ data, channels, height, width }) =>
  Array.from({ length: channels }, (_, c) => data.subarray(c * height * width, (c + 1) * height * width));

function biased(after, bench) {
  const bias = bench.take(after.channels);
  planes(after).forEach((plane, c) => {
    for (let i = 0; i < plane.length; i++) plane[i] += bias[c];
  });
}

const multiple = (of, n) => of * Math.ceil(n / of);

/* The product of the next `rows` of weights with rows that begin where `starts` says, as {data, stride}. */
function product(bench, rows, data, starts, columns) {
  const stride = multiple(8, columns);
  const all = multiple(4, rows);
  const made = bench.space(all * stride);
  bench.multiply(bench.take(all * starts.length), data, starts, made, all, columns, stride);
  return { data: made, stride };
}

const addresses = (bench, n) => {
  const { buffer, byteOffset } = bench.space(n);
  return new Int32Array(buffer, byteOffset, n);
};

/* Borders of zeros, or the image reflected; and of every `stride` pixels each goes to a map of its own, so that what a
   pixel of the kernel meets lies in one map, row by row. */
function padded(before, { padding, reflect, stride }, bench) {
  const { channels, height, width } = before;
  const size = (n) => Math.ceil((n + 2 * padding) / stride);
  const after = maps(bench, channels * stride ** 2, size(height), size(width));
  // Where the pixels of a row or a column come from: -1 is nowhere.
  const sources = (n, part) =>
    Int32Array.from({ length: size(n) }, (_, i) => {
      const from = i * stride + part - padding;
      if (from >= 0 && from < n) return from;
      return reflect && from < n + padding ? Math.abs(n - 1 - Math.abs(n - 1 - from)) : -1;
    });
  const parts = Array.from({ length: stride ** 2 }, (_, part) => ({
    rows: sources(height, Math.floor(part / stride)),
    columns: sources(width, part % stride),
  }));
  const [from, to] = [before.data, after.data];
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (const { rows, columns } of parts) {
      for (let y = 0; y < rows.length; y++) {
        const start = (c * height + rows[y]) * width;
        for (let x = 0; x < columns.length; x++, at++) {
          to[at] = rows[y] < 0 || columns[x] < 0 ? 0 : from[start + columns[x]];
        }
      }
    }
  }
  return after;
}

/* nn.Conv2d as a product: a row for each pixel of the kernel, which is the image, moved. */
function conv(before, layer, bench) {
  const { out, kernel, stride, padding, bias } = layer;
  const image = padded(before, layer, bench);
  const starts = addresses(bench, before.channels * kernel ** 2);
  let k = 0;
  for (let c = 0; c < before.channels; c++) {
    for (let dy = 0; dy < kernel; dy++) {
      for (let dx = 0; dx < kernel; dx++) {
        const part = (c * stride + (dy % stride)) * stride + (dx % stride);
        const row = part * image.height + Math.floor(dy / stride);
        starts[k++] = 4 * (row * image.width + Math.floor(dx / stride));
      }
    }
  }
  const reached = (n) => Math.floor((n + 2 * padding - kernel) / stride) + 1;
  const after = maps(bench, out, reached(before.height), reached(before.width));
  const made = product(bench, out, image.data, starts, after.height * image.width);
  const to = after.data;
  for (let c = 0, at = 0; c < out; c++) {
    for (let y = 0; y < after.height; y++) {
      const from = c * made.stride + y * image.width;
      for (let x = 0; x < after.width; x++) to[at++] = made.data[from + x]; // what is right of them is of no use
    }
  }
  if (bias) biased(after, bench);
  return after;
}

/* nn.ConvTranspose2d as a product: each input pixel makes a patch, and where patches overlap they are summed. */
function transposed(before, { out, kernel, stride, padding, bias }, bench) {
  const { channels, height, width } = before;
  const starts = addresses(bench, channels);
  for (let c = 0; c < channels; c++) starts[c] = 4 * c * height * width;
  const patches = product(bench, out * kernel ** 2, before.data, starts, height * width);
  const after = maps(bench, out, (height - 1) * stride + kernel - 2 * padding, (width - 1) * stride + kernel - 2 * padding);
  after.data.fill(0);
  let patch = 0;
  for (let c = 0; c < out; c++) {
    for (let dy = 0; dy < kernel; dy++) {
      for (let dx = 0; dx < kernel; dx++, patch += patches.stride) {
        for (let y = 0, at = patch; y < height; y++) {
          const to = y * stride + dy - padding;
          const row = (c * after.height + to) * after.width;
          const seen = to >= 0 && to < after.height;
          for (let x = 0; x < width; x++, at++) {
            const column = x * stride + dx - padding;
            if (seen && column >= 0 && column < after.width) after.data[row + column] += patches.data[at];
          }
        }
      }
    }
  }
  if (bias) biased(after, bench);
  return after;
}

function average(plane) {
  let sum = 0;
  for (let i = 0; i < plane.length; i++) sum += plane[i];
  return sum / plane.length;
}

function standardise(from, to) {
  const mean = average(from);
  let squares = 0;
  for (let i = 0; i < from.length; i++) squares += (from[i] - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / from.length + EPSILON);
  for (let i = 0; i < from.length; i++) to[i] = (from[i] - mean) * scale;
}

/* nn.InstanceNorm2d: each map to mean 0 and variance 1. */
function instanceNorm(before, _, bench) {
  const after = alike(bench, before);
  const normed = planes(after);
  planes(before).forEach((plane, c) => standardise(plane, normed[c]));
  return after;
}

/* nn.PReLU with one slope for all maps, which is learnt. */
function prelu(before, _, bench) {
  const [slope] = bench.take(1);
  return sloped(before, slope, bench);
}

/* The U-Net's dropout, which never stops: the mask is torch.rand(1, C, H, W) >= p. */
function dropout(before, { p }, bench) {
  const after = alike(bench, before);
  const chance = bench.random.uniform(before.data.length);
  for (let i = 0; i < chance.length; i++) after.data[i] = chance[i] >= p ? before.data[i] / (1 - p) : 0;
  return after;
}

/* nn.PixelShuffle: of s * s maps one, s times as high and wide. */
function shuffle(before, { factor }, bench) {
  const { channels, height, width } = before;
  const after = maps(bench, channels / factor ** 2, height * factor, width * factor);
  planes(before).forEach((plane, number) => {
    const c = Math.floor(number / factor ** 2);
    const a = Math.floor((number % factor ** 2) / factor);
    const b = number % factor;
    for (let y = 0; y < height; y++) {
      const row = (c * after.height + y * factor + a) * after.width + b;
      for (let x = 0; x < width; x++) after.data[row + x * factor] = plane[y * width + x];
    }
  });
  return after;
}

/* nn.Upsample: pixels repeated. */
function upsample(before, { factor }, bench) {
  const { channels, height, width } = before;
  const after = maps(bench, channels, height * factor, width * factor);
  for (let y = 0, at = 0; y < channels * after.height; y++) {
    const row = Math.floor(y / factor) * width; // maps lie below each other
    for (let x = 0; x < after.width; x++) after.data[at++] = before.data[row + Math.floor(x / factor)];
  }
  return after;
}

/* The mean of each map. */
function mean(before, _, bench) {
  const after = maps(bench, before.channels, 1, 1);
  planes(before).forEach((plane, c) => (after.data[c] = average(plane)));
  return after;
}

/* What was kept and not yet used, last in first out: added, or put in front. */
function add(before, _, bench) {
  const after = alike(bench, before);
  const kept = bench.kept.pop().data;
  for (let i = 0; i < kept.length; i++) after.data[i] = before.data[i] + kept[i];
  return after;
}

function concat(before, _, bench) {
  const kept = bench.kept.pop();
  const after = maps(bench, kept.channels + before.channels, before.height, before.width);
  after.data.set(kept.data);
  after.data.set(before.data, kept.data.length);
  return after;
}

/* The label's vector, learnt for each class, behind the latent one. */
function embed(before, { classes, width }, bench) {
  const after = maps(bench, before.channels + width, 1, 1);
  after.data.set(before.data);
  after.data.set(bench.take(classes * width).subarray(bench.label * width, (bench.label + 1) * width), before.channels);
  return after;
}

export const LAYERS = {
  conv,
  transposed,
  instanceNorm,
  prelu,
  dropout,
  shuffle,
  upsample,
  mean,
  add,
  concat,
  embed,
  keep: (before, _, bench) => (bench.kept.push(before), before),
  relu: (before, _, bench) => sloped(before, 0, bench),
  leaky: (before, { slope }, bench) => sloped(before, slope, bench),
  tanh,
};

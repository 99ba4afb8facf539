/* What the course's networks are made of, on maps {data, channels, height, width}: PyTorch's layers in evaluation mode.

   A layer is a function of the maps, of its line in the network's list, and of the bench: `bench.take(n)` hands out
   the next n weights, `bench.space(n)` room for n numbers, and `bench.multiply` is matmul.js. Nothing is changed in
   place, so that a skip may keep what it was given. */

const BAND = 65_536; // numbers of unfolded patches at a time, so that they stay in a processor's cache
const EPSILON = 1e-5; // of the norm

const maps = (bench, channels, height, width) => ({
  data: bench.space(channels * height * width),
  channels,
  height,
  width,
});

const alike = (bench, { channels, height, width }) => maps(bench, channels, height, width);

const pointwise = (change) => (before, layer, bench) => {
  const after = alike(bench, before);
  const { data } = before;
  for (let i = 0; i < data.length; i++) after.data[i] = change(data[i], layer);
  return after;
};

const planes = ({ data, channels, height, width }) =>
  Array.from({ length: channels }, (_, c) => data.subarray(c * height * width, (c + 1) * height * width));

const multipleOf4 = (n) => 4 * Math.ceil(n / 4);

/* Room for `channels` of which the product makes a multiple of four. */
function product(bench, channels, height, width) {
  const data = bench.space(multipleOf4(channels) * height * width);
  return { data: data.subarray(0, channels * height * width), all: data, channels, height, width };
}

function biased(after, bench) {
  const bias = bench.take(after.channels);
  planes(after).forEach((plane, c) => {
    for (let i = 0; i < plane.length; i++) plane[i] += bias[c];
  });
}

/* Borders of `by` pixels: of zeros, or the image reflected. */
function padded(before, by, reflect, bench) {
  if (!by) return before;
  const { channels, height, width } = before;
  const after = maps(bench, channels, height + 2 * by, width + 2 * by);
  after.data.fill(0);
  const mirrored = (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = -by; y < height + by; y++) {
      const inside = y >= 0 && y < height;
      const row = (c * height + mirrored(y, height)) * width;
      for (let x = -by; x < width + by; x++, at++) {
        if (reflect || (inside && x >= 0 && x < width)) after.data[at] = before.data[row + mirrored(x, width)];
      }
    }
  }
  return after;
}

/* nn.Conv2d as a product: each output pixel's patch is a column. */
function conv(before, { out, kernel, stride, padding, reflect, bias }, bench) {
  const image = padded(before, padding, reflect, bench);
  const height = Math.floor((image.height - kernel) / stride) + 1;
  const width = Math.floor((image.width - kernel) / stride) + 1;
  const depth = before.channels * kernel * kernel;
  const weights = bench.take(multipleOf4(out) * depth);
  const after = product(bench, out, height, width);
  // Rows of pixels at a time, as many as the vectors of the product divide.
  const rows = Math.max(Math.min(height, Math.floor(BAND / (depth * width))), Math.min(height, Math.ceil(8 / width)));
  const patches = bench.space(depth * rows * width);
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    let at = 0;
    for (let c = 0; c < before.channels; c++) {
      for (let dy = 0; dy < kernel; dy++) {
        for (let dx = 0; dx < kernel; dx++) {
          for (let y = top; y < top + count; y++) {
            let from = (c * image.height + y * stride + dy) * image.width + dx;
            if (stride === 1) {
              patches.set(image.data.subarray(from, from + width), at);
              at += width;
            } else for (let x = 0; x < width; x++, from += stride) patches[at++] = image.data[from];
          }
        }
      }
    }
    const band = after.all.subarray(top * width);
    bench.multiply(weights, patches, band, multipleOf4(out), depth, count * width, height * width);
  }
  if (bias) biased(after, bench);
  return after;
}

/* nn.ConvTranspose2d as a product: each input pixel makes a patch, and where patches overlap they are summed. */
function transposed(before, { out, kernel, stride, padding, bias }, bench) {
  const { channels, height, width } = before;
  const depth = multipleOf4(out * kernel * kernel);
  const patches = bench.space(depth * height * width);
  bench.multiply(bench.take(depth * channels), before.data, patches, depth, channels, height * width);
  const after = maps(bench, out, (height - 1) * stride + kernel - 2 * padding, (width - 1) * stride + kernel - 2 * padding);
  after.data.fill(0);
  let at = 0;
  for (let c = 0; c < out; c++) {
    for (let dy = 0; dy < kernel; dy++) {
      for (let dx = 0; dx < kernel; dx++) {
        for (let y = 0; y < height; y++) {
          const to = y * stride + dy - padding;
          const row = (c * after.height + to) * after.width;
          const seen = to >= 0 && to < after.height;
          for (let x = 0; x < width; x++, at++) {
            const column = x * stride + dx - padding;
            if (seen && column >= 0 && column < after.width) after.data[row + column] += patches[at];
          }
        }
      }
    }
  }
  if (bias) biased(after, bench);
  return after;
}

/* nn.InstanceNorm2d: each map to mean 0 and variance 1. */
function instanceNorm(before, _, bench) {
  const after = alike(bench, before);
  const normed = planes(after);
  planes(before).forEach((plane, c) => {
    const mean = plane.reduce((sum, value) => sum + value, 0) / plane.length;
    const variance = plane.reduce((sum, value) => sum + (value - mean) ** 2, 0) / plane.length;
    const scale = 1 / Math.sqrt(variance + EPSILON);
    for (let i = 0; i < plane.length; i++) normed[c][i] = (plane[i] - mean) * scale;
  });
  return after;
}

/* nn.PReLU with one slope for all maps, which is learnt. */
function prelu(before, _, bench) {
  const [slope] = bench.take(1);
  return pointwise((x) => (x > 0 ? x : slope * x))(before, null, bench);
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
  planes(before).forEach((plane, c) => (after.data[c] = plane.reduce((sum, value) => sum + value, 0) / plane.length));
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
  relu: pointwise((x) => (x > 0 ? x : 0)),
  leaky: pointwise((x, { slope }) => (x > 0 ? x : slope * x)),
  tanh: pointwise(Math.tanh),
};

/* A network of the course: fetched, checked, and run layer by layer. */

import { crc32 } from "../crc32.js";
import { LAYERS } from "./layers.js";
import { workshop } from "./matmul.js";
import { Random } from "./random.js";

const ROOM = 8e6; // numbers that the maps of one run may take

async function arrived(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new Error("The network's weights did not arrive: load the page again.");
  return response;
}

/* The network that book/generators.py has written as `name`.json and `name`.bin in the folder `made`. */
export async function fetched(made, name) {
  const [text, weights] = await Promise.all([
    arrived(`${made}/${name}.json`).then((response) => response.text()),
    arrived(`${made}/${name}.bin`).then((response) => response.arrayBuffer()),
  ]);
  const altered = () => new Error("The network's weights were altered on their way: load the page again.");
  let card;
  try {
    card = JSON.parse(text);
  } catch {
    throw altered();
  }
  if (crc32(new Uint8Array(weights)) !== card.checksum) throw altered();
  return new Network(card.layers, new Uint16Array(weights));
}

class Network {
  constructor(layers, halves) {
    this.layers = layers;
    const { room, multiply } = workshop(halves.length + ROOM);
    this.multiply = multiply;
    this.weights = new Float32Array(room, 0, halves.length);
    this.free = new Float32Array(room, 4 * halves.length);
    for (let i = 0; i < halves.length; i++) this.weights[i] = HALVES[halves[i]];
  }

  /* What the network makes of maps: {data, channels, height, width}. `label` is the class of a conditional one,
     `seed` that of dropout. */
  run({ data, channels, height = 1, width = 1, label = 0, seed = 0 }) {
    let [taken, used] = [0, 0];
    const bench = {
      label,
      kept: [],
      random: new Random(seed),
      multiply: this.multiply,
      take: (n) => this.weights.subarray(taken, (taken += n)),
      space: (n) => {
        if (used + n > this.free.length) throw new Error("The image is too large for this network's room.");
        return this.free.subarray(used, (used += n));
      },
    };
    let maps = { data: bench.space(data.length), channels, height, width };
    maps.data.set(data);
    for (const layer of this.layers) maps = LAYERS[layer.op](maps, layer, bench);
    return maps.data.slice();
  }
}

/* IEEE 754's half precision. */
function float16(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction / 2 ** 24;
  return bits & 0x8000 ? -size : size;
}

const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => float16(bits));

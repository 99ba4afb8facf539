/* A network of the course: checked, and run layer by layer. */

import { crc32 } from "../crc32.js";
import { LAYERS } from "./layers.js";
import { workshop } from "./matmul.js";
import { Random } from "./random.js";

const ROOM = 8e6; // numbers that the maps of one run may take

/* The network that book/generators.py has written: the text of its .json and the bytes of its .bin. */
export function built(text, weights) {
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
    widen(halves, this.weights);
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

/* IEEE 754's half precision as single: the same bits in wider fields, and the exponent counts from -127 instead of -15. */
export function widen(halves, singles) {
  const bits = new Uint32Array(singles.buffer, singles.byteOffset, singles.length);
  for (let i = 0; i < halves.length; i++) {
    bits[i] = ((halves[i] & 0x8000) << 16) | ((halves[i] & 0x7fff) << 13);
    singles[i] *= 2 ** 112;
  }
}

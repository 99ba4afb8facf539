/* Networks at work beside the page, which stays free. A message is a network {id, name, card, weights} or work for one
   {id, name, inputs}; each is answered once, with {id, outputs} or {id, error}. */

// What the network imports is named here, too, so that all of it is fetched at once.
import "../crc32.js";
import "../game/random.js";
import "./layers.js";
import "./matmul.js";
import { built } from "./network.js";
import "./random.js";

const networks = new Map();

function answer({ name, card, weights, inputs }) {
  if (!inputs) networks.set(name, built(card, weights));
  return inputs?.map((input) => networks.get(name).run(input));
}

onmessage = ({ data }) => {
  const { id } = data;
  try {
    postMessage({ id, outputs: answer(data) });
  } catch ({ message }) {
    postMessage({ id, error: message });
  }
};

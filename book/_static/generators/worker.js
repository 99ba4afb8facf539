/* Networks at work beside the page, which stays free. Every message {id, network, inputs} is answered once, with
   {id, outputs} or {id, error}; inputs that want the same network twice find it there. */

import { fetched } from "./network.js";

const networks = new Map();

async function answer({ made, network, inputs }) {
  if (!networks.has(network)) networks.set(network, fetched(made, network));
  const net = await networks.get(network);
  return inputs.map((input) => net.run(input));
}

onmessage = ({ data }) =>
  answer(data).then(
    (outputs) => postMessage({ id: data.id, outputs }),
    ({ message }) => postMessage({ id: data.id, error: message }),
  );

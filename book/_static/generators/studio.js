/* The page's side of worker.js. */

const MADE = new URL("made", import.meta.url).href;

export class Studio {
  constructor() {
    if (!globalThis.Worker) throw new Error("This browser cannot compute beside the page (it has no Worker).");
    this.waiting = new Map();
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, outputs, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(outputs);
    };
    this.worker.onerror = () => {
      const lost = new Error("Its program did not arrive: load the page again.");
      for (const { reject } of this.waiting.values()) reject(lost);
    };
    this.asked = 0;
  }

  /* What `network` makes of each of `inputs`, see Network.run. */
  run(network, inputs) {
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, made: MADE, network, inputs });
    });
  }
}

/* What book/generators.py measured when the book was built. */
export async function facts(name) {
  const response = await fetch(`${MADE}/${name}.json`).catch(() => null);
  const found = response?.ok ? await response.json().catch(() => null) : null;
  if (!found) throw new Error("What it shows did not arrive: load the page again.");
  return found;
}

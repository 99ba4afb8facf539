/* The page's side of worker.js, and what book/generators.py has made for both. */

/* A file of it as "text", "json" or "arrayBuffer". */
const made = (file, kind) =>
  fetch(new URL(`made/${file}`, import.meta.url))
    .then((response) => (response.ok ? response[kind]() : Promise.reject()))
    .catch(() => Promise.reject(new Error("What it is made of did not arrive: load the page again.")));

/* What was measured when the book was built. */
export const facts = (name) => made(`${name}.json`, "json");

export class Studio {
  constructor() {
    if (!globalThis.Worker) throw new Error("This browser cannot compute beside the page (it has no Worker).");
    this.asked = 0;
    this.waiting = new Map();
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, outputs, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(outputs);
    };
    this.worker.onerror = () => {
      this.lost = new Error("Its program did not arrive: load the page again.");
      for (const { reject } of this.waiting.values()) reject(this.lost);
    };
  }

  async ask(message, transferred = []) {
    if (this.lost) throw this.lost;
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message }, transferred);
    });
  }

  /* Fetches a network while the worker that is to have it is on its way. */
  async bring(name) {
    const [card, weights] = await Promise.all([made(`${name}.json`, "text"), made(`${name}.bin`, "arrayBuffer")]);
    return this.ask({ name, card, weights }, [weights]);
  }

  /* What a network makes of each of `inputs`, see Network.run. */
  run(name, inputs) {
    return this.ask({ name, inputs });
  }
}

/* The twenty images and which are real: written by book/turing_images.py, checked before they are shown. */

import { crc32 } from "../crc32.js";

const FILE = new URL("twenty.json", import.meta.url);

export async function load() {
  const response = await fetch(FILE).catch(() => ({}));
  if (!response.ok) throw new Error("The images did not arrive: load the page again.");
  const { truth, picture, checksum, count, ...about } = await response.json().catch(() => ({}));
  if (crc32(new TextEncoder().encode(`${truth}${picture}`)) !== checksum)
    throw new Error("The images were altered on their way.");
  const sheet = new Image();
  sheet.src = `data:image/webp;base64,${picture}`;
  await sheet.decode().catch(() => Promise.reject(new Error("The images cannot be shown by this browser.")));
  // Bit i of the number says whether image i is real.
  return { ...about, sheet, isReal: Array.from({ length: count }, (_, i) => Boolean((truth >> i) & 1)) };
}

/* Image i on a canvas of its own size; the page enlarges all in one way. */
export function draw(canvas, sheet, i) {
  const side = sheet.naturalWidth;
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(sheet, 0, i * side, side, side, 0, 0, side, side);
}

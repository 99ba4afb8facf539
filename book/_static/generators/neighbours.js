/* The training images nearest to an image, searched among all of them, at the size of the thumbnails. */

export class Neighbours {
  static async fetched({ count, size, across }) {
    const response = await fetch(new URL("made/neighbours.webp", import.meta.url)).catch(() => null);
    const sheet = response?.ok ? await createImageBitmap(await response.blob()).catch(() => null) : null;
    if (!sheet) throw new Error("The training images did not arrive.");
    const canvas = new OffscreenCanvas(sheet.width, sheet.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(sheet, 0, 0);
    const pixels = context.getImageData(0, 0, sheet.width, sheet.height).data;
    const found = new Neighbours();
    found.size = size;
    found.images = Array.from({ length: count }, (_, n) => {
      const [left, top] = [(n % across) * size, Math.floor(n / across) * size];
      return Float32Array.from({ length: size * size }, (_, i) => {
        const [x, y] = [left + (i % size), top + Math.floor(i / size)];
        return pixels[4 * (y * sheet.width + x)] / 127.5 - 1;
      });
    });
    return found;
  }

  /* The `n` nearest, each {image, distance}: the root of the mean squared difference of grey values. */
  nearest(data, side, n) {
    const asked = shrunk(data, side, this.size);
    const squares = this.images.map((image) => {
      let sum = 0;
      for (let i = 0; i < image.length; i++) sum += (image[i] - asked[i]) ** 2;
      return sum;
    });
    const order = squares.map((_, i) => i).sort((a, b) => squares[a] - squares[b]);
    return order.slice(0, n).map((i) => ({ number: i, image: this.images[i], distance: Math.sqrt(squares[i] / asked.length) }));
  }
}

/* Means over squares of pixels; `size` divides `side`. */
export function shrunk(data, side, size) {
  const by = side / size;
  const small = new Float32Array(size * size);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) small[Math.floor(y / by) * size + Math.floor(x / by)] += data[y * side + x] / by ** 2;
  }
  return small;
}

/* Matrix products, nearly all of the work: in WebAssembly, four numbers at once, or in plain JavaScript.

   C = A B, row-major, with A (M, K), B (K, N) and rows of C `stride` numbers apart, M a multiple of 4.
   On one machine the first is about twenty times as fast as the second. */

/* WebAssembly's instructions, as many as are needed here. */
const get = (local) => [0x20, local];
const set = (local) => [0x21, local];
const bytes = (number) => [0x41, number]; // a constant below 64
const plus = [0x6a];
const less = [0x49];
const loop = (...body) => [0x03, 0x40, ...body.flat(), 0x0b];
const again = [0x0d, 0];
const zeros = [0xfd, 0x0c, ...Array(16).fill(0)];
const load = (offset) => [0xfd, 0x00, 2, offset];
const spread = [0xfd, 0x09, 2, 0]; // one number, four times
const store = (offset) => [0xfd, 0x0b, 2, offset];
const times = [0xfd, 0xe6, 1];
const sum = [0xfd, 0xe4, 1];

/* Four rows by eight columns of C at a time stay in registers. All numbers are addresses or lengths in bytes. */
function program() {
  // endA: where A ends; K, N, stride: lengths of a row of A, of B, and between rows of C.
  const [A, B, C, endA, K, N, stride, j, a, b, c, row, end] = Array(13).keys();
  const right = [13, 14]; // eight numbers of B
  const left = 15; // one number of A, four times
  const cells = [0, 1, 2, 3].map((i) => [16 + 2 * i, 17 + 2 * i]);
  const increase = (local, ...by) => [...get(local), ...by.flat(), ...plus, ...set(local)];
  const copy = (from, to) => [...get(from), ...set(to)];

  const body = loop(
    [...bytes(0), ...set(j)],
    loop(
      cells.flat().flatMap((cell) => [...zeros, ...set(cell)]),
      copy(A, a),
      [...get(B), ...get(j), ...plus, ...set(b)],
      [...get(A), ...get(K), ...plus, ...set(end)],
      loop(
        right.flatMap((half, n) => [...get(b), ...load(16 * n), ...set(half)]),
        copy(a, row),
        cells.flatMap((pair) => [
          ...get(row), ...spread, ...set(left),
          ...pair.flatMap((cell, n) => [...get(cell), ...get(left), ...get(right[n]), ...times, ...sum, ...set(cell)]),
          ...increase(row, get(K)),
        ]),
        increase(a, bytes(4)),
        increase(b, get(N)),
        [...get(a), ...get(end), ...less, ...again],
      ),
      [...get(C), ...get(j), ...plus, ...set(c)],
      cells.flatMap((pair) => [
        ...pair.flatMap((cell, n) => [...get(c), ...get(cell), ...store(16 * n)]),
        ...increase(c, get(stride)),
      ]),
      increase(j, bytes(32)),
      [...get(j), ...get(N), ...less, ...again],
    ),
    [0, 1, 2, 3].flatMap(() => [...increase(A, get(K)), ...increase(C, get(stride))]),
    [...get(A), ...get(endA), ...less, ...again],
  );
  const [i32, v128] = [0x7f, 0x7b];
  const code = [2, 6, i32, 11, v128, ...body, 0x0b];
  const section = (number, content) => [number, ...length(content.length), ...content];
  const name = (text) => [text.length, ...new TextEncoder().encode(text)];
  return Uint8Array.from([
    0, ...new TextEncoder().encode("asm"), 1, 0, 0, 0,
    ...section(1, [1, 0x60, 7, ...Array(7).fill(i32), 0]), // a function of seven numbers
    ...section(2, [1, ...name("js"), ...name("memory"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("multiply"), 0, 0]),
    ...section(10, [1, ...length(code.length), ...code]),
  ]);
}

/* A number below 16384 as WebAssembly writes lengths. */
const length = (n) => (n < 128 ? [n] : [(n & 127) | 128, n >> 7]);

/* Room for `floats` numbers, and the product of matrices that lie in it. */
export function workshop(floats) {
  try {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * floats) / 65536) });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(program()), { js: { memory } });
    const { multiply } = instance.exports;
    return {
      room: memory.buffer,
      multiply(A, B, C, M, K, N, stride = N) {
        if (N % 8) plain(A, B, C, M, K, N, stride);
        else multiply(A.byteOffset, B.byteOffset, C.byteOffset, A.byteOffset + 4 * M * K, 4 * K, 4 * N, 4 * stride);
      },
    };
  } catch {
    // No WebAssembly here, or none with vectors: the same, slower.
    return { room: new ArrayBuffer(4 * floats), multiply: plain };
  }
}

function plain(A, B, C, M, K, N, stride = N) {
  for (let i = 0; i < M; i += 4) {
    const rows = [0, 1, 2, 3].map((row) => (i + row) * stride);
    for (const row of rows) C.fill(0, row, row + N);
    const [c0, c1, c2, c3] = rows;
    for (let k = 0; k < K; k++) {
      const [a0, a1, a2, a3] = [A[i * K + k], A[(i + 1) * K + k], A[(i + 2) * K + k], A[(i + 3) * K + k]];
      for (let j = 0, b = k * N; j < N; j++, b++) {
        const right = B[b];
        C[c0 + j] += a0 * right;
        C[c1 + j] += a1 * right;
        C[c2 + j] += a2 * right;
        C[c3 + j] += a3 * right;
      }
    }
  }
}

/* Matrix products, nearly all of the work: in WebAssembly, four numbers at once, or in plain JavaScript.

   C = A B with A (M, K), M a multiple of 4, and B (K, N). A lies in memory four rows at a time, (M / 4, K, 4). Row k
   of B begins `starts[k]` bytes behind B's first number, and rows may overlap: so a convolution need not copy its
   patches. Rows of C are `stride` numbers apart, and up to seven numbers behind the N of a row are read and written. */

/* WebAssembly's instructions, as many as are needed here. */
const get = (local) => [0x20, local];
const set = (local) => [0x21, local];
const bytes = (number) => [0x41, number]; // a constant below 64
const plus = [0x6a];
const less = [0x49];
const address = [0x28, 2, 0]; // what memory holds as an address
const loop = (...body) => [0x03, 0x40, ...body.flat(), 0x0b];
const again = [0x0d, 0];
const zeros = [0xfd, 0x0c, ...Array(16).fill(0)];
const load = (offset) => [0xfd, 0x00, 2, offset];
const spread = (offset) => [0xfd, 0x09, 2, offset]; // one number, four times
const store = (offset) => [0xfd, 0x0b, 2, offset];
const times = [0xfd, 0xe6, 1];
const sum = [0xfd, 0xe4, 1];
const timesAndSum = [0xfd, 0x85, 2]; // rounded once, where a processor can: not in every browser yet

/* Four rows by eight columns of C at a time stay in registers. All numbers are addresses or lengths in bytes. */
function program(fused) {
  const [A, B, C, starts, endA, endStarts, N, stride, j, a, b, c, start] = Array(13).keys();
  const right = [13, 14]; // eight numbers of B
  const left = 15; // one number of A, four times
  const cells = [0, 1, 2, 3].map((i) => [16 + 2 * i, 17 + 2 * i]);
  const increase = (local, ...by) => [...get(local), ...by.flat(), ...plus, ...set(local)];
  const copy = (from, to) => [...get(from), ...set(to)];
  const accumulate = (x, y, cell) => [
    ...get(x), ...get(y), ...(fused ? [...get(cell), ...timesAndSum] : [...times, ...get(cell), ...sum]), ...set(cell),
  ];

  const body = loop(
    [...bytes(0), ...set(j)],
    loop(
      cells.flat().flatMap((cell) => [...zeros, ...set(cell)]),
      copy(A, a),
      copy(starts, start),
      loop(
        [...get(B), ...get(j), ...plus, ...get(start), ...address, ...plus, ...set(b)],
        right.flatMap((half, n) => [...get(b), ...load(16 * n), ...set(half)]),
        cells.flatMap((pair, i) => [
          ...get(a), ...spread(4 * i), ...set(left),
          ...pair.flatMap((cell, n) => accumulate(left, right[n], cell)),
        ]),
        increase(a, bytes(16)),
        increase(start, bytes(4)),
        [...get(start), ...get(endStarts), ...less, ...again],
      ),
      [...get(C), ...get(j), ...plus, ...set(c)],
      cells.flatMap((pair) => [
        ...pair.flatMap((cell, n) => [...get(c), ...get(cell), ...store(16 * n)]),
        ...increase(c, get(stride)),
      ]),
      increase(j, bytes(32)),
      [...get(j), ...get(N), ...less, ...again],
    ),
    copy(a, A),
    [0, 1, 2, 3].flatMap(() => increase(C, get(stride))),
    [...get(A), ...get(endA), ...less, ...again],
  );
  const [i32, v128] = [0x7f, 0x7b];
  const code = [2, 5, i32, 11, v128, ...body, 0x0b];
  const section = (number, content) => [number, ...length(content.length), ...content];
  const name = (text) => [text.length, ...new TextEncoder().encode(text)];
  return Uint8Array.from([
    0, ...new TextEncoder().encode("asm"), 1, 0, 0, 0,
    ...section(1, [1, 0x60, 8, ...Array(8).fill(i32), 0]), // a function of eight numbers
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
    const fused = program(true);
    const module = new WebAssembly.Module(WebAssembly.validate(fused) ? fused : program(false));
    const { multiply } = new WebAssembly.Instance(module, { js: { memory } }).exports;
    return {
      room: memory.buffer,
      multiply(A, B, starts, C, M, N, stride) {
        const [endA, endStarts] = [A.byteOffset + 4 * M * starts.length, starts.byteOffset + 4 * starts.length];
        multiply(A.byteOffset, B.byteOffset, C.byteOffset, starts.byteOffset, endA, endStarts, 4 * N, 4 * stride);
      },
    };
  } catch {
    // No WebAssembly here, or none with vectors: the same, slower.
    return { room: new ArrayBuffer(4 * floats), multiply: plain };
  }
}

function plain(A, B, starts, C, M, N, stride) {
  let a = 0;
  for (let i = 0; i < M; i += 4) {
    const rows = [0, 1, 2, 3].map((row) => (i + row) * stride);
    for (const row of rows) C.fill(0, row, row + N);
    const [c0, c1, c2, c3] = rows;
    for (const start of starts) {
      const [a0, a1, a2, a3] = [A[a++], A[a++], A[a++], A[a++]];
      for (let j = 0, b = start / 4; j < N; j++, b++) {
        const right = B[b];
        C[c0 + j] += a0 * right;
        C[c1 + j] += a1 * right;
        C[c2 + j] += a2 * right;
        C[c3 + j] += a3 * right;
      }
    }
  }
}

/* PyTorch's random numbers on the CPU, in float64: the same seed gives the same draws.

   torch.set_default_dtype(torch.float64); torch.manual_seed(seed); torch.rand(n); torch.randn(n); ... */

const WORDS = 624;

export class Generator {
  /* The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998). */
  constructor(seed) {
    this.state = new Uint32Array(WORDS);
    this.state[0] = seed;
    for (let i = 1; i < WORDS; i++) {
      const previous = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
    this.next = WORDS;
  }

  /* 32 random bits. */
  bits() {
    const s = this.state;
    if (this.next === WORDS) {
      for (let i = 0; i < WORDS; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % WORDS] & 0x7fffffff);
        s[i] = s[(i + 397) % WORDS] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /* torch.randint(high, (n,)) */
  integers(high, n) {
    return Uint32Array.from({ length: n }, () => this.bits() % high);
  }

  /* torch.rand(n): the lower 53 of 64 bits. */
  uniform(n) {
    return Float64Array.from({ length: n }, () => {
      const high = this.bits() & 0x1fffff;
      return (high * 2 ** 32 + this.bits()) / 2 ** 53;
    });
  }

  /* torch.randn(n) for n of at least 16: Box & Muller (1958), eight pairs at a time. */
  normal(n) {
    const x = this.uniform(n);
    for (let start = 0; start + 16 <= n; start += 16) pairs(x, start);
    if (n % 16) {
      x.set(this.uniform(16), n - 16);
      pairs(x, n - 16);
    }
    return x;
  }
}

function pairs(x, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - x[i]));
    const angle = 2 * Math.PI * x[i + 8];
    x[i] = radius * Math.cos(angle);
    x[i + 8] = radius * Math.sin(angle);
  }
}

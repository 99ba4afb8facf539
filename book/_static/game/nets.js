/* Fully connected networks with their gradients, and Adam: what medgan_course.nets.mlp and PyTorch do.

   A batch of n vectors of length k is one Float64Array of n * k numbers, row after row. */

export class Net {
  /* Linear layers of the given sizes, LeakyReLU(slope) between them; slope 0 is ReLU.
     Layer l maps a to W a + b, with `weight` (units x inputs) and `bias`. */
  constructor(sizes, slope, random) {
    this.slope = slope;
    this.layers = sizes.slice(1).map((units, l) => {
      const inputs = sizes[l];
      // nn.Linear begins with U(-1/sqrt(inputs), 1/sqrt(inputs)).
      const bound = 1 / Math.sqrt(inputs);
      const start = (n) => (random ? random.uniform(n).map((u) => u * 2 * bound - bound) : new Float64Array(n));
      return { inputs, units, weight: start(units * inputs), bias: start(units) };
    });
  }

  get parameters() {
    return this.layers.flatMap((layer) => [layer.weight, layer.bias]);
  }

  /* Every layer's activations: [x, ..., output]. A hidden activation has the sign of its sum W a + b. */
  forward(x) {
    const activations = [x];
    for (const [l, layer] of this.layers.entries()) {
      const y = linear(layer, activations[l]);
      if (l < this.layers.length - 1) for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] *= this.slope;
      activations.push(y);
    }
    return activations;
  }

  output(x) {
    return this.forward(x).at(-1);
  }

  /* Backpropagation. `signal` is the derivative of a cost in the output, one number for each.
     Returns `signals`, its derivatives in each layer's sums W a + b, and `input`, that in x. */
  backward(activations, signal) {
    const signals = [];
    for (let l = this.layers.length - 1; l >= 0; l--) {
      signals[l] = signal;
      signal = transposed(this.layers[l], signal);
      if (l > 0) this.gate(signal, activations[l]);
    }
    return { signals, input: signal };
  }

  /* Multiply by the slope of the activation function, 1 or `slope`, at each hidden unit. */
  gate(values, activations) {
    for (let i = 0; i < values.length; i++) if (!(activations[i] > 0)) values[i] *= this.slope;
  }

  zeros() {
    return this.parameters.map((p) => new Float64Array(p.length));
  }

  /* Add a cost's derivatives in the weights, signal times activation, and in the biases, to `gradient`. */
  accumulate(gradient, activations, signals) {
    for (const [l, { inputs, units }] of this.layers.entries()) {
      const [weight, bias] = [gradient[2 * l], gradient[2 * l + 1]];
      const [a, s] = [activations[l], signals[l]];
      for (let row = 0; row * units < s.length; row++) {
        for (let u = 0; u < units; u++) {
          const value = s[row * units + u];
          if (value === 0) continue;
          bias[u] += value;
          for (let i = 0, w = u * inputs, x = row * inputs; i < inputs; i++) weight[w++] += value * a[x++];
        }
      }
    }
  }
}

/* y = W a + b for every row of the batch. */
export function linear({ inputs, units, weight, bias }, a) {
  const rows = a.length / inputs;
  const y = new Float64Array(rows * units);
  for (let row = 0, out = 0; row < rows; row++) {
    for (let u = 0, w = 0; u < units; u++) {
      let sum = bias ? bias[u] : 0;
      for (let i = 0, x = row * inputs; i < inputs; i++) sum += weight[w++] * a[x++];
      y[out++] = sum;
    }
  }
  return y;
}

/* W^T s for every row. */
function transposed({ inputs, units, weight }, s) {
  const rows = s.length / units;
  const x = new Float64Array(rows * inputs);
  for (let row = 0; row < rows; row++) {
    for (let u = 0, w = 0; u < units; u++) {
      const value = s[row * units + u];
      for (let i = 0, out = row * inputs; i < inputs; i++) x[out++] += weight[w++] * value;
    }
  }
  return x;
}

/* Adam (Kingma & Ba 2015): m and v are moving averages of the gradient g and of its square,
   theta <- theta - rate * m^ / (sqrt(v^) + 1e-8), with m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t). */
export class Adam {
  constructor(net, rate, beta1 = 0.5, beta2 = 0.999) {
    Object.assign(this, { net, rate, beta1, beta2, t: 0, m: net.zeros(), v: net.zeros() });
  }

  step(gradient) {
    const { beta1, beta2 } = this;
    this.t += 1;
    const rate = this.rate / (1 - beta1 ** this.t);
    const correction = Math.sqrt(1 - beta2 ** this.t);
    for (const [k, theta] of this.net.parameters.entries()) {
      const [g, m, v] = [gradient[k], this.m[k], this.v[k]];
      for (let i = 0; i < theta.length; i++) {
        m[i] += (1 - beta1) * (g[i] - m[i]);
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        theta[i] -= (rate * m[i]) / (Math.sqrt(v[i]) / correction + 1e-8);
      }
    }
  }
}

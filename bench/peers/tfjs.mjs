// The bench's problems in TensorFlow.js, as its users write them.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { installWebgpu } from "./dawn.mjs";

// Its ES modules import without extensions, which Node refuses.
const require = createRequire(import.meta.url);

export async function open(device) {
  const adapter = device === "webgpu" ? await installWebgpu() : "1 thread, SIMD";
  const tf = require("@tensorflow/tfjs");
  const extension = require(`@tensorflow/tfjs-backend-${device}`);
  if (device === "wasm") {
    extension.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
  }
  if (!(await tf.setBackend(device))) throw new Error(`tfjs: no ${device} backend here`);
  await tf.ready();
  const { [device]: version } = { wasm: tf.version.tfjs, webgpu: tf.version.tfjs };
  return { description: `tfjs ${version} ${device} (${adapter})`, problems: problems(tf, settle(tf, device)) };
}

function settle(tf, device) {
  if (device === "wasm") return async () => {};
  return async () => {
    const backend = tf.backend();
    backend.endComputePassEncoder();
    backend.submitQueue();
    await backend.queue.onSubmittedWorkDone();
  };
}

function problems(tf, settled) {
  const tensors = (inputs) => inputs.map(({ data, shape }) => tf.tensor(data, shape));
  const flat = (list) => [list].flat();

  /** A function of the inputs without state. */
  const pure = (compute) => async (problem, inputs) => {
    const held = tensors(inputs);
    const once = () => flat(tf.tidy(() => compute(problem, ...held)));
    return {
      run: () => tf.dispose(once()),
      settled,
      outputs: async () => {
        const made = once();
        const values = await Promise.all(made.map((t) => t.data()));
        tf.dispose(made);
        return values;
      },
      dispose: () => tf.dispose(held),
    };
  };

  const conv = (x, w) => tf.conv2d(x, w, 1, "same");
  const attention = (q, k, v) => {
    const scores = tf.matMul(q, k, false, true).mul(1 / Math.sqrt(q.shape[3]));
    return tf.matMul(tf.softmax(scores), v);
  };
  const groupNorm = (groups) => (x, scale, bias) => {
    const [batch, height, width, channels] = x.shape;
    const grouped = x.reshape([batch, height * width, groups, channels / groups]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const y = grouped
      .sub(mean)
      .mul(tf.rsqrt(variance.add(1e-5)))
      .reshape(x.shape)
      .mul(scale)
      .add(bias);
    return y.mul(tf.sigmoid(y));
  };

  /** f and its gradients; the last input is the cotangent. */
  const withGradient = (f, inputs) => {
    const { value, grads } = tf.valueAndGrads(f)(inputs.slice(0, -1), inputs.at(-1));
    return [value, ...grads];
  };

  return {
    matmul: pure((_, a, b) => tf.matMul(a, b)),
    conv2d: pure((_, x, w) => conv(x, w)),
    "conv2d with gradient": pure((_, ...inputs) => withGradient(conv, inputs)),
    attention: pure((_, q, k, v) => attention(q, k, v)),
    "attention with gradient": pure((_, ...inputs) => withGradient(attention, inputs)),
    groupNorm: pure(({ groups }, x, scale, bias) => groupNorm(groups)(x, scale, bias)),
    "groupNorm with gradient": pure(({ groups }, ...inputs) => withGradient(groupNorm(groups), inputs)),

    adam: async ({ lr }, inputs) => {
      const [p, g] = tensors(inputs);
      const variable = tf.variable(p);
      const optimizer = tf.train.adam(lr, 0.9, 0.999, 1e-8);
      const run = () => tf.tidy(() => optimizer.applyGradients([{ name: variable.name, tensor: g }]));
      return {
        run,
        settled,
        outputs: async () => {
          run();
          return [await variable.data()];
        },
        dispose: () => {
          tf.dispose([p, g, variable]);
          optimizer.dispose();
        },
      };
    },

    mlp: async ({ lr }, inputs) => {
      const [x, target, ...weights] = tensors(inputs);
      const variables = weights.map((w) => tf.variable(w));
      const optimizer = tf.train.adam(lr, 0.9, 0.999, 1e-8);
      const silu = (h) => h.mul(tf.sigmoid(h));
      const loss = () => {
        const [w1, b1, w2, b2, w3, b3] = variables;
        const hidden = silu(x.matMul(w1).add(b1));
        const y = silu(hidden.matMul(w2).add(b2)).matMul(w3).add(b3);
        return y.sub(target).square().mean();
      };
      const run = () => tf.dispose(optimizer.minimize(loss, true, variables));
      return {
        run,
        settled,
        outputs: async () => {
          run();
          return Promise.all(variables.map((v) => v.data()));
        },
        dispose: () => {
          tf.dispose([x, target, ...weights, ...variables]);
          optimizer.dispose();
        },
      };
    },
  };
}

// The bench's problems in jax-js, every function under jit. Images are [batch, channels, height, width] there.
import { installWebgpu } from "./dawn.mjs";
import { permuted } from "./permuted.mjs";

export async function open(device) {
  const adapter = device === "webgpu" ? await installWebgpu() : "1 thread";
  const jax = await import("@jax-js/jax");
  const found = await jax.init(device);
  if (!found.includes(device)) throw new Error(`jax-js: no ${device} backend here`);
  jax.defaultDevice(device);
  return { description: `jax-js 0.1.25 ${device} (${adapter})`, problems: problems(jax) };
}

function problems({ numpy: np, lax, nn, jit, valueAndGrad, blockUntilReady }) {
  const array = ({ data, shape }) => np.array(data).reshape(shape);
  const again = (arrays) => arrays.map((a) => a.ref);
  const list = (value) => (Array.isArray(value) ? value : [value]);
  const drop = (arrays) => {
    for (const a of arrays) a.dispose();
  };

  /** A function of the inputs without state; `axes` says how inputs and outputs are laid out here. */
  const pure =
    (make, layout = {}) =>
    async (problem, inputs) => {
      const { enter = () => undefined, leave = () => undefined } = layout;
      const held = inputs.map((input, k) => array(permuted(input, enter(k, input.shape))));
      const compute = jit(make(problem));
      // Arrays are lazy: one that is dropped unread is never computed, so all are kept until they have been waited for.
      let pending = [];
      const run = () => void pending.push(...list(compute(...again(held))));
      const settled = async () => {
        await blockUntilReady(pending);
        drop(pending);
        pending = [];
      };
      return {
        run,
        settled,
        outputs: async () => {
          run();
          const values = await Promise.all(
            pending.map((y, k) => {
              const order = leave(k, y.shape);
              return (order ? np.transpose(y.ref, order) : y.ref).data();
            }),
          );
          await settled();
          return values;
        },
        dispose: () => {
          drop(held);
          compute.dispose?.();
        },
      };
    };

  const toChannelsFirst = [0, 3, 1, 2];
  const weightFirst = [3, 2, 0, 1];
  const back = [0, 2, 3, 1];
  const weightBack = [2, 3, 1, 0];
  const convLayout = {
    enter: (k) => (k === 1 ? weightFirst : toChannelsFirst),
    leave: () => back,
  };
  const convGradientLayout = { ...convLayout, leave: (k) => (k === 2 ? weightBack : back) };
  const imageLayout = {
    enter: (_, shape) => (shape.length === 4 ? toChannelsFirst : undefined),
    leave: (_, shape) => (shape.length === 4 ? back : undefined),
  };
  const same = [
    [1, 1],
    [1, 1],
  ];
  const conv = (x, w) => lax.convGeneralDilated(x, w, [1, 1], same);
  const attention = (q, k, v) => {
    const scores = np.matmul(q, np.swapaxes(k, -1, -2)).mul(1 / Math.sqrt(q.shape[3]));
    return np.matmul(nn.softmax(scores, -1), v);
  };
  const groupNorm = (groups) => (x, scale, bias) => {
    const shape = x.shape;
    const [batch, channels] = shape;
    const grouped = x.reshape([batch, groups, -1]);
    const mean = np.mean(grouped.ref, -1, { keepdims: true });
    const centred = grouped.sub(mean);
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    const normed = centred.mul(np.reciprocal(np.sqrt(variance.add(1e-5)))).reshape(shape);
    return nn.silu(normed.mul(scale.reshape([1, channels, 1, 1])).add(bias.reshape([1, channels, 1, 1])));
  };
  /** f and its gradients; the last input is the cotangent. Without f itself jit would leave out what only that needs. */
  const withGradient = (f, count) => {
    const weighted = (...all) => {
      const y = f(...all.slice(0, -1));
      return [np.sum(y.ref.mul(all[count])), y];
    };
    const differentiated = valueAndGrad(weighted, {
      argnums: Array.from({ length: count }, (_, k) => k),
      hasAux: true,
    });
    return (...all) => {
      const [[value, y], grads] = differentiated(...all);
      value.dispose();
      return [y, ...grads];
    };
  };

  const update = (lr) => (p, g, m, v, correct1, correct2) => {
    const first = m.mul(0.9).add(g.ref.mul(0.1));
    const second = v.mul(0.999).add(np.square(g).mul(0.001));
    const step = first.ref.mul(correct1).div(np.sqrt(second.ref.mul(correct2)).add(1e-8));
    return [p.sub(step.mul(lr)), first, second];
  };
  const corrections = (t) => [np.array(1 / (1 - 0.9 ** t)), np.array(1 / (1 - 0.999 ** t))];

  return {
    matmul: pure(() => (a, b) => np.matmul(a, b)),
    conv2d: pure(() => conv, convLayout),
    "conv2d with gradient": pure(() => withGradient(conv, 2), convGradientLayout),
    attention: pure(() => attention),
    "attention with gradient": pure(() => withGradient(attention, 3)),
    groupNorm: pure(({ groups }) => groupNorm(groups), imageLayout),
    "groupNorm with gradient": pure(({ groups }) => withGradient(groupNorm(groups), 3), imageLayout),

    adam: async ({ lr }, inputs) => {
      const [p, g] = inputs.map(array);
      const step = jit(update(lr));
      let state = [p, np.zeros(p.shape), np.zeros(p.shape)];
      let t = 0;
      const run = () => {
        const [parameter, first, second] = state;
        state = step(parameter, g.ref, first, second, ...corrections(++t));
      };
      return {
        run,
        settled: async () => void (await blockUntilReady(state)),
        outputs: async () => {
          run();
          return [await state[0].ref.data()];
        },
        dispose: () => drop([g, ...state]),
      };
    },

    mlp: async ({ lr }, inputs) => {
      const [x, target, ...weights] = inputs.map(array);
      const loss = (w, x, target) => {
        const [w1, b1, w2, b2, w3, b3] = w;
        const hidden = nn.silu(np.matmul(x, w1).add(b1));
        const y = np.matmul(nn.silu(np.matmul(hidden, w2).add(b2)), w3).add(b3);
        return np.mean(np.square(y.sub(target)));
      };
      const adam = update(lr);
      const step = jit((state, x, target, correct1, correct2) => {
        const [value, g] = valueAndGrad(loss)(again(state.map(([p]) => p)), x, target);
        value.dispose();
        const next = state.map(([p, m, v], k) => adam(p, g[k], m, v, correct1.ref, correct2.ref));
        drop([correct1, correct2]);
        return next;
      });
      let state = weights.map((p) => [p, np.zeros(p.shape), np.zeros(p.shape)]);
      let t = 0;
      const run = () => {
        state = step(state, x.ref, target.ref, ...corrections(++t));
      };
      return {
        run,
        settled: async () => void (await blockUntilReady(state)),
        outputs: async () => {
          run();
          return Promise.all(state.map(([p]) => p.ref.data()));
        },
        dispose: () => drop([x, target, ...state.flat()]),
      };
    },
  };
}

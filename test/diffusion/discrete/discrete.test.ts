// Discrete diffusion against sums over all categories: posteriors, bounds of an exact model, and the distribution of samples.
import {
  absorbing,
  type Corruption,
  corrupt,
  cosineKeeping,
  d3pmLoss,
  drawTokens,
  linearKeeping,
  maskedLoss,
  sampleTokens,
  tokenKl,
  tokenPosterior,
  tokenProbabilities,
  uniformCorruption,
  unmaskTokens,
} from "@pkg/diffusion";
import { adamW, type Times } from "@pkg/nn";
import {
  type Backend,
  cpu,
  full,
  liveTensors,
  randomStream,
  stack,
  Tensor,
  tensor,
  valueAndGrad,
  zeros,
} from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { heldTensors } from "../../setup/heldTensors.ts";

const VOCABULARY = 3;
/** p(x₀) of two places of three values, in row-major order: far from independent. */
const DATA = [0.3, 0.05, 0.02, 0.03, 0.25, 0.05, 0.1, 0, 0.2];
const pairs = Array.from({ length: 9 }, (_, k) => [Math.floor(k / 3), k % 3]);
const corruptions: readonly [string, Corruption][] = [
  ["absorbing", absorbing(VOCABULARY)],
  ["uniform", uniformCorruption(VOCABULARY)],
];
const float64 = () => cpu({ precision: "float64" });

/** q(x_t = y | x₀ = x) of one place. */
const forward = ({ stationary }: Corruption, alpha: number, x: number, y: number) =>
  alpha * Number(x === y) + (1 - alpha) * stationary[y];

/** p(x₀ at one place = v | x_t) for all v, by Bayes' rule over all data. */
function exact(corruption: Corruption, alpha: number, seen: readonly number[], place: number): number[] {
  const joint = pairs.map((x0, k) => DATA[k] * x0.reduce((p, x, at) => p * forward(corruption, alpha, x, seen[at]), 1));
  const total = joint.reduce((a, b) => a + b);
  return [0, 1, 2].map((v) => pairs.reduce((sum, x0, k) => sum + (x0[place] === v ? joint[k] : 0), 0) / total);
}

/** The exact model, α = 1 − t: p(x₁ = v | x) ∝ L₁(v) Σ D(v, w) L₂(w), with L(v) the probability of what is seen at a place. */
function oracle(corruption: Corruption) {
  return {
    forward(x: Tensor, times: Times): Tensor {
      if (!(times instanceof Tensor)) throw new Error("oracle: want times as a tensor");
      const { backend } = x;
      const joint = tensor(DATA, { backend, shape: [3, 3] });
      const alpha = times.affine(-1, 1).reshape([-1, 1]);
      const [first, second] = [0, 1].map((place) => {
        const here = x.slice(null, place).oneHot(corruption.states);
        const noise = here.mul(tensor(corruption.stationary, { backend })).sum(-1, { keepAxes: true });
        return here
          .slice(null, [0, 3])
          .mul(alpha)
          .add(noise.mul(alpha.affine(-1, 1)));
      });
      const rows = [first.mul(second.matmul(joint.transpose())), second.mul(first.matmul(joint))];
      return stack(rows, 1).maximum(1e-30).log();
    },
  };
}

/** −Σ p ln p, in nats for both places. */
const ENTROPY = -DATA.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);

describe.each(corruptions)("%s", (_, corruption) => {
  const { states, stationary } = corruption;

  test("the posterior is Bayes' rule, summed over the predicted data", async () => {
    const backend = float64();
    const [from, to] = [0.3, 0.7];
    const predicted = [0.2, 0.5, 0.3];
    for (let y = 0; y < states; y++) {
      const data =
        corruption.mask !== undefined && y !== corruption.mask ? [0, 1, 2].map((v) => Number(v === y)) : predicted;
      const row = [...data, ...new Array(states - 3).fill(0)];
      const found = await tokenPosterior(
        corruption,
        tensor([[row]], { backend }),
        tensor(Int32Array.of(y), { backend, shape: [1, 1] }),
        full([1], from, { backend }),
        full([1], to, { backend }),
      ).data();
      const between = from / to;
      const wanted = new Array(states).fill(0);
      for (const [x0, p] of row.entries()) {
        if (p === 0) continue;
        const joint = stationary.map(
          (_, s) => forward(corruption, to, x0, s) * (between * Number(s === y) + (1 - between) * stationary[y]),
        );
        const total = joint.reduce((a, b) => a + b);
        for (const [s, value] of joint.entries()) wanted[s] += (p * value) / total;
      }
      for (const [s, value] of wanted.entries()) expect(Math.abs(found[s] - value)).toBeLessThan(1e-14);
    }
  });

  test("noise of two steps is that of one: q(x_t | x_s) q(x_s | x₀) sums to q(x_t | x₀), which corrupt draws", async () => {
    const alpha = 0.4;
    for (let x0 = 0; x0 < 3; x0++)
      for (let y = 0; y < states; y++) {
        const sum = stationary.reduce(
          (s, _, k) => s + forward(corruption, 0.8, x0, k) * forward(corruption, 0.5, k, y),
          0,
        );
        expect(sum).toBeCloseTo(forward(corruption, alpha, x0, y), 14);
      }
    const backend = cpu();
    const n = 20_000;
    const x0 = tensor(new Int32Array(n).fill(1), { backend, shape: [n, 1] });
    const drawn = await corrupt(corruption, x0, full([n], alpha, { backend }), randomStream(3)).data();
    expect(
      chiSquare(
        drawn,
        stationary.map((_, y) => forward(corruption, alpha, 1, y)),
      ),
    ).toBeLessThan(LIMIT[2]);
  });

  test("the bound of an exact model in T steps is the closed sum over all draws, at least the entropy, and falls towards it", async () => {
    const backend = float64();
    const bounds: number[] = [];
    for (const steps of [2, 4, 16]) {
      const keeps = Array.from({ length: steps + 1 }, (_, k) => 1 - k / steps);
      // E over all data, steps and noise, without a draw.
      let bound = 0;
      for (let t = 1; t <= steps; t++) {
        for (const [k, x0] of pairs.entries()) {
          for (let a = 0; a < states; a++)
            for (let b = 0; b < states; b++) {
              const weight =
                DATA[k] * forward(corruption, keeps[t], x0[0], a) * forward(corruption, keeps[t], x0[1], b);
              if (weight === 0) continue;
              const logits = [0, 1].map((at) =>
                exact(corruption, keeps[t], [a, b], at).map((p) => Math.log(Math.max(p, 1e-300))),
              );
              const kl = tokenKl(
                corruption,
                tensor([logits], { backend }),
                tensor(Int32Array.from(x0), { backend, shape: [1, 2] }),
                tensor(Int32Array.of(a, b), { backend, shape: [1, 2] }),
                full([1], keeps[t], { backend }),
                full([1], keeps[t - 1], { backend }),
              );
              bound += weight * (await kl.sum().item());
            }
        }
      }
      bounds.push(bound);
      const x0 = tensor(drawnPairs(4000), { backend, shape: [4000, 2] });
      const estimates = await d3pmLoss(oracle(corruption), corruption, keeps, x0, randomStream(steps)).item();
      // Its spread over 4,000 samples is below 0.05.
      expect(Math.abs(2 * estimates - bound)).toBeLessThan(0.15);
    }
    expect(bounds[0]).toBeGreaterThan(bounds[1]);
    expect(bounds[1]).toBeGreaterThan(bounds[2]);
    expect(bounds[2]).toBeGreaterThan(ENTROPY);
    // The places are drawn each by itself in a step: what that misses falls as 1 / T.
    expect((bounds[1] - ENTROPY) / (bounds[2] - ENTROPY)).toBeGreaterThan(2.5);
  });

  test("samples of an exact model have the data's distribution", async () => {
    const backend = cpu();
    const n = 2000;
    let drawn: ArrayLike<number> = [];
    const run = sampleTokens(oracle(corruption), corruption, [n, 2], randomStream(5), { backend, steps: 100 });
    for await (const { x, step } of run) if (step === 100) drawn = await x.data();
    const codes = Array.from({ length: n }, (_, k) => 3 * drawn[2 * k] + drawn[2 * k + 1]);
    // 0.999 of χ² with 7 degrees of freedom; the pair of probability 0 comes up where both places change in one step.
    const possible = DATA.map((p, k) => [p, k]).filter(([p]) => p > 0);
    const counted = codes.filter((code) => DATA[code] > 0).map((code) => possible.findIndex(([, k]) => k === code));
    expect(n - counted.length).toBeLessThan(0.01 * n);
    expect(
      chiSquare(
        counted,
        possible.map(([p]) => p),
      ),
    ).toBeLessThan(24.3);
  });
});

/** 0.999 quantiles of χ², by one less than the degrees of freedom + 1. */
const LIMIT: Readonly<Record<number, number>> = { 2: 16.3 };

function chiSquare(drawn: ArrayLike<number>, probabilities: readonly number[]): number {
  const n = drawn.length;
  const counts = probabilities.map((_, k) => Array.from(drawn).filter((value) => value === k).length);
  return counts.reduce((sum, count, k) => {
    if (probabilities[k] === 0) return count === 0 ? sum : Number.POSITIVE_INFINITY;
    return sum + (count - n * probabilities[k]) ** 2 / (n * probabilities[k]);
  }, 0);
}

/** Draws of the data, in fixed proportions. */
function drawnPairs(n: number): Int32Array {
  const values: number[] = [];
  for (const [k, x0] of pairs.entries()) for (let j = 0; j < Math.round(n * DATA[k]); j++) values.push(...x0);
  return Int32Array.from(values.slice(0, 2 * n));
}

test("the bound of an exact model in continuous time is −ln p, for every keeping", async () => {
  const backend = float64();
  const corruption = absorbing(VOCABULARY);
  // E over masks in closed form: with one place masked the other tells; the weight integrates to these parts of the chain rule.
  // ∫ −α′/(1−α) [(1−α) α H(x₁|x₂) + (1−α)² H(x₁)] dt + the same for x₂ = ½ (H(x₁|x₂) + H(x₁) + H(x₂|x₁) + H(x₂)) = H(x₁, x₂).
  for (const keeping of [linearKeeping(), cosineKeeping()]) {
    const model = {
      forward: (x: Tensor, times: Times) => {
        if (!(times instanceof Tensor)) throw new Error("model: want times as a tensor");
        return oracle(corruption).forward(x, keeping.of(times).affine(-1, 1));
      },
    };
    const x0 = tensor(drawnPairs(4000), { backend, shape: [4000, 2] });
    let sum = 0;
    for (let k = 0; k < 25; k++) sum += await maskedLoss(model, corruption, x0, randomStream(k), { keeping }).item();
    // Weights of 1 / t above 2⁻²⁵ spread a place's nats by about √ln 2²⁵ = 4: of 200,000 places three standard errors are 0.03.
    expect(Math.abs(sum / 25 - ENTROPY / 2)).toBeLessThan(0.03);
  }
});

test("weights and times of keepings are the derivatives of each other", async () => {
  const backend = float64();
  for (const keeping of [linearKeeping(), cosineKeeping()]) {
    expect(keeping.at(0)).toBeCloseTo(1, 15);
    expect(keeping.at(1)).toBeCloseTo(0, 15);
    const times = tensor([0.1, 0.4, 0.9], { backend });
    const { grads } = valueAndGrad(() => keeping.of(times).sum(), [times]);
    const [slopes, keeps, weights] = await Promise.all([
      grads[0].data(),
      keeping.of(times).data(),
      keeping.weight(times).data(),
    ]);
    for (const k of [0, 1, 2]) {
      expect(weights[k]).toBeCloseTo(-slopes[k] / (1 - keeps[k]), 12);
      expect(keeps[k]).toBeCloseTo(keeping.at([0.1, 0.4, 0.9][k]), 12);
    }
  }
});

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("a table of logits learns the data by maskedLoss, and unmasking one by one draws it", async () => {
    const backend: Backend = await open();
    const corruption = absorbing(VOCABULARY);
    // One row of logits for each pair of states: all that two places can show.
    const table = zeros([16, 6], { backend }).contiguous();
    const model = {
      forward: (x: Tensor) => {
        const code = x
          .slice(null, [0, 1])
          .mul(4)
          .add(x.slice(null, [1, 2]))
          .reshape([x.shape[0]]);
        return table.gather(code).reshape([-1, 2, 3]);
      },
    };
    const x0 = tensor(drawnPairs(400), { backend, shape: [400, 2] });
    const optimizer = adamW([table], { lr: 0.2 });
    const rng = randomStream(1);
    for (let k = 0; k < 60; k++) optimizer.minimize(() => maskedLoss(model, corruption, x0, rng)).dispose();
    const learned = await table.slice(15).reshape([2, 3]).softmax().data();
    for (const [k, p] of [0.37, 0.33, 0.3, 0.43, 0.3, 0.27].entries())
      expect(Math.abs(learned[k] - p)).toBeLessThan(0.06);
    const n = 1500;
    const drawn = await (await unmaskTokens(model, corruption, [n, 2], rng, { backend, steps: 2 })).data();
    const same = Array.from({ length: n }, (_, k) => Number(drawn[2 * k] === drawn[2 * k + 1])).reduce((a, b) => a + b);
    expect(Math.abs(same / n - 0.75)).toBeLessThan(0.1);
    backend.dispose();
  });

  test.skipIf(skip)("draws are by the inverse of the distribution, and never of what has probability 0", async () => {
    const backend = await open();
    const probabilities = tensor([0, 0.25, 0, 0.75, 0], { backend }).expand([4000, 5]);
    const drawn = await drawTokens(probabilities, randomStream(2)).data();
    expect(chiSquare(drawn, [0, 0.25, 0, 0.75, 0])).toBeLessThan(10.8);
    backend.dispose();
  });
});

test("unmasking takes the surest places first, at temperature 0 the most probable values", async () => {
  const backend = cpu();
  const corruption = absorbing(2);
  const asked: number[][] = [];
  // Place k is surer the larger k is.
  const model = {
    forward(x: Tensor) {
      void x.data().then((data) => asked.push([...data]));
      return tensor(
        [
          [
            [0.1, 0],
            [0.2, 0],
            [0, 0.3],
            [0, 0.4],
          ],
        ],
        { backend },
      ).expand([x.shape[0], 4, 2]);
    },
  };
  const x = await unmaskTokens(model, corruption, [1, 4], randomStream(0), { backend, steps: 4, temperature: 0 });
  expect(await x.array()).toEqual([[0, 0, 1, 1]]);
  expect(asked).toEqual([
    [2, 2, 2, 2],
    [2, 2, 2, 1],
    [2, 2, 1, 1],
    [2, 0, 1, 1],
  ]);
});

test("wrong arguments are refused with what was wanted", () => {
  const backend = cpu();
  const model = { forward: (x: Tensor) => zeros([...x.shape, 3], { backend }) };
  const x0 = tensor(Int32Array.of(0, 1), { backend, shape: [1, 2] });
  const rng = randomStream(0);
  expect(() => absorbing(0)).toThrow("absorbing: vocabulary is 0, want an integer ≥ 1");
  expect(() => uniformCorruption(1)).toThrow("uniformCorruption: vocabulary is 1, want an integer ≥ 2");
  expect(() => maskedLoss(model, uniformCorruption(3), x0, rng)).toThrow("want one that masks: absorbing(n)");
  expect(() => maskedLoss(model, absorbing(4), x0, rng)).toThrow(/^maskedLoss: logits is .*, want \[1, 2, 4\]/);
  expect(() => maskedLoss(model, absorbing(3), x0.cast("float32"), rng)).toThrow("maskedLoss: x0 is");
  expect(() => d3pmLoss(model, uniformCorruption(3), [1, 0.5, 0.5], x0, rng)).toThrow(
    "d3pmLoss: keeps[2] is 0.5, want",
  );
  expect(() => d3pmLoss(model, absorbing(3), [1, 0.5], x0, rng)).toThrow("d3pmLoss: keeps ends with 0.5, want");
  expect(() => tokenProbabilities(absorbing(2), zeros([1, 2, 3], { backend }), x0)).toThrow("want [1, 2, 2]");
  const keep = full([1], 0.5, { backend });
  expect(() => corrupt(absorbing(3), x0, full([2], 1, { backend }), rng)).toThrow(
    /^corrupt: keep is .*, want float32 \[1\]/,
  );
  expect(() => corrupt(absorbing(3), x0.cast("float32"), keep, rng)).toThrow(/^corrupt: x0 is .*, want int32/);
  expect(() => tokenPosterior(absorbing(3), zeros([1, 2, 4], { backend }), x0, full([], 0, { backend }), keep)).toThrow(
    /^tokenPosterior: from is .*, want float32 \[1\]/,
  );
  for (const shape of [
    [0, 3],
    [2, 0],
  ])
    expect(() => maskedLoss(model, absorbing(3), zeros(shape, { backend, dtype: "int32" }), rng)).toThrow(
      "at least one",
    );
  const keeping = 3 as unknown as ReturnType<typeof linearKeeping>;
  expect(() => maskedLoss(model, absorbing(3), x0, rng, { keeping })).toThrow("maskedLoss: keeping is 3, want");
});

test("a value that is none of the vocabulary makes every loss NaN", async () => {
  for (const { name, open } of openers.filter(({ name }) => name !== "webgpu")) {
    const backend = await open();
    const model = { forward: (x: Tensor) => zeros([...x.shape, 3], { backend }) };
    for (const value of [-1, 3, 99]) {
      const x0 = tensor(Int32Array.of(0, value), { backend, shape: [1, 2] });
      const losses = [
        maskedLoss(model, absorbing(3), x0, randomStream(1)),
        d3pmLoss(model, absorbing(3), [1, 0.5, 0], x0, randomStream(1)),
        d3pmLoss(model, uniformCorruption(3), [1, 0.5, 0.1], x0, randomStream(1)),
      ];
      for (const loss of losses) expect([name, value, await loss.item()]).toEqual([name, value, Number.NaN]);
    }
    backend.dispose();
  }
});

test("the cosine keeps its precision where hardly anything is lost, and ends exactly", async () => {
  const backend = cpu();
  const { at, of, weight } = cosineKeeping();
  expect([at(0), at(1)]).toEqual([1, 0]);
  const times = tensor([2 ** -24, 1e-6, 1e-3, 1], { backend });
  const [kept, weights] = [await of(times).data(), await weight(times).data()];
  expect(kept.every((alpha) => alpha >= 0 && alpha <= 1)).toBe(true);
  for (const [k, t] of [2 ** -24, 1e-6, 1e-3].entries())
    expect(weights[k] / (Math.PI / 2 / Math.tan((Math.PI / 2) * t))).toBeCloseTo(1, 5);
  expect(weights[3]).toBe(0);
});

test("what a model may not predict is refused by samplers, and nothing of a run that ends early stays", async () => {
  const backend = cpu();
  const corruption = absorbing(3);
  const model = (values: number, value = 0) => ({
    forward: (x: Tensor) => full([...x.shape, values], value, { backend }),
  });
  const unmasked = (of: ReturnType<typeof model>) =>
    unmaskTokens(of, corruption, [1, 2], randomStream(1), { backend, steps: 2 });
  const drawn = async (of: ReturnType<typeof model>, shape = [1, 2], until = 3) => {
    for await (const { x, step } of sampleTokens(of, corruption, shape, randomStream(1), { backend, steps: 3 })) {
      x.dispose();
      if (step === until) break;
    }
  };
  for (const run of [unmasked, drawn]) {
    await expect(run(model(4))).rejects.toThrow("want [1, 2, 3], one number for each value");
    await expect(run(model(3, Number.NaN))).rejects.toThrow("the model predicted NaN, want finite logits");
  }
  await expect(drawn(model(3), [-1, 2])).rejects.toThrow("sampleTokens: shape is [-1, 2], want [batch, places, ...]");
  const before = heldTensors();
  await drawn(model(3), [1, 2], 1);
  await expect(drawn(model(4))).rejects.toThrow();
  expect(liveTensors()).toBe(before);
});

test("drawing computes where the model's parameters are, and says when nothing tells where", async () => {
  const backend = cpu();
  const known = { logits: tensor([0, 1], { backend }), forward: (x: Tensor) => known.logits.expand([...x.shape, 2]) };
  const corruption = absorbing(2);
  expect((await unmaskTokens(known, corruption, [2, 3], randomStream(0), { steps: 3 })).backend).toBe(backend);
  for await (const { x } of sampleTokens(known, corruption, [2, 3], randomStream(0), { steps: 3 })) {
    expect(x.backend).toBe(backend);
    x.dispose();
  }
  const unknown = { forward: known.forward };
  const wanted = "the model has no parameters to tell its backend, want the backend option";
  await expect(unmaskTokens(unknown, corruption, [2, 3], randomStream(0))).rejects.toThrow(`unmaskTokens: ${wanted}`);
  await expect(sampleTokens(unknown, corruption, [2, 3], randomStream(0)).next()).rejects.toThrow(
    `sampleTokens: ${wanted}`,
  );
});

// Guidance since 2024 against closed forms on mixtures, captured, resumed, and combined.
import {
  adaptiveProjected,
  autoguidance,
  cfgPlusPlus,
  cfgZeroStar,
  classifierFree,
  convertAtLevel,
  ddim,
  euler,
  finalSample,
  finalState,
  flowPath,
  gaussianOracle,
  heun,
  linearInterpolant,
  type Model,
  mixtureOracle,
  oracleModel,
  parseSampleState,
  perturbedAttention,
  type Sampler,
  sample,
  serializeSampleState,
} from "@pkg/diffusion";
import { dit, loadStateDict, mlp, stateDict, unet } from "@pkg/nn";
import { type Backend, cpu, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { listOf } from "../../setup/listOf.ts";
import { plainly } from "../../setup/plainly.ts";

const exact = cpu({ precision: "float64" });
const { level } = linearInterpolant();
const KINDS = ["noise", "data", "velocity", "flow", "score"] as const;

/** Three classes in the plane, and all of them together. */
const MEANS = [
  [-1, 0.5],
  [1, 1],
  [0.3, -1.2],
];
const all = mixtureOracle({ means: MEANS, variances: 0.2, weights: [0.5, 0.3, 0.2] });
const classes = MEANS.map((mean) => gaussianOracle({ mean, variance: 0.2 }));
const wide = mixtureOracle({ means: MEANS, variances: 0.6, weights: [0.5, 0.3, 0.2] });

/** The exact prediction for a batch with one label each; null for none. */
function labelled(kind: (typeof KINDS)[number], none = all, known = classes): Model {
  return {
    forward(x, times, { labels = [] } = {}) {
      const list = listOf(labels as (number | null)[]);
      const each = x.split(1).map((one, k) => {
        const label = list[k];
        const oracle = label === null || label === undefined ? none : known[label];
        return oracleModel(oracle, level, kind).forward(one, [listOf(times)[k]]);
      });
      return each.slice(1).reduce((rows, row) => join(rows, row), each[0]);
    },
  };
}

function join(a: Tensor, b: Tensor): Tensor {
  const [rows, more] = [a.shape[0], b.shape[0]];
  return a
    .pad([
      [0, more],
      [0, 0],
    ])
    .add(
      b.pad([
        [rows, 0],
        [0, 0],
      ]),
    );
}

const X = tensor(
  [
    [0.4, -0.3],
    [-1.1, 0.9],
    [2, 0.1],
  ],
  { backend: exact },
);
const LABELS = [0, 2, 1];

async function expectClose(found: Tensor, wanted: Tensor, digits = 10): Promise<void> {
  expect(found.shape).toEqual(wanted.shape);
  const [a, b] = [await found.data(), await wanted.data()];
  for (const [k, value] of [...b].entries()) expect(a[k], `element ${k}`).toBeCloseTo(value, digits);
}

const end = async (sampler: Sampler, model: Model, x = X, labels: (number | null)[] = LABELS) =>
  finalSample(sample(sampler, model, x.shape, randomStream(0), { from: { x }, labels }));

/** ⟨a, b⟩ of each sample, as a column. */
const inner = (a: Tensor, b: Tensor) => a.mul(b).sum(1, { keepAxes: true });

describe("autoguidance", () => {
  test.each(KINDS)("of predicted %s has the score (1 − w) ∇log q_weak + w ∇log q_strong", async (kind) => {
    for (const t of [0.1, 0.5, 0.9]) {
      const times = [t, t, t];
      const guided = autoguidance(oracleModel(all, level, kind), oracleModel(wide, level, kind), { scale: 2.5 });
      const score = convertAtLevel(level(t), guided.forward(X, times), { from: kind, to: "score", x: X });
      const wanted = all
        .score(X, level(t))
        .mul(2.5)
        .sub(wide.score(X, level(t)).mul(1.5));
      await expectClose(score, wanted, 8);
    }
  });

  test("of two Gaussians draws the Gaussian of precision w / v_strong + (1 − w) / v_weak at every level", async () => {
    const [narrow, broad, w, t] = [0.2, 0.5, 1.8, 0.4];
    const { signal, noise } = level(t);
    const [a, b] = [narrow, broad].map((variance) => gaussianOracle({ mean: [0, 0], variance }));
    const guided = autoguidance(oracleModel(a, level, "score"), oracleModel(b, level, "score"), { scale: w });
    const precision = w / (signal ** 2 * narrow + noise ** 2) + (1 - w) / (signal ** 2 * broad + noise ** 2);
    await expectClose(guided.forward(X, [t, t, t]), X.mul(-precision));
  });

  test("tells both networks the labels, and keeps the strong one's learned variances", async () => {
    const seen: unknown[] = [];
    const network = (value: number): Model => ({
      forward(x, _, conditioning) {
        seen.push(conditioning?.labels);
        return x
          .affine(0, value)
          .pad([
            [0, 0],
            [0, 2],
          ])
          .add(
            x.affine(0, 10 * value).pad([
              [0, 0],
              [2, 0],
            ]),
          );
      },
    });
    const guided = autoguidance(network(3), network(1), { scale: 2 });
    await expectClose(
      guided.forward(X, [0, 0, 0], { labels: LABELS }).slice([0, 1]),
      tensor([[5, 5, 30, 30]], { backend: exact }),
    );
    expect(seen).toEqual([LABELS, LABELS]);
  });
});

describe("CFG++", () => {
  test("takes x to signal′ x̂₀ + noise′ ε̂_u, and is DDIM guided by λ σ / (σ − σ′)", async () => {
    const path = flowPath({ times: [0.9, 0.6, 0.3], prediction: "flow" });
    const [model, lambda] = [labelled("flow"), 0.7];
    const { path: guided, model: both } = cfgPlusPlus(path, model, { scale: lambda });
    const found = await end(ddim(guided), both);
    let [x, same] = [X, X];
    for (const [k, from] of path.levels.slice(0, -1).entries()) {
      const to = path.levels[k + 1];
      const times = LABELS.map(() => from.t);
      const read = (labels: (number | null)[], kind: "data" | "noise") =>
        convertAtLevel(from, model.forward(x, times, { labels }), { from: "flow", to: kind, x });
      const [none, nobody] = [LABELS.map(() => null), "noise" as const];
      const data = read(none, "data").add(read(LABELS, "data").sub(read(none, "data")).mul(lambda));
      const next = data.mul(to.signal).add(read(none, nobody).mul(to.noise));
      const [sigma, after] = [from, to].map(({ signal, noise }) => noise / signal);
      const strong = classifierFree(model, { scale: (lambda * sigma) / (sigma - after) });
      const predicted = strong.forward(same, times, { labels: LABELS });
      const [ofData, ofNoise] = (["data", "noise"] as const).map((to) =>
        convertAtLevel(from, predicted, { from: "flow", to, x: same }),
      );
      same = ofData.mul(to.signal).add(ofNoise.mul(to.noise));
      x = next;
    }
    await expectClose(found, x, 9);
    await expectClose(found, same, 9);
  });

  test("with λ = 0 is DDIM without labels, with a clip of x̂₀ too", async () => {
    for (const clip of [false, true]) {
      const path = flowPath({ steps: 5, clip });
      const { path: guided, model } = cfgPlusPlus(path, labelled("flow"), { scale: 0 });
      const plain = ddim(path, { rederiveNoise: false });
      await expectClose(await end(ddim(guided), model), await end(plain, oracleModel(all, level, "flow")), 9);
    }
  });
});

describe("CFG-Zero*", () => {
  test("is (1 − w) s v_u + w v_c with s = ⟨v_c, v_u⟩ / ‖v_u‖² of each sample", async () => {
    const model = labelled("flow");
    const times = [0.3, 0.5, 0.9];
    const [c, u] = [LABELS, [null, null, null]].map((labels) => model.forward(X, times, { labels }));
    const s = inner(c, u).div(inner(u, u));
    const guided = cfgZeroStar(model, { scale: 4 });
    await expectClose(guided.forward(X, times, { labels: LABELS }), c.mul(4).sub(u.mul(s).mul(3)));
  });

  test("does nothing where a sample has one number: there s v_u is v_c", async () => {
    const line = [-1, 1].map((mean) => gaussianOracle({ mean: [mean], variance: 0.3 }));
    const both = mixtureOracle({ means: [[-1], [1]], variances: 0.3 });
    const model = labelled("flow", both as never, line as never);
    const x = tensor([[0.2], [-0.7]], { backend: exact });
    const asked = { labels: [0, 1] };
    await expectClose(
      cfgZeroStar(model, { scale: 7 }).forward(x, [0.4, 0.4], asked),
      model.forward(x, [0.4, 0.4], asked),
    );
  });

  test("has no velocity in the first steps, and a branch of zeros has no say", async () => {
    const model = labelled("flow");
    const guided = cfgZeroStar(model, { scale: 2 });
    const states: Tensor[] = [];
    const run = sample(euler(flowPath({ steps: 50 })), guided, [3, 2], randomStream(0), {
      from: { x: X },
      labels: LABELS,
    });
    for await (const { x, step } of run) {
      if (step > 3) break;
      states.push(x.add(0));
    }
    await expectClose(states[1], X); // t = 1 and 0.98
    expect(await states[2].sub(X).abs().max().item()).toBeGreaterThan(1e-3);
    const zeros: Model = {
      forward: (x, _, { labels } = {}) =>
        x.mul(
          tensor(
            listOf(labels as number[]).map((l) => [l === null ? 0 : 1]),
            { backend: exact },
          ),
        ),
    };
    await expectClose(cfgZeroStar(zeros, { scale: 3 }).forward(X, [0.5, 0.5, 0.5], { labels: LABELS }), X.mul(3));
    const times = tensor([0.5, 0.97, 1], { backend: exact });
    const found = cfgZeroStar(zeros, { scale: 3 }).forward(X, times, { labels: LABELS });
    await expectClose(found, X.mul(tensor([[3], [0], [0]], { backend: exact })));
  });
});

describe("adaptive projected guidance", () => {
  test.each([euler, heun])("with η = 1 alone it is classifier-free guidance: %o", async (solver) => {
    const path = flowPath({ steps: 6 });
    const { sampler, model } = adaptiveProjected(solver, path, labelled("flow"), { scale: 3, parallel: 1 });
    const wanted = await end(solver(path), classifierFree(labelled("flow"), { scale: 3 }));
    await expectClose(await end(sampler, model), wanted, 8);
  });

  test("in one dimension all of the difference lies along D_c, and nothing is left of it", async () => {
    const line = [-1, 1].map((mean) => gaussianOracle({ mean: [mean], variance: 0.3 }));
    const both = mixtureOracle({ means: [[-1], [1]], variances: 0.3 });
    const x = tensor([[0.2], [-0.7]], { backend: exact });
    const path = flowPath({ steps: 6 });
    const made = adaptiveProjected(heun, path, labelled("flow", both as never, line as never), { scale: 9 });
    const wanted = await end(heun(path), labelled("flow", both as never, line as never), x, [0, 1]);
    await expectClose(await end(made.sampler, made.model, x, [0, 1]), wanted, 9);
  });

  test("keeps the orthogonal part of Δ = D_c − D_u + β Δ_before, no longer than r; a step's first call makes Δ", async () => {
    const [w, eta, beta, r] = [4, 0.25, -0.5, 0.4];
    const model = labelled("data");
    const path = flowPath({ times: [0.8, 0.5, 0.2], prediction: "data" });
    const options = { scale: w, parallel: eta, momentum: beta, norm: r };
    const { sampler, model: both } = adaptiveProjected(heun, path, model, options);
    let x = X;
    let before = X.mul(0);
    const run = sample(sampler, both, [3, 2], randomStream(0), { from: { x: X }, labels: LABELS });
    let step = 0;
    for await (const state of run) {
      const [from, to] = [path.levels[step], path.levels[step + 1]];
      const made: Tensor[] = [];
      const guided = (at: Tensor, t: number) => {
        const times = LABELS.map(() => t);
        const [c, u] = [LABELS, [null, null, null]].map((labels) => model.forward(at, times, { labels }));
        const moving = c.sub(u).add(before.mul(beta));
        made.push(moving);
        const short = moving.mul(inner(moving, moving).sqrt().pow(-1).mul(r).minimum(1));
        const parallel = c.mul(inner(short, c).div(inner(c, c)));
        return c.add(
          short
            .sub(parallel)
            .add(parallel.mul(eta))
            .mul(w - 1),
        );
      };
      const data = guided(x, from.t);
      const noise = x.sub(data.mul(from.signal)).div(from.noise);
      const euler = data.mul(to.signal).add(noise.mul(to.noise));
      if (to.noise === 0) x = euler;
      else {
        const behind = euler.sub(guided(euler, to.t).mul(to.signal)).div(to.noise);
        const mean = noise.add(behind).mul(0.5);
        const ratio = to.signal / from.signal;
        x = x.mul(ratio).add(mean.mul(to.noise - from.noise * ratio));
      }
      before = made[0];
      await expectClose(state.x, x, 9);
      await expectClose(state.memory[0], before, 9);
      step++;
    }
    expect(step).toBe(3);
  });

  test("clips what is guided, and wants no path that clips", async () => {
    const { sampler, model } = adaptiveProjected(euler, flowPath({ steps: 4 }), labelled("flow"), {
      scale: 9,
      clip: true,
    });
    expect(await (await end(sampler, model)).abs().max().item()).toBeLessThanOrEqual(1);
    expect(() => adaptiveProjected(euler, flowPath({ clip: true }), labelled("flow"), { scale: 2 })).toThrow(
      "adaptiveProjected: path clips, want clip among the options instead",
    );
  });
});

describe("perturbed-attention guidance", () => {
  test("is ε + s (ε − ε̃) of the same model, told whose attention is the identity", async () => {
    const model: Model = {
      forward(x, times, { identityAttention } = {}) {
        return oracleModel(identityAttention === "all" ? wide : all, level, "score").forward(x, times);
      },
    };
    const times = [0.2, 0.5, 0.7];
    const found = perturbedAttention(model, { scale: 3, layers: "all" }).forward(X, times);
    const levels = times.map(level);
    await expectClose(found, all.score(X, levels).mul(4).sub(wide.score(X, levels).mul(3)));
  });

  /** A network whose weights are all drawn, none zero. */
  const drawn = <Network extends object>(network: Network): Network => {
    const rng = randomStream(5);
    const state = [...stateDict(network)].map(
      ([name, value]) => [name, rng.normal(value.shape, { backend: exact, std: 0.3 })] as const,
    );
    loadStateDict(network, new Map(state));
    return network;
  };
  const init = { backend: exact, rng: randomStream(1) };

  test("a U-Net's places see themselves alone: with one place in the middle nothing changes, elsewhere it does", async () => {
    const network = drawn(
      unet({ inChannels: 1, channels: 4, multipliers: [1, 1], blocks: 1, attentionLevels: [0] }, init),
    );
    const x = randomStream(2).normal([2, 2, 2, 1], { backend: exact });
    const ask = (identityAttention?: "middle" | "all") => network.forward(x, [3, 500], { identityAttention });
    await expectClose(ask("middle"), ask(), 9);
    expect(await ask("all").sub(ask()).abs().max().item()).toBeGreaterThan(1e-3);
    const large = randomStream(2).normal([2, 4, 4, 1], { backend: exact });
    const middle = network.forward(large, [3, 500], { identityAttention: "middle" });
    expect(
      await middle
        .sub(network.forward(large, [3, 500]))
        .abs()
        .max()
        .item(),
    ).toBeGreaterThan(1e-4);
    // With the identity everywhere, attention is W_o W_v of the norm.
    const { attention } = network.middle[0];
    const block = attention ?? expect.fail("no attention");
    const hidden = randomStream(3).normal([1, 2, 2, 4], { backend: exact });
    const v = block.qkv.forward(block.norm.forward(hidden)).slice(null, null, null, [8, 12]);
    await expectClose(block.forward(hidden, { identity: true }), hidden.add(block.out.forward(v)), 9);
  });

  test("so do a transformer's: its middle block's, or all", async () => {
    const network = drawn(dit({ inChannels: 1, patch: 2, channels: 8, depth: 3, heads: 2 }, init));
    const one = randomStream(2).normal([2, 2, 2, 1], { backend: exact }); // a single patch
    await expectClose(network.forward(one, [3, 500], { identityAttention: "all" }), network.forward(one, [3, 500]), 9);
    const x = randomStream(2).normal([2, 4, 4, 1], { backend: exact });
    const [none, middle, everywhere] = [undefined, "middle" as const, "all" as const].map((identityAttention) =>
      network.forward(x, [3, 500], { identityAttention }),
    );
    for (const [a, b] of [
      [none, middle],
      [middle, everywhere],
      [none, everywhere],
    ] as const)
      expect(await a.sub(b).abs().max().item()).toBeGreaterThan(1e-4);
    expect(() => network.forward(x, [3, 500], { identityAttention: "first" as never })).toThrow(
      'dit: identityAttention is "first", want middle or all',
    );
  });
});

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    const points = (seed: number) =>
      mlp(
        { sizes: [2, 12, 2], timeChannels: 8, timeEmbedding: { scale: 1000 }, classes: 3 },
        { backend, rng: randomStream(seed) },
      );
    const image = () => {
      const network = unet(
        { inChannels: 1, channels: 4, multipliers: [1, 1], blocks: 1, classes: 3 },
        { backend, rng: randomStream(1) },
      );
      loadStateDict(
        network,
        new Map(
          [...stateDict(network)].map(([key, { shape }]) => [
            key,
            randomStream(3).split(key).normal(shape, { backend, std: 0.2 }),
          ]),
        ),
      );
      return network;
    };
    const path = flowPath({ steps: 6 });
    const made: Readonly<Record<string, () => { sampler: Sampler; model: Model; shape: number[] }>> = {
      autoguidance: () => ({
        sampler: heun(path),
        model: autoguidance(points(1), points(2), { scale: 2 }),
        shape: [3, 2],
      }),
      "CFG++": () => {
        const guided = cfgPlusPlus(path, points(1), { scale: 0.6 });
        return { sampler: ddim(guided.path), model: guided.model, shape: [3, 2] };
      },
      "CFG-Zero*": () => ({ sampler: heun(path), model: cfgZeroStar(points(1), { scale: 3 }), shape: [3, 2] }),
      "adaptive projected guidance": () => ({
        ...adaptiveProjected(heun, path, points(1), { scale: 4, momentum: -0.5, norm: 0.3 }),
        shape: [3, 2],
      }),
      "perturbed attention of a guided U-Net": () => ({
        sampler: euler(path),
        model: perturbedAttention(classifierFree(image(), { scale: 2 }), { scale: 3 }),
        shape: [3, 4, 4, 1],
      }),
    };

    test.each(Object.keys(made))(
      "%s has the bits of plain steps when captured, and when stopped and resumed",
      async (of) => {
        const whole = async () => {
          const { sampler, model, shape } = made[of]();
          const run = sample(sampler, model, shape, randomStream(4), { labels: LABELS, backend });
          return [...(await (await finalSample(run)).data())];
        };
        const wanted = await plainly(backend, whole);
        expect(await whole()).toEqual(wanted);
        expect(wanted.every(Number.isFinite)).toBe(true);
        for (const until of [1, 2, 5]) {
          const { sampler, model, shape } = made[of]();
          const rng = randomStream(4);
          const stopped = await finalState(sample(sampler, model, shape, rng, { labels: LABELS, backend, until }));
          const { state, rng: saved } = parseSampleState(await serializeSampleState(stopped, rng), backend);
          const later = randomStream(0);
          later.restore(saved);
          const rest = sample(sampler, model, shape, later, { from: state, labels: LABELS });
          expect([...(await (await finalSample(rest)).data())]).toEqual(wanted);
        }
      },
    );
  });
}

test("guidance guides guidance: a weak and a strong network, each guided by labels", async () => {
  const [strong, weak] = [labelled("score"), labelled("score", wide)];
  const both = autoguidance(classifierFree(strong, { scale: 2 }), classifierFree(weak, { scale: 3 }), { scale: 1.5 });
  const times = [0.3, 0.3, 0.3];
  const ask = (model: Model, labels: (number | null)[]) => model.forward(X, times, { labels });
  const none = [null, null, null];
  const ofStrong = ask(strong, LABELS).mul(2).sub(ask(strong, none));
  const ofWeak = ask(weak, LABELS).mul(3).sub(ask(weak, none).mul(2));
  await expectClose(both.forward(X, times, { labels: LABELS }), ofStrong.mul(1.5).sub(ofWeak.mul(0.5)), 9);
});

test("what does not fit is refused by name", () => {
  const model = labelled("flow");
  const path = flowPath();
  const nan = { scale: Number.NaN };
  expect(() => autoguidance(model, model, nan)).toThrow("autoguidance: scale is NaN, want a finite number");
  expect(() => autoguidance(model, 3 as never, { scale: 1 })).toThrow("autoguidance: weak is 3, want a model");
  expect(() => cfgPlusPlus(path, model, nan)).toThrow("cfgPlusPlus: scale is NaN");
  expect(() => cfgZeroStar(model, nan)).toThrow("cfgZeroStar: scale is NaN");
  expect(() => cfgZeroStar(model, { scale: 1, zeroAbove: 2 })).toThrow("cfgZeroStar: zeroAbove is 2, want a number in");
  expect(() => perturbedAttention(model, nan)).toThrow("perturbedAttention: scale is NaN");
  expect(() => perturbedAttention(model, { scale: 1, layers: "last" as never })).toThrow(
    'perturbedAttention: layers is "last", want middle or all',
  );
  const projected = (options: object) => () => adaptiveProjected(euler, path, model, { scale: 2, ...options });
  expect(projected(nan)).toThrow("adaptiveProjected: scale is NaN");
  expect(projected({ momentum: 1 })).toThrow("adaptiveProjected: momentum is 1, want a number in (−1, 1)");
  expect(projected({ norm: 0 })).toThrow("adaptiveProjected: norm is 0, want a positive number");
  expect(projected({ parallel: Number.POSITIVE_INFINITY })).toThrow("adaptiveProjected: parallel is Infinity");
  expect(() => adaptiveProjected("heun" as never, path, model, { scale: 2 })).toThrow(
    'adaptiveProjected: solver is "heun", want a solver',
  );
  for (const guided of [
    cfgZeroStar(model, { scale: 2 }),
    cfgPlusPlus(path, model, { scale: 1 }).model,
    adaptiveProjected(euler, path, model, { scale: 2 }).model,
  ]) {
    expect(() => guided.forward(X, [0, 0, 0])).toThrow(/: no labels in the call, want one per sample/);
    expect(() => guided.forward(X, [0, 0, 0], { labels: [1] })).toThrow(/: 1 labels for a batch of 3/);
    const labels = tensor(Int32Array.of(0, 1, 2), { backend: exact });
    expect(() => guided.forward(X, [0, 0, 0], { labels })).toThrow(/: labels is a tensor and classes is undefined/);
  }
});

// Steps as int32 tensors: the same bits as lists of them everywhere, NaN out of range, and tables that are made once.
import {
  boundTerms,
  classifierFree,
  classifierGuidance,
  convertPrediction,
  dividedBySigma,
  dropLabels,
  fixedLarge,
  forwardStep,
  type LossWeight,
  learnedRange,
  linear,
  lossAwareTimes,
  lowDiscrepancyTimes,
  minSnrWeight,
  mixtureOracle,
  oracleModel,
  oracleScore,
  p2Weight,
  preconditioned,
  predictionLoss,
  predictionTarget,
  qSample,
  respace,
  respacedModel,
  scheduleTables,
  snrWeight,
  stratifiedTimes,
  type TimestepSampler,
  truncatedSnrWeight,
  uniformTimes,
  variationalWeight,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { mlp, type Times, unet } from "@pkg/nn";
import { type Backend, cpu, detectNonFinite, grad, randomStream, Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const schedule = linear(100);
const STEPS = [0, 99, 7, 50];
const backends = openers.filter(({ skip }) => !skip);
const exact = cpu({ precision: "float64" });
const mixture = mixtureOracle({
  means: [
    [1, 0],
    [-1, 2],
  ],
  variances: [0.3, [0.2, 0.5]],
});

interface Given {
  readonly backend: Backend;
  readonly x: Tensor;
  readonly noise: Tensor;
  readonly times: Times;
  readonly labels: Tensor | readonly number[];
}

/** What is computed of steps, by name. */
const CASES: Readonly<Record<string, (given: Given) => Tensor>> = {
  qSample: ({ x, times }) => qSample(schedule, x, times, randomStream(1)).noisy,
  forwardStep: ({ x, times }) => forwardStep(schedule, x, times, randomStream(1)).noisy,
  "the target of velocity": ({ x, noise, times }) => predictionTarget(schedule, "velocity", { data: x, noise, times }),
  "the target of the mean": ({ x, noise, times }) => predictionTarget(schedule, "mean", { data: x, noise, times }),
  "data from noise": ({ x, noise, times }) =>
    convertPrediction(schedule, noise, { from: "noise", to: "data", x, times }),
  "score from the mean": ({ x, noise, times }) =>
    convertPrediction(schedule, noise, { from: "mean", to: "score", x, times }),
  "a network": ({ backend, x, times }) =>
    mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) }).forward(x, times, { steps: 100 }),
  "a respaced network": ({ backend, x, times }) => {
    const kept = respace(
      linear(1000),
      Array.from({ length: 100 }, (_, k) => 9 * k + 5),
    );
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) });
    return respacedModel(net, kept).forward(x, times, { steps: 100 });
  },
  "terms of the bound": ({ backend, x, noise, times }) => {
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) });
    return boundTerms(net, schedule, { x0: x.clamp(-1, 1), x: noise, times }, { variance: fixedLarge() });
  },
  "terms with a learned range": ({ backend, x, noise, times }) => {
    const net = mlp({ sizes: [2, 4, 4], timeChannels: 4 }, { backend, rng: randomStream(2) });
    return boundTerms(net, schedule, { x0: x.clamp(-1, 1), x: noise, times }, { variance: learnedRange() });
  },
  "guidance by labels": ({ backend, x, times, labels }) => {
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4, classes: 3 }, { backend, rng: randomStream(2) });
    return classifierFree(net, { scale: 3, classes: 3 }).forward(x, times, { labels, steps: 100 });
  },
  "guidance in an interval": ({ backend, x, times, labels }) => {
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4, classes: 3 }, { backend, rng: randomStream(2) });
    const guided = classifierFree(net, { scale: 3, classes: 3, interval: [7, 50] });
    return guided.forward(x, times, { labels, steps: 100 });
  },
  "guidance by a classifier": ({ backend, x, times, labels }) => {
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) });
    return classifierGuidance(net, (y) => y.square().sum(1), { levels: schedule }).forward(x, times, {
      labels,
      steps: 100,
    });
  },
};

describe.each(backends)("steps in a tensor, on $name", ({ open: opened }) => {
  let first: Promise<Backend> | undefined;
  const open = () => {
    first ??= opened();
    return first;
  };
  const given = async (isTensor: boolean, steps = STEPS): Promise<Given> => {
    const backend = await open();
    const [x, noise] = [4, 5].map((seed) => randomStream(seed).normal([4, 2], { backend }));
    const list = (values: readonly number[]) => (isTensor ? tensor(Int32Array.from(values), { backend }) : values);
    return { backend, x, noise, times: list(steps), labels: list([0, 2, 1, 1]) as Given["labels"] };
  };

  test.each(Object.entries(CASES))("%s has the bits of a list", async (_, compute) => {
    const [found, wanted] = await Promise.all([true, false].map(async (is) => compute(await given(is)).data()));
    expect(found).toEqual(wanted);
    expect([...wanted].every(Number.isFinite)).toBe(true);
  });

  test("out of range give NaN, and detectNonFinite names the gathering", async () => {
    const { backend, x, times } = await given(true, [0, 100, -1, 5]);
    const { noisy } = qSample(schedule, x, times, randomStream(1));
    const rows = (await noisy.array()) as number[][];
    expect(rows.map((row) => row.every(Number.isNaN))).toEqual([false, true, true, false]);
    const net = mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) });
    const loss = () => predictionLoss(net, schedule, x, randomStream(1), { times });
    expect(await loss().item()).toBeNaN();
    await expect(detectNonFinite(loss)).rejects.toThrow(
      /^detectNonFinite: op 1, gather of \[100\], \[4\], makes, as output 0, 2 NaN or infinite of 4 elements \[4\]/,
    );
  });

  const drawn: readonly (readonly [string, () => TimestepSampler])[] = [
    ["uniform", () => uniformTimes()],
    ["stratified", () => stratifiedTimes()],
    ["of low discrepancy", () => lowDiscrepancyTimes()],
    ["loss-aware", () => lossAwareTimes(100).draw],
  ];

  test.each(drawn)("drawn %s are the host's numbers", async (name, sampler) => {
    const backend = await open();
    const { times } = sampler()(100, 300, randomStream(6), backend);
    if (!(times instanceof Tensor)) throw new Error("a list, want a tensor");
    const found = [...(await times.data())];
    const rng = randomStream(6);
    const uniform = (u: number) => Math.floor(u * 100);
    const start = name === "of low discrepancy" ? rng.next() : 0;
    const wanted: Record<string, () => number[]> = {
      uniform: () => [...rng.host.integers(0, 100, [300])],
      stratified: () => Array.from(rng.host.uniform([300]), (u, i) => Math.min(99, uniform((i + u) / 300))),
      "of low discrepancy": () => Array.from({ length: 300 }, (_, i) => Math.min(99, uniform((start + i / 300) % 1))),
      "loss-aware": () => Array.from({ length: 300 }, () => uniform(rng.next())),
    };
    expect(times.dtype).toBe("int32");
    expect(times.backend).toBe(backend);
    expect(found).toEqual(wanted[name]());
  });

  test("an oracle's answers are those of a list, to float32", async () => {
    for (const prediction of ["noise", "data", "velocity", "score", "mean"] as const) {
      const model = oracleModel(mixture, schedule, prediction);
      const [found, wanted] = await Promise.all(
        [true, false].map(async (is) => {
          const { x, times } = await given(is);
          return model.forward(x, times).data();
        }),
      );
      for (const [k, value] of wanted.entries())
        expect(Math.abs(found[k] - value)).toBeLessThan(1e-4 * Math.max(1, Math.abs(value)));
    }
  });

  test("labels in a tensor are dropped as those of a list", async () => {
    const backend = await open();
    const labels = Array.from({ length: 200 }, (_, k) => k % 3);
    const found = dropLabels(tensor(Int32Array.from(labels), { backend }), 0.3, randomStream(3), { classes: 3 });
    const wanted = dropLabels(labels, 0.3, randomStream(3)).map((label) => label ?? 3);
    expect([...(await found.data())]).toEqual(wanted);
    expect(wanted).toContain(3);
  });
});

test("a schedule's tables on a backend are made once, and are its own", async () => {
  const [here, there] = [cpu(), cpu()];
  const tables = scheduleTables(schedule, here);
  expect(scheduleTables(schedule, here).signals).toBe(tables.signals);
  expect(scheduleTables(schedule, there).signals).not.toBe(tables.signals);
  expect(scheduleTables(linear(100), here).signals).not.toBe(tables.signals);
  const rows = await Promise.all(Object.values(tables).map((table: Tensor) => table.data()));
  expect(rows).toEqual(
    [
      schedule.betas,
      schedule.alphaBars,
      schedule.noiseVariances,
      schedule.alphaBars.map(Math.sqrt),
      schedule.noiseVariances.map(Math.sqrt),
    ].map((table) => Float32Array.from(table)),
  );
});

test("a loss asks for its tables once, also where its weight is made anew at every step, and for a weight of one's own each time", () => {
  const backend = cpu();
  const lasted = linear(30);
  const x = randomStream(1).normal([4, 2], { backend });
  const net = mlp({ sizes: [2, 4, 2], timeChannels: 4 }, { backend, rng: randomStream(2) });
  let uploads = 0;
  const upload = backend.upload.bind(backend);
  backend.upload = (...given) => {
    uploads++;
    upload(...given);
  };
  const uploadsOf = (weight: LossWeight) => {
    uploads = 0;
    predictionLoss(net, lasted, x, randomStream(3), { prediction: "velocity", weight });
    return uploads;
  };
  for (const make of [
    () => minSnrWeight(5, "velocity"),
    () => snrWeight("velocity"),
    () => truncatedSnrWeight("velocity"),
    () => p2Weight(),
    () => variationalWeight(),
  ]) {
    expect(uploadsOf(make())).toBeGreaterThan(0);
    expect(uploadsOf(make())).toBe(0);
  }
  expect(uploadsOf(minSnrWeight(4, "velocity"))).toBe(1);
  expect(uploadsOf(p2Weight({ k: 2 }))).toBe(1);
  const own = () => 1;
  expect([uploadsOf(own), uploadsOf(own)]).toEqual([1, 1]);
});

describe("what does not fit is refused", () => {
  const x = randomStream(1).normal([4, 2], { backend: exact });
  const steps = (values: number[], options: object = {}) =>
    tensor(Int32Array.from(values), { backend: exact, ...options });

  test("times of another length, type or backend, by name", () => {
    const noised = (times: Times) => () => qSample(schedule, x, times, randomStream(0));
    const want = "want int32 [4] on x's backend, cpu: float64";
    expect(noised(steps([1, 2]))).toThrow(
      `qSample: times is Tensor(int32 [2] on cpu: float64) for a batch of 4, ${want}`,
    );
    expect(noised(tensor([1, 2, 3, 4], { backend: exact }))).toThrow(
      "qSample: times is Tensor(float32 [4] on cpu: float64)",
    );
    expect(noised(steps([1, 2, 3, 4], { backend: cpu() }))).toThrow(
      "qSample: times is Tensor(int32 [4] on cpu: float32)",
    );
    expect(() => predictionTarget(schedule, "velocity", { data: x, noise: x, times: steps([1]) })).toThrow(
      "predictionTarget: times is Tensor(int32 [1]",
    );
    const floats = { timesteps: () => ({ times: tensor([1, 2, 3, 4], { backend: exact }) }) };
    const model = { forward: (y: Tensor) => y };
    expect(() => predictionLoss(model, schedule, x, randomStream(0), floats)).toThrow(
      "timesteps: times is Tensor(float32",
    );
  });

  test("a conversion that has no value at some step of the schedule, since a tensor may hold that step", () => {
    const silent = zeroTerminalSnr(schedule);
    const convert = (times: Times) => () => convertPrediction(silent, x, { from: "noise", to: "data", x, times });
    expect(convert([1, 2, 3, 4])).not.toThrow();
    expect(convert(steps([1, 2, 3, 4]))).toThrow("convertPrediction: noise at step 99, where ᾱ is 0");
  });

  test("labels in a tensor without the number of classes", () => {
    const labels = steps([0, 1, 0, 1]);
    const untyped = dropLabels as (labels: Tensor, p: number, rng: object, options?: object) => Tensor;
    expect(() => untyped(labels, 0.5, randomStream(0))).toThrow(
      "dropLabels: labels is a tensor and classes is undefined",
    );
    const guided = classifierFree({ forward: (y) => y }, { scale: 2 });
    expect(() => guided.forward(x, [1, 2, 3, 4], { labels })).toThrow(
      "classifierFree: labels is a tensor and classes is",
    );
  });
});

describe("σ in a tensor", () => {
  const sigmas = [0.002, 0.3, 1, 40];
  const x = randomStream(1).normal([4, 2], { backend: exact });
  const net = mlp(
    { sizes: [2, 6, 2], timeChannels: 4, timeEmbedding: { maxPeriod: 4 } },
    { backend: exact, rng: randomStream(2) },
  );
  const given = (values = sigmas) => tensor(Float64Array.from(values), { backend: exact });
  const close = async (a: Tensor, b: Tensor) => expect(await a.sub(b).abs().max().item()).toBeLessThan(1e-6);

  test("preconditions as a list does, and can be differentiated by", async () => {
    const denoiser = preconditioned(net);
    await close(denoiser.forward(x, given()), denoiser.forward(x, sigmas));
    const total = (values: Tensor) => denoiser.forward(x, values).square().sum();
    const slopes = await grad(total, [given()])[0].data();
    for (const [k, sigma] of sigmas.entries()) {
      const at = (factor: number) => total(given(sigmas.with(k, sigma * factor))).item();
      const wanted = ((await at(1 + 1e-5)) - (await at(1 - 1e-5))) / (2e-5 * sigma);
      expect(slopes[k]).toBeCloseTo(wanted, 4);
    }
  });

  test("divides scores, and asks oracles, as a list does", async () => {
    const divided = dividedBySigma((y) => y.mul(2));
    await close(divided(x, given()), divided(x, sigmas));
    const score = oracleScore(mixture);
    await close(score(x, given()), score(x, sigmas));
    const energy = (values: Tensor) => score(x, values).square().sum();
    const slopes = await grad(energy, [given()])[0].data();
    const at = (h: number) => energy(given([0.002, 0.3 + h, 1, 40])).item();
    expect(slopes[1]).toBeCloseTo(((await at(1e-5)) - (await at(-1e-5))) / 2e-5, 4);
  });
});

test("a U-Net takes steps and labels as tensors, with the bits of lists", async () => {
  const backend = cpu();
  const config = { inChannels: 1, channels: 4, multipliers: [1], blocks: 1, classes: 2 };
  const net = unet(config, { backend, rng: randomStream(1) });
  const x = randomStream(2).normal([2, 4, 4, 1], { backend });
  const lists = net.forward(x, [3, 77], { labels: [1, null] });
  const tensors = net.forward(x, tensor(Int32Array.of(3, 77), { backend }), {
    labels: tensor(Int32Array.of(1, 2), { backend }),
    steps: 100,
  });
  expect(await tensors.data()).toEqual(await lists.data());
});

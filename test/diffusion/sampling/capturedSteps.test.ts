// Captured steps of samplers: the bits of plain ones on every backend, in every sampler and wrapper, from any step on.
import {
  ancestral,
  annealedLangevin,
  classifierFree,
  classifierGuidance,
  classifierShift,
  cosine,
  ddim,
  ddimInversion,
  deis,
  discretePath,
  dpm2,
  dpm2Ancestral,
  dpmSolverPlusPlus,
  dynamicThreshold,
  euler,
  eulerAncestral,
  eulerMaruyama,
  finalSample,
  heun,
  inpaint,
  karras,
  type LogProbability,
  langevin,
  learnedRange,
  lms,
  type Model,
  metropolis,
  preconditioned,
  predictorCorrector,
  respace,
  respacedModel,
  reverseDiffusion,
  rungeKutta,
  type Sampler,
  type SamplerState,
  sample,
  sdePath,
  sigmaPath,
  uniPc,
  vpSde,
} from "@pkg/diffusion";
import { adamW, conv2d, mlp, type Unet, unet } from "@pkg/nn";
import {
  type Backend,
  capture,
  crossEntropy,
  type RandomState,
  randomStream,
  type Tensor,
  tensor,
  torchStream,
  type WebgpuBackend,
  type WebgpuCounters,
  webgpu,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldBy, stillHeld } from "../../setup/heldTensors.ts";
import { listOf } from "../../setup/listOf.ts";
import { plainly } from "../../setup/plainly.ts";

const STEPS = 12;
const BATCH = 3;
const schedule = cosine(100);
const discrete = discretePath(schedule, { steps: STEPS, clip: true });
const sigmas = sigmaPath(karras(STEPS, { min: 0.05, max: 10 }));
const times = sdePath(vpSde(), { steps: STEPS });
const half: LogProbability = (x, at, labels) => {
  const logits = x.mul(
    tensor(
      listOf(at).map((t) => [1 + t / 100]),
      { backend: x.backend },
    ),
  );
  return crossEntropy(logits, labels, { reduction: "none" }).neg();
};

/** A sampler, and what stands between it and the network, which predicts for each of two numbers, knowing three classes. */
interface Run {
  readonly sampler: (backend: Backend) => Sampler;
  readonly model?: (network: Model) => Model;
  readonly labels?: readonly (number | null)[];
  /** Whether the network says something of variances too. */
  readonly learned?: boolean;
  readonly fromData?: true;
  readonly streams?: typeof randomStream | typeof torchStream;
}

const on = (sampler: Sampler): Run => ({ sampler: () => sampler });
const denoiser = (sampler: Sampler): Run => ({ sampler: () => sampler, model: (network) => preconditioned(network) });
const guided = (sampler: Sampler, model?: Run["model"]): Run => ({ sampler: () => sampler, model, labels: [0, 1, 1] });

const RUNS: Readonly<Record<string, Run>> = {
  ddim: on(ddim(discretePath(schedule, { steps: STEPS }))),
  "ddim with a clip": on(ddim(discretePath(schedule, { steps: STEPS, clip: true }), { rederiveNoise: false })),
  "ddim with noise and derived ε̂": on(ddim(discretePath(schedule, { steps: STEPS, clip: true }), { eta: 0.5 })),
  "ddim of velocity": on(ddim(discretePath(schedule, { steps: STEPS, prediction: "velocity" }))),
  ancestral: on(ancestral(discretePath(schedule, { steps: STEPS }))),
  "ancestral with a clip": on(ancestral(discretePath(schedule, { steps: STEPS, clip: true }))),
  "ancestral with PyTorch's draws": {
    ...on(ancestral(discretePath(schedule, { steps: STEPS }))),
    streams: torchStream,
  },
  "ancestral of the posterior's mean": on(ancestral(discretePath(schedule, { steps: STEPS, prediction: "mean" }))),
  "ancestral by ε̂": on(ancestral(discretePath(schedule, { steps: STEPS }), { mean: "noise" })),
  "ancestral with learned variances": {
    ...on(ancestral(discretePath(schedule, { steps: STEPS }), { variance: learnedRange() })),
    learned: true,
  },
  "ancestral of a respaced model": {
    sampler: () => ancestral(discretePath(respace(schedule, [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]))),
    model: (network) => respacedModel(network, respace(schedule, [5, 15, 25, 35, 45, 55, 65, 75, 85, 95])),
  },
  "ancestral, its mean shifted by a classifier at x": guided(
    ancestral(discretePath(schedule, { steps: STEPS }), { shift: classifierShift(half, { scale: 2 }) }),
  ),
  "ancestral, its mean shifted by a classifier at μ": {
    ...guided(
      ancestral(discretePath(schedule, { steps: STEPS }), {
        variance: learnedRange(),
        shift: classifierShift(half, { at: "mean" }),
      }),
    ),
    learned: true,
  },
  euler: denoiser(euler(sigmas)),
  "euler on an SDE": on(euler(times)),
  "euler with churn in between": denoiser(euler(sigmas, { churn: 4, from: 0.2, to: 4 })),
  heun: denoiser(heun(sigmas)),
  "heun with churn in between": denoiser(heun(sigmas, { churn: 4, from: 0.2, to: 4, scale: 1.01 })),
  dpm2: denoiser(dpm2(sigmas)),
  "dpm2 with churn": on(dpm2(discrete, { churn: 4 })),
  dpm2Ancestral: denoiser(dpm2Ancestral(sigmas)),
  eulerAncestral: on(eulerAncestral(discrete, { scale: 1.1 })),
  rungeKutta: denoiser(rungeKutta(sigmas)),
  "deis over log σ": on(deis(discrete, { over: "log sigma", lowerOrderFinal: false })),
  "dpmSolverPlusPlus of order 3, with noise": on(dpmSolverPlusPlus(discrete, { order: 3, eta: 1 })),
  uniPc: on(uniPc(discrete)),
  "uniPc of order 3": on(uniPc(discrete, { order: 3, form: "bh1" })),
  eulerMaruyama: on(eulerMaruyama(times)),
  reverseDiffusion: on(reverseDiffusion(times)),
  "predictorCorrector over the batch": on(predictorCorrector(reverseDiffusion(times), times)),
  "predictorCorrector, the corrector first": on(
    predictorCorrector(reverseDiffusion(times), times, { first: "corrector" }),
  ),
  "predictorCorrector of each sample": on(predictorCorrector(euler(times), times, { norms: "sample", corrections: 2 })),
  langevin: on(langevin({ steps: STEPS, stepSize: 0.1 })),
  annealedLangevin: on(annealedLangevin(sigmaPath([2, 1, 0.5], { prediction: "score" }), { stepSize: 0.01 })),
  metropolis: on(metropolis({ steps: STEPS, stepSize: 0.5, logDensity: (x) => x.square().sum(1).mul(-0.5) })),
  ddimInversion: { ...on(ddimInversion(discrete, { iterations: 2 })), fromData: true },
  "guided by labels": guided(ddim(discretePath(schedule, { steps: STEPS, clip: true })), (network) =>
    classifierFree(network, { scale: 3 }),
  ),
  "guided by labels, rescaled, with dynamic thresholds": guided(
    ddim(discretePath(schedule, { steps: STEPS, clip: dynamicThreshold({ quantile: 0.5, max: 1.5 }) })),
    (network) => classifierFree(network, { weight: 4, rescale: 0.7 }),
  ),
  "guided by a classifier": guided(heun(discrete), (network) =>
    classifierGuidance(network, half, { levels: schedule, scale: 2, conditional: true }),
  ),
  "inpainting, with jumps back": {
    sampler: (backend) =>
      inpaint(ancestral(discretePath(schedule, { steps: STEPS })), {
        image: tensor([[0.5, 0]], { backend }),
        keep: tensor([[1, 0]], { backend }),
        resample: { length: 2, times: 3 },
      }),
  },
  "inpainting with a multistep method": {
    sampler: (backend) =>
      inpaint(dpmSolverPlusPlus(discrete), {
        image: tensor([[0.5, 0]], { backend }),
        keep: tensor(
          [[true, false]].map((row) => row.map(Number)),
          { backend, dtype: "bool" },
        ),
      }),
  },
};

/** A run after one of its steps, and what was drawn by then. */
interface Kept {
  readonly state: SamplerState;
  readonly rng: RandomState;
  readonly numbers: readonly (readonly number[])[];
}

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    const replays = () => ("counters" in backend ? (backend as WebgpuBackend).counters().replays : 0);
    const network = (learned = false): Model =>
      mlp({ sizes: [2, 16, learned ? 4 : 2], timeChannels: 8, classes: 3 }, { backend, rng: randomStream(1) });

    /** Every state of a run. */
    const statesOf = (run: Run, captured: boolean, from?: Kept): Promise<Kept[]> =>
      captured ? statesOfRun(run, from) : plainly(backend, () => statesOfRun(run, from));
    const statesOfRun = async (
      { sampler, model = (own) => own, learned, labels, fromData, streams = randomStream }: Run,
      from?: Kept,
    ): Promise<Kept[]> => {
      const rng = streams(4);
      const start = fromData ? { x: rng.normal([BATCH, 2], { backend }) } : from?.state;
      if (from) rng.restore(from.rng);
      const options = { labels, from: start, backend };
      const states: Kept[] = [];
      for await (const { step, x, memory, denoised } of sample(
        sampler(backend),
        model(network(learned)),
        [BATCH, 2],
        rng,
        options,
      )) {
        const drawn = rng.state();
        const numbers = await Promise.all([x, denoised, ...memory].map(async (value) => [...(await value.data())]));
        const state = { step, x: x.detach(), memory: memory.map((value) => value.detach()) };
        states.push({ state, rng: drawn, numbers });
      }
      return states;
    };
    const numbersOf = (states: readonly Kept[]) => states.map(({ numbers }) => numbers);

    test.each(Object.keys(RUNS))("steps have the bits of plain ones: %s", async (which) => {
      const run = RUNS[which];
      const plain = await statesOf(run, false);
      const before = replays();
      const captured = await statesOf(run, true);
      expect(numbersOf(captured)).toEqual(numbersOf(plain));
      expect(captured.map(({ rng }) => rng)).toEqual(plain.map(({ rng }) => rng));
      if (name === "webgpu") expect(replays()).toBeGreaterThan(before);
      // Every step goes elsewhere, so that none can stand for another.
      expect(new Set(plain.map(({ numbers }) => `${numbers[0]}`)).size).toBe(plain.length);
    });

    test.each(["ancestral", "dpmSolverPlusPlus of order 3, with noise", "uniPc", "heun with churn in between"])(
      "a captured run goes on from any step of a plain one: %s",
      async (which) => {
        const plain = await statesOf(RUNS[which], false);
        for (const [k, from] of plain.slice(0, -1).entries()) {
          const rest = await statesOf(RUNS[which], true, from);
          expect(numbersOf(rest)).toEqual(numbersOf(plain.slice(k + 1)));
        }
      },
    );

    // What a program changes between steps without telling anybody.
    const CHANGING: Readonly<Record<string, Run>> = {
      "a sampler that reads its index": on({
        levels: discrete.levels,
        prior: 1,
        step: ({ x, index, predict }) => {
          const denoised = predict(x, discrete.levels[index]).clamp(-1, 1);
          return { x: x.mul(0.5).add(denoised.mul(0.1 * index)), denoised };
        },
      }),
      "a model with tensors of given numbers": {
        ...RUNS.ddim,
        model: (own) => ({ forward: (x, at) => own.forward(x, at).add(tensor([1, 2], { backend })) }),
      },
      "a model that reads its times": {
        ...RUNS.ddim,
        model: (own) => ({ forward: (x, at) => own.forward(x, at).mul(listOf(at)[0]) }),
      },
      "a model with a count of its calls": {
        ...RUNS.ddim,
        model: (own) => {
          let calls = 0;
          return { forward: (x, at) => own.forward(x, at).mul(1 / ++calls) };
        },
      },
      "a model that does otherwise at every third call": {
        ...RUNS.ddim,
        model: (own) => {
          let calls = 0;
          return { forward: (x, at) => (calls++ % 3 === 0 ? own.forward(x, at).tanh() : own.forward(x, at)) };
        },
      },
      "a guidance scale that falls": guided(ddim(discretePath(schedule, { steps: STEPS })), (own) => ({
        forward: (x, at, conditioning) =>
          classifierFree(own, { scale: 1 + listOf(at)[0] / 50 }).forward(x, at, conditioning),
      })),
      "guidance in an interval": guided(ddim(discretePath(schedule, { steps: STEPS })), (own) =>
        classifierFree(own, { scale: 3, interval: [20, 60] }),
      ),
    };
    test.each(Object.keys(CHANGING))("nothing is replayed stale: %s", async (which) => {
      const before = replays();
      const captured = await statesOf(CHANGING[which], true);
      if (name === "webgpu") expect(replays()).toBeGreaterThan(before + 4);
      expect(numbersOf(captured)).toEqual(numbersOf(await statesOf(CHANGING[which], false)));
    });

    test("a run frees what its captures hold, ended, left or failed", async () => {
      const sampler = dpmSolverPlusPlus(discrete, { eta: 1 });
      const model = network();
      const rng = randomStream(4);
      const before = heldBy(backend);
      const run = (asked: Model) => sample(sampler, asked, [BATCH, 2], rng, { backend });
      (await finalSample(run(model))).dispose();
      expect(stillHeld(backend)).toEqual(before);
      for await (const { x, memory, step } of run(model)) {
        if (step < 7) continue;
        for (const kept of new Set([x, ...memory])) kept.dispose();
        break;
      }
      expect(stillHeld(backend)).toEqual(before);
      let calls = 0;
      const failing: Model = {
        forward(x, at) {
          if (++calls === 3) throw new Error("no more");
          return model.forward(x, at);
        },
      };
      await expect(finalSample(run(failing))).rejects.toThrow("no more");
      expect(stillHeld(backend)).toEqual(before);
    });
  });
}

describe.skipIf(!gpuAvailable)("on webgpu", () => {
  test("a model that learns while it samples, with the bits of plain steps", async () => {
    const backend = await webgpu();
    const outcome = async () => {
      const rng = randomStream(4);
      const model = mlp({ sizes: [2, 16, 2], timeChannels: 8 }, { backend, rng });
      const optimizer = adamW(model, { lr: (step) => 0.1 / (1 + step) });
      const learning: Model = {
        forward(x, at) {
          optimizer.minimize(() => model.forward(x, at).sub(x).square().mean());
          return model.forward(x, at);
        },
      };
      const drawn = await finalSample(sample(ddim(discrete), learning, [BATCH, 2], rng, { backend }));
      return [optimizer.steps, ...(await drawn.data()), ...(await model.forward(drawn, [1, 2, 3]).data())];
    };
    const found = await outcome();
    expect(found).toEqual(await plainly(backend, outcome));
    expect(found[0]).toBe(STEPS);
    backend.dispose();
  });

  test("a layer that is replaced between steps, or whose function is, counts at once", async () => {
    const backend = await webgpu();
    const outcome = async () => {
      const rng = randomStream(4);
      const init = { backend, rng };
      const model = unet({ inChannels: 1, channels: 8, multipliers: [1], blocks: 1, groups: 4 }, init);
      const optimizer = adamW(model, { lr: 0.01 });
      const changeable = model as { -readonly [name in keyof Unet]: Unet[name] };
      const others = [conv2d(8, 1, init), conv2d(8, 1, init)];
      const { forward } = model.norm;
      const x = rng.normal([BATCH, 4, 4, 1], { backend });
      const times = [1, 2, 3];
      const bits: number[][] = [];
      const step = capture(() => model.forward(x, times));
      for (let k = 0; k < 9; k++) {
        if (k > 2) changeable.output = others[k % 2]; // its weights are not the optimizer's
        if (k === 6) Object.assign(model.norm, { forward: (y: Tensor) => forward(y).mul(2) });
        if (k === 8) Object.assign(model.norm, { forward });
        bits.push([...(await step().data())]);
        bits.push([...(await optimizer.minimize(() => model.forward(x, times).sub(1).square().mean()).data())]);
      }
      step.dispose();
      return bits;
    };
    const found = await outcome();
    expect(found).toEqual(await plainly(backend, outcome));
    expect(new Set(found.map(String)).size).toBeGreaterThan(9);
    backend.dispose();
  });

  test("a replayed step is a copy of its state, a list, and what is read back of it", async () => {
    const backend = await webgpu();
    const model = mlp({ sizes: [2, 16, 2], timeChannels: 8 }, { backend, rng: randomStream(1) });
    const run = sample(lms(discretePath(schedule, { steps: 30 })), model, [BATCH, 2], randomStream(4));
    const seen: WebgpuCounters[] = [];
    for await (const _ of run) seen.push(backend.counters());
    const [before, after] = [seen[20], seen[21]];
    expect(after).toMatchObject({
      buffers: before.buffers,
      bindGroups: before.bindGroups,
      pipelines: before.pipelines,
    });
    expect(after.replays - before.replays).toBe(1);
    expect(after.submits - before.submits).toBe(2);
    backend.dispose();
  });
});

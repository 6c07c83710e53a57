// Captured training and prediction steps of a U-Net: the bits of plain ones, and nothing created.
import {
  annealedScoreMatching,
  boundLoss,
  classifierFree,
  cosine,
  ddim,
  denoisingScoreMatching,
  discretePath,
  dividedBySigma,
  drawProbes,
  dropLabels,
  edmLoss,
  finalSample,
  flowMatching,
  hybridLoss,
  implicitScoreMatching,
  linearGamma,
  minSnrWeight,
  noisePrediction,
  preconditioned,
  predictionLoss,
  respace,
  respacedModel,
  sample,
  sampleFlow,
  slicedScoreMatching,
  stratifiedTimes,
  vdmLoss,
} from "@pkg/diffusion";
import { adamW, ema, type Mlp, mlp, parameters, unet, warmup } from "@pkg/nn";
import {
  type Backend,
  capture,
  type RandomStream,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  torchStream,
  webgpu,
} from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { freeUnreachable } from "../../packages/tensor/src/memory/unscoped.ts";
import { openers } from "../setup/backends.ts";
import { gpuAvailable } from "../setup/gpu.ts";
import { plainly } from "../setup/plainly.ts";

const CONFIG = { inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1, dropout: 0.2, classes: 3 };
const BATCH = 2;
const schedule = cosine(100);

/** Few steps, so that a batch has some at the first step and some elsewhere, or all in one place. */
const short = cosine(3);

/** Losses that draw numbers on the host, of a network with labels. */
const LOSSES: Readonly<Record<string, (network: Mlp, x0: Tensor, rng: RandomStream) => Tensor>> = {
  boundLoss: (network, x0, rng) => boundLoss(network, short, x0, rng),
  hybridLoss: (network, x0, rng) => hybridLoss(network, short, x0, rng, { timesteps: stratifiedTimes() }),
  vdmLoss: (network, x0, rng) => vdmLoss(network, linearGamma(), x0, rng),
  "vdmLoss in steps": (network, x0, rng) => vdmLoss(network, linearGamma(), x0, rng, { steps: 5, label: (t) => 5 * t }),
  "edmLoss with labels left out": (network, x0, rng) =>
    edmLoss(preconditioned(network), x0, rng, { labels: dropLabels([0, 1, 2, 0, 1], 0.5, rng) }),
  "flowMatching with labels": (network, x0, rng) => flowMatching(network, x0, rng, { labels: [0, 1, null, 0, 1] }),
  denoisingScoreMatching: (network, x0, rng) =>
    denoisingScoreMatching((x, at) => network.forward(x, at), x0, 0.5, rng, { controlVariate: true }),
  annealedScoreMatching: (network, x0, rng) =>
    annealedScoreMatching((x, at) => dividedBySigma((y) => network.forward(y, at))(x, at), x0, [2, 1, 0.5], rng, {
      weight: (sigma) => sigma,
    }),
  implicitScoreMatching: (network, x0) => implicitScoreMatching((x) => network.forward(x, [1, 1, 1, 1, 1]), x0),
  "slicedScoreMatching with drawn probes": (network, x0, rng) =>
    slicedScoreMatching((x) => network.forward(x, [1, 1, 1, 1, 1]), x0, drawProbes(x0, rng)),
  "noisePrediction of a respaced model": (network, x0, rng) => {
    const respaced = respace(schedule, [9, 49, 99]);
    return noisePrediction(respacedModel(network, respaced), respaced, x0, rng);
  },
};

/** A training run of its own: everything that a step changes, and the step. */
function training(backend: Backend, streams: typeof randomStream | typeof torchStream = randomStream) {
  const rng = streams(7);
  const model = unet(CONFIG, { backend, rng: randomStream(1) });
  const optimizer = adamW(parameters(model), { lr: warmup(1e-2, 4), weightDecay: 0.1, clipNorm: 1 });
  const average = ema(model, 0.9);
  const step = (x0: Tensor, labels: readonly (number | null)[]) => {
    const loss = optimizer.minimize(() => noisePrediction(model, schedule, x0, rng, { labels }));
    average.update();
    return loss;
  };
  const state = async (): Promise<ArrayLike<number>[]> => {
    const all = [...parameters(model), ...optimizer.state().values(), ...average.state().values()];
    return Promise.all(all.map((value) => value.data()));
  };
  return { model, optimizer, average, rng, step, state };
}

/** A network that has learned a little: at first its last layer is zero, and so is all that it predicts. */
function trained(backend: Backend) {
  const { model, step } = training(backend);
  for (let k = 0; k < 3; k++) {
    const { x0, labels } = batch(k, backend);
    step(x0, labels).dispose();
  }
  return model;
}

/** A batch of its own for each step. */
function batch(k: number, backend: Backend): { x0: Tensor; labels: (number | null)[] } {
  const x0 = randomStream(k).normal([BATCH, 8, 8, 1], { backend });
  return { x0, labels: [k % 3, k % 2 ? null : 1] };
}

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    for (const [stream, streams] of Object.entries({ randomStream, torchStream })) {
      test(`captured training steps have the bits of plain ones, draws by ${stream}`, async () => {
        const backend = await open();
        const [plain, other] = [training(backend, streams), training(backend, streams)];
        const captured = capture(other.step);
        const losses = new Set<number>();
        for (let k = 0; k < 9; k++) {
          const { x0, labels } = batch(k, backend);
          const wanted = await plainly(backend, () => tidy(() => plain.step(x0, labels)));
          const found = captured(x0, labels);
          // Labels of nobody make no other ops.
          expect(captured.isReplaying).toBe(name === "webgpu" && k >= 2);
          const loss = await found.item();
          expect(loss).toBe(await wanted.item());
          losses.add(loss);
          for (const value of [x0, wanted, found]) value.dispose();
        }
        expect(losses.size).toBe(9);
        expect(await other.state()).toEqual(await plain.state());
        expect([other.optimizer.steps, other.average.updates]).toEqual([9, 9]);
        expect(other.rng.state()).toEqual(plain.rng.state());
        backend.dispose();
      });
    }

    test("a captured forward pass predicts as the model does, at the times of each call", async () => {
      const backend = await open();
      const model = trained(backend);
      const predict = capture((x: Tensor, times: readonly number[]) => model.forward(x, times));
      for (let k = 0; k < 5; k++) {
        const { x0 } = batch(k, backend);
        const times = [10 * k, 99 - k];
        const wanted = await plainly(backend, () => model.forward(x0, times).data());
        expect(await predict(x0, times).data()).toEqual(wanted);
        expect(Math.max(...wanted)).toBeGreaterThan(0);
      }
      expect(() => predict(batch(0, backend).x0, [1, Number.NaN])).toThrow("times[1] is NaN, want finite numbers");
      backend.dispose();
    });

    test.each([
      ["without labels", undefined],
      ["guided by labels", [2, 0]],
    ])("a captured flow ends at the same bits, %s", async (_, labels) => {
      const backend = await open();
      const model = trained(backend);
      const draw = async () => {
        const guided = labels ? classifierFree(model, { scale: 2 }) : model;
        const options = { labels, backend, rtol: 1, atol: 1 }; // so loose that few calls do
        const run = sampleFlow(discretePath(schedule), guided, [BATCH, 8, 8, 1], randomStream(4), options);
        return (await finalSample(run)).data();
      };
      expect(await draw()).toEqual(await plainly(backend, draw));
      backend.dispose();
    });

    test("DDIM draws the same bits in captured steps, guided by labels", async () => {
      const backend = await open();
      const guided = classifierFree(trained(backend), { scale: 2 });
      const draw = async () => {
        const options = { labels: [2, 0] };
        const run = sample(
          ddim(discretePath(schedule, { steps: 7 }), { eta: 0.5 }),
          guided,
          [BATCH, 8, 8, 1],
          randomStream(4),
          options,
        );
        return (await finalSample(run)).data();
      };
      expect(await draw()).toEqual(await plainly(backend, draw));
      backend.dispose();
    });

    test("loss scaling is captured too", async () => {
      const backend = await open();
      const make = () => {
        const [rng, model] = [
          randomStream(3),
          unet({ ...CONFIG, classes: undefined }, { backend, rng: randomStream(1) }),
        ];
        const optimizer = adamW(parameters(model), { lr: 1e-2, lossScaling: { interval: 2 } });
        return {
          step: (x0: Tensor) => optimizer.minimize(() => noisePrediction(model, schedule, x0, rng)),
          state: () => Promise.all([...parameters(model), ...optimizer.state().values()].map((value) => value.data())),
        };
      };
      const [plain, other] = [make(), make()];
      const captured = capture(other.step);
      for (let k = 0; k < 6; k++) {
        const { x0 } = batch(k, backend);
        expect(await captured(x0).item()).toBe(await plainly(backend, () => plain.step(x0).item()));
      }
      expect(await other.state()).toEqual(await plain.state());
      backend.dispose();
    });

    test.each(Object.keys(LOSSES))("a training step of %s is captured too", async (name) => {
      const backend = await open();
      const make = () => {
        const [rng, weights] = [randomStream(3), randomStream(1)];
        const network = mlp(
          { sizes: [2, 8, name === "hybridLoss" ? 4 : 2], timeChannels: 8, classes: 3 },
          { backend, rng: weights },
        );
        const optimizer = adamW(parameters(network), { lr: 1e-2 });
        const step = (x0: Tensor) => optimizer.minimize(() => LOSSES[name](network, x0, rng));
        return { step, state: () => Promise.all(parameters(network).map((value) => value.data())) };
      };
      const [plain, other] = [make(), make()];
      const captured = capture(other.step);
      for (let k = 0; k < 6; k++) {
        // On the grid of the decoder.
        const x0 = randomStream(k)
          .integers(0, 256, [5, 2], { backend })
          .cast("float32")
          .affine(2 / 255, -1);
        expect(await captured(x0).item()).toBe(await plainly(backend, () => plain.step(x0).item()));
      }
      expect(await other.state()).toEqual(await plain.state());
      backend.dispose();
    });

    test("losses weighted by step are captured too", async () => {
      const backend = await open();
      const { model } = training(backend);
      const make = () => {
        const rng = randomStream(3);
        return (x0: Tensor) => predictionLoss(model, schedule, x0, rng, { weight: minSnrWeight() });
      };
      const [plain, captured] = [make(), capture(make())];
      for (let k = 0; k < 5; k++) {
        const { x0 } = batch(k, backend);
        expect(await captured(x0).item()).toBe(await plainly(backend, () => plain(x0).item()));
      }
      backend.dispose();
    });
  });
}

describe.skipIf(!gpuAvailable)("on webgpu", () => {
  test("after the warm-up a training step creates no buffers, bind groups and pipelines, plain or replayed", async () => {
    const backend = await webgpu();
    const { step } = training(backend);
    const captured = capture(step);
    const { x0, labels } = batch(0, backend);
    const runs = {
      plain: () => plainly(backend, () => tidy(() => step(x0, labels))),
      "captured by itself": () => tidy(() => step(x0, labels)),
      captured: () => captured(x0, labels),
    };
    for (const [run, once] of Object.entries(runs)) {
      for (let k = 0; k < 4; k++) (await once()).dispose();
      const before = backend.counters();
      for (let k = 0; k < 3; k++) (await once()).dispose();
      const after = backend.counters();
      const { buffers, bindGroups, pipelines } = before;
      const replays = { plain: 0, "captured by itself": 6, captured: 3 }[run];
      expect(after).toMatchObject({ buffers, bindGroups, pipelines, replays: before.replays + Number(replays) });
      expect(after.dispatches).toBeGreaterThan(before.dispatches + 300);
    }
    backend.dispose();
  });

  test("an average that still shares the elements of its parameter takes those that are loaded", async () => {
    const backend = await webgpu();
    const averages = async () => {
      const module = { w: tensor([1, 2], { backend }) };
      const average = ema(module, 0.5);
      const found: unknown[] = [];
      for (let k = 0; k < 6; k++) {
        if (k > 1) module.w.assign(tensor([k, 7 * k], { backend }));
        average.update();
        found.push(await average.state().get("w")?.array());
      }
      return found;
    };
    expect(await averages()).toEqual(await plainly(backend, averages));
    backend.dispose();
  });

  test("what captures by itself is collected once nobody refers to it", async () => {
    const backend = await webgpu();
    const train = () => {
      const module = { w: tensor([1, 2], { backend }) };
      const optimizer = adamW(module, { lr: 0.1 });
      const average = ema(module);
      const step = capture((x: Tensor) => x.mul(module.w));
      for (let k = 0; k < 4; k++) {
        optimizer.minimize(() => module.w.square().sum());
        average.update();
        step(module.w);
      }
      return [optimizer, average, step].map((one) => new WeakRef<object>(one));
    };
    const trained = train();
    await backend.settled();
    for (let k = 0; k < 3; k++) {
      await new Promise((next) => setTimeout(next));
      freeUnreachable();
    }
    expect(trained.map((one) => one.deref())).toEqual([undefined, undefined, undefined]);
    backend.dispose();
  });

  test("labels that change are those of the step", async () => {
    const backend = await webgpu();
    const { model } = training(backend);
    let labels = [0, 1];
    const captured = capture((x: Tensor, times: readonly number[]) => model.forward(x, times, { labels }));
    const { x0 } = batch(0, backend);
    for (let k = 0; k < 4; k++) captured(x0, [1, 2]);
    labels = [2, 2];
    const found = await captured(x0, [1, 2]).data();
    expect(captured.isReplaying).toBe(true);
    expect(found).toEqual(await plainly(backend, () => model.forward(x0, [1, 2], { labels }).data()));
    backend.dispose();
  });
});

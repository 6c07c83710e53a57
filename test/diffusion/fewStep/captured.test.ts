// Few-step objectives and samplers on every backend: captured steps have the bits of plain ones, and gradients go through them again.
import {
  consistencyDistillation,
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  continuousConsistency,
  cosine,
  discretePath,
  finalSample,
  improvedMeanFlowLoss,
  karras,
  lcm,
  lcmPath,
  type Model,
  meanFlow,
  meanFlowLoss,
  progressiveLoss,
  type Sampler,
  sample,
  shortcut,
  shortcutLoss,
  sigmaPath,
  trigFlowLoss,
} from "@pkg/diffusion";
import { adamW, type Mlp, mlp, parameters, unet } from "@pkg/nn";
import { capture, grad, type RandomStream, randomStream, type Tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { plainly } from "../../setup/plainly.ts";

const labels = [0, 1, 2, null, 1];
const sigmas = karras(8, { min: 0.002, max: 80 });
const schedule = cosine(100);
const at = (times: readonly number[]) => discretePath(schedule, { times, prediction: "velocity" });
const paths = { path: at([90, 40]), teacherPath: at([90, 60, 40, 20]) };

interface Objective {
  /** The number that the network is told besides the time. */
  readonly told?: string;
  readonly loss: (network: Mlp, x0: Tensor, rng: RandomStream, teacher: Mlp) => Tensor;
}
const OBJECTIVES: Readonly<Record<string, Objective>> = {
  meanFlowLoss: { told: "r", loss: (net, x0, rng) => meanFlowLoss(net, x0, rng, { share: 0.6, power: 0.5, labels }) },
  improvedMeanFlowLoss: { told: "r", loss: (net, x0, rng) => improvedMeanFlowLoss(net, x0, rng, { labels }) },
  shortcutLoss: { told: "d", loss: (net, x0, rng) => shortcutLoss(net, x0, rng, { share: 0.6, labels }) },
  consistencyLoss: { loss: (net, x0, rng) => consistencyLoss(consistencyFunction(net), x0, rng, { sigmas, labels }) },
  consistencyDistillation: {
    loss: (net, x0, rng, teacher) =>
      consistencyDistillation(consistencyFunction(net), teacher, x0, rng, { sigmas, labels }),
  },
  trigFlowLoss: { loss: (net, x0, rng) => trigFlowLoss(net, x0, rng, { labels }) },
  continuousConsistency: { loss: (net, x0, rng) => continuousConsistency(net, x0, rng, { labels }) },
  "continuousConsistency of a teacher": {
    loss: (net, x0, rng, teacher) => continuousConsistency(net, x0, rng, { teacher, labels }),
  },
  progressiveLoss: {
    loss: (net, x0, rng, teacher) => progressiveLoss(net, teacher, x0, rng, { ...paths, clip: true, labels }),
  },
};

const SAMPLERS: Readonly<Record<string, { readonly sampler: Sampler; readonly told?: string }>> = {
  meanFlow: { sampler: meanFlow({ steps: 5 }), told: "r" },
  shortcut: { sampler: shortcut({ steps: 4 }), told: "d" },
  consistencyMultistep: { sampler: consistencyMultistep(sigmaPath([80, 9, 2, 0.5]), { sigmaMin: 0.002 }) },
  lcm: { sampler: lcm(lcmPath(schedule, { steps: 5 })) },
};

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    const config = (told?: string) => ({
      sizes: [2, 8, 2],
      timeChannels: 8,
      classes: 3,
      ...(told !== undefined && { numbers: { [told]: { scale: 10 } } }),
    });

    test.each(Object.entries(OBJECTIVES))(
      "a step of %s is captured, with the bits of a plain one",
      async (_, given) => {
        const backend = await open();
        const make = () => {
          const [rng, weights] = [randomStream(3), randomStream(1)];
          const [network, teacher] = [0, 1].map(() => mlp(config(given.told), { backend, rng: weights }));
          const optimizer = adamW(parameters(network), { lr: 1e-2 });
          const step = (x0: Tensor) => optimizer.minimize(() => given.loss(network, x0, rng, teacher));
          return { step, state: () => Promise.all(parameters(network).map((value) => value.data())) };
        };
        const [plain, other] = [make(), make()];
        const captured = capture(other.step);
        const losses = new Set<number>();
        for (let k = 0; k < 5; k++) {
          const x0 = randomStream(k).normal([5, 2], { backend });
          const loss = await captured(x0).item();
          expect(loss).toBe(await plainly(backend, () => plain.step(x0).item()));
          losses.add(loss);
        }
        expect(losses.size).toBe(5);
        expect([...losses].every(Number.isFinite)).toBe(true);
        expect(captured.isReplaying).toBe(name === "webgpu");
        expect(await other.state()).toEqual(await plain.state());
        backend.dispose();
      },
    );

    test("a mean flow of a U-Net is trained too, through its attention, norms and convolutions", async () => {
      const backend = await open();
      const run = async () => {
        const rng = randomStream(3);
        const numbers = { r: { scale: 10 } };
        const model = unet({ inChannels: 1, channels: 4, multipliers: [1, 2], blocks: 1, numbers }, { backend, rng });
        const optimizer = adamW(model, { lr: 1e-2 });
        const losses: number[] = [];
        for (let k = 0; k < 3; k++) {
          const x0 = rng.normal([2, 4, 4, 1], { backend });
          losses.push(await optimizer.minimize(() => meanFlowLoss(model, x0, rng, { share: 1 })).item());
        }
        return losses;
      };
      const losses = await run();
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(losses).toEqual(await plainly(backend, run));
      backend.dispose();
    });

    test.each(Object.entries(SAMPLERS))("%s draws the same bits in captured steps", async (_, { sampler, told }) => {
      const backend = await open();
      const model = mlp(config(told), { backend, rng: randomStream(1) });
      const draw = async () =>
        (await finalSample(sample(sampler, model, [3, 2], randomStream(4), { labels: [0, 2, 1] }))).data();
      const drawn = await draw();
      expect(drawn).toEqual(await plainly(backend, draw));
      expect([...drawn].every(Number.isFinite)).toBe(true);
      backend.dispose();
    });

    test("the loss of a mean flow can be differentiated twice", async () => {
      const backend = await open();
      const model = mlp(config("r"), { backend, rng: randomStream(1) });
      const xs = parameters(model);
      const x0 = randomStream(2).normal([5, 2], { backend });
      const loss = () => meanFlowLoss(model as Model, x0, randomStream(3), { share: 1 });
      const lengths = () => {
        const gradients = grad(loss, xs);
        return gradients.map((g) => g.square().sum()).reduce((a, b) => a.add(b));
      };
      const second = grad(lengths, xs);
      const numbers = (await Promise.all(second.map((g) => g.data()))).flatMap((part) => [...part]);
      expect(numbers.every(Number.isFinite)).toBe(true);
      expect(numbers.some((value) => value !== 0)).toBe(true);
      backend.dispose();
    });
  });
}

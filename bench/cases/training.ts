// What a training step does besides the gradient of a layer: the optimizer's update, and whole steps of small networks.
import { adamW, ema, linear, loadStateDict, parameters, stateDict, type UnetConfig, unet } from "@pkg/nn";
import { adamWStep, capture, cpu, emaStep, gradientNorm, randomStream, stack, type Tensor, tidy } from "@pkg/tensor";
import type { BenchCase, InputRange } from "../case.ts";

const FLOAT = 4;

/** Adam's update of one tensor as users call it, in place. */
export function adam(elements: number): BenchCase {
  const lr = 1e-3;
  return {
    name: "Adam",
    size: `${elements / 1e6} M`,
    flop: 15 * elements,
    bytes: 7 * FLOAT * elements,
    inputs: [[elements], [elements]],
    solve: {
      begin([p, g]) {
        const optimizer = adamW([p], { lr });
        const step = capture(() => optimizer.step([g]));
        return {
          step,
          first() {
            step();
            return [p.add(0)];
          },
          dispose: () => disposeAll([step, ...optimizer.state().values()]),
        };
      },
    },
    tolerance: 1e-6,
    problem: { kind: "adam", lr },
  };
}

/** Adam with the scale that clipping asks for, and the average of the weights. */
function updateAndAverage(elements: number): BenchCase {
  const shape = [elements];
  const slice = (t: Tensor) => (t.rank === 0 ? t : t.slice([elements - 1000, elements]));
  return {
    name: "AdamW + clipping + average",
    size: `${elements / 1e6} M`,
    flop: 18 * elements,
    bytes: 10 * FLOAT * elements,
    inputs: [shape, shape, shape, { shape, range: [0, 1] }, shape, { shape: [], range: [0.5, 0.5] }],
    solve([p, g, m, v, average, scale]) {
      const rates = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, t: 10 };
      const [next, first, second] = adamWStep(p, g, m, v, scale, rates);
      return [next, first, second, emaStep(average, next, { weight: 1e-3 })];
    },
    part: {
      inputs: (inputs) => inputs.map(slice),
      outputs: (outputs) => outputs.map(slice),
      shapes: [shape, shape, shape, shape],
    },
    tolerance: 1e-6,
    onlyGpu: elements > 1e7,
  };
}

/** ‖g‖ over tensors of the sizes that a network has. */
function normOf(elements: number): BenchCase {
  const tensors = 16;
  return {
    name: "gradient norm",
    size: `${elements / 1e6} M in ${tensors} tensors`,
    flop: 2 * elements,
    bytes: FLOAT * elements,
    inputs: Array.from({ length: tensors }, () => [Math.round(elements / tensors)]),
    solve: (gradients) => [gradientNorm(gradients)],
    tolerance: 5e-6,
    onlyGpu: elements > 1e7,
  };
}

/** Forward, backward and Adam for three layers, 2 → width → width → 2. */
export function mlpStep(batch: number, width: number): BenchCase {
  const lr = 1e-3;
  const layers = [
    [2, width],
    [width, width],
    [width, 2],
  ] as const;
  const weights = layers.flatMap(([from, to]): InputRange[] => {
    const range = [-(from ** -0.5), from ** -0.5] as const;
    return [
      { shape: [from, to], range },
      { shape: [to], range },
    ];
  });
  const products = 2 * batch * layers.reduce((sum, [from, to]) => sum + from * to, 0);
  const count = layers.reduce((sum, [from, to]) => sum + from * to + to, 0);
  return {
    name: "MLP step",
    size: `2→${width}→${width}→2, batch ${batch}`,
    flop: 3 * products,
    bytes: FLOAT * (8 * batch + 7 * count),
    inputs: [[batch, 2], [batch, 2], ...weights],
    solve: {
      begin([x, target, ...state]) {
        const { backend } = x;
        const init = { backend, rng: randomStream(0) };
        const model = layers.map(([from, to]) => linear(from, to, init));
        loadStateDict(model, new Map([...stateDict(model).keys()].map((path, k) => [path, state[k]])));
        const optimizer = adamW(parameters(model), { lr });
        const forward = () => {
          const [first, second, third] = model;
          return third.forward(second.forward(first.forward(x).silu()).silu());
        };
        const step = capture(() => void optimizer.minimize(() => forward().sub(target).square().mean()));
        return {
          step,
          first() {
            step();
            return parameters(model).map((p) => p.add(0));
          },
          dispose: () => disposeAll([step, ...parameters(model), ...optimizer.state().values()]),
        };
      },
    },
    tolerance: 1e-5,
    problem: { kind: "mlp", lr },
  };
}

interface Network {
  readonly name: string;
  readonly config: UnetConfig;
  readonly side: number;
  readonly batch: number;
  /** Operations of a forward pass for one image. */
  readonly flopPerImage: number;
  /** How many losses are compared. Default 2: the second shows the gradient of the first step. */
  readonly steps?: number;
}

/** Forward, backward, clipping, AdamW and the average of the weights for a U-Net; checked by the losses of its first steps. */
export function unetStep({ name, config, side, batch, flopPerImage, steps = 2 }: Network): BenchCase {
  const [lr, time] = [2e-4, 500];
  const image = [batch, side, side, config.inChannels];
  const shapes = tidy(() => {
    const model = unet(config, { backend: cpu(), rng: randomStream(0) });
    return [...stateDict(model)].map(([path, { shape }]) => ({ path, shape }));
  });
  // Random where a new network has zeros, or most gradients would be zero in the first steps.
  const weights = shapes.map(({ path, shape }): InputRange => {
    const bound = shape.length > 1 ? shape.slice(0, -1).reduce((a, b) => a * b, 1) ** -0.5 : 0.1;
    return { shape, range: path.endsWith("scale") ? [0.5, 1.5] : [-bound, bound] };
  });
  const names = shapes.map(({ path }) => path);
  return {
    name: `${name} train step`,
    size: `batch ${batch}`,
    flop: 3 * flopPerImage * batch,
    bytes: FLOAT * 10 * shapes.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    inputs: [{ shape: image, repeated: true }, { shape: image, repeated: true }, ...weights],
    solve: {
      begin([x, noise, ...state]) {
        const { backend } = x;
        const model = unet(config, { backend, rng: randomStream(0) });
        loadStateDict(model, new Map(names.map((path, k) => [path, state[k]])));
        const optimizer = adamW(parameters(model), { lr, clipNorm: 1 });
        const average = ema(model, 0.999);
        const times = new Array(x.shape[0]).fill(time);
        const step = capture(() => {
          const loss = optimizer.minimize(() => model.forward(x, times).sub(noise).square().mean());
          average.update();
          return loss;
        });
        return {
          step: () => void step(),
          first: () => [stack(Array.from({ length: steps }, () => step()))],
          dispose: () =>
            disposeAll([step, ...parameters(model), ...average.state().values(), ...optimizer.state().values()]),
        };
      },
    },
    // All samples are alike, so that one of them has the same loss and gradient.
    part: {
      inputs: ([x, noise, ...state]) => [x.slice([0, 1]), noise.slice([0, 1]), ...state],
      outputs: (losses) => losses,
      shapes: [[steps]],
    },
    // Adam's first steps follow the signs of gradients, of which some are as small as their rounding errors.
    tolerance: 1e-4,
    onlyGpu: batch > 16,
    problem: { kind: "unet", lr, steps, time, names, config },
  };
}

export const MNIST_UNET: Omit<Network, "batch"> = {
  name: "MNIST U-Net",
  config: { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 },
  side: 28,
  flopPerImage: 0.3e9,
};

/** Ho et al. 2020, appendix B. */
export const CIFAR_UNET: Omit<Network, "batch"> = {
  name: "CIFAR-10 U-Net",
  config: { inChannels: 3, channels: 128, multipliers: [1, 2, 2, 2], blocks: 2, attentionLevels: [1] },
  side: 32,
  flopPerImage: 12.44e9,
};

export const training: readonly BenchCase[] = [
  adam(1e6),
  updateAndAverage(1e6),
  updateAndAverage(35.75e6),
  normOf(1e6),
  normOf(35.75e6),
  mlpStep(256, 128),
];

function disposeAll(held: Iterable<{ dispose(): void }>): void {
  for (const one of held) one.dispose();
}

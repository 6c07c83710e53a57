// AdamW with learning-rate schedules and gradient clipping. Its state is tensors and one number, so that runs can resume.

import {
  type AdamWAttrs,
  adamWStep,
  Captures,
  full,
  gradientNorm,
  lossScaleStep,
  ones,
  onFailure,
  region,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
  wrongArgument,
  zerosLike,
} from "@pkg/tensor";
import { assignState, checkState, type StateDict } from "../module/module.ts";
import { isFrozen, namedParameters } from "../module/parameters.ts";
import { type Accumulation, accumulatedGrads } from "./accumulation.ts";
import { isRate, type LearningRate, rateAt } from "./learningRate.ts";

/** Options of `adamW`. */
export interface AdamWOptions {
  /** A function of the number of updates so far is checked at every update. */
  readonly lr: LearningRate;
  /** Decay rates of the first and second moment. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled; 0 makes it Adam. Default 0. */
  readonly weightDecay?: number;
  /** Scales the gradient down to this L2 norm over all parameters, when it is longer. Default: no clipping. */
  readonly clipNorm?: number;
  /**
   * Differentiates the loss times a scale, so that small gradients survive float16 (`webgpu({ precision: "mixed" })`), and divides by it
   * afterwards. The scale doubles after `interval` updates; where a gradient is not finite it is halved and the update skipped
   * (Micikevicius et al. 2018). Default off; `initial` is 65536, a power of two, and `interval` 2000.
   */
  readonly lossScaling?: boolean | { readonly initial?: number; readonly interval?: number };
}

/**
 * An optimizer of a fixed list of parameters; those that are frozen at an update stay as they are. An update that throws, wherever it
 * does, leaves parameters, moments, the count of steps and random streams as they were.
 */
export interface Optimizer {
  /** The parameters that it updates. */
  readonly parameters: readonly Tensor[];
  /**
   * One update that lowers `loss`; returns its value before the update. Everything in between is freed.
   * @throws Error naming the parameters when the loss depends on none of them; nothing is changed then
   */
  minimize(loss: () => Tensor): Tensor;
  /**
   * One update that lowers the mean of `loss` over micro-batches; returns that mean. Gradients add up over them, so that the peak
   * memory is that of one. If the loss is a mean over samples, the update is that of one batch of all of them, within rounding.
   * @throws Error for micro-batches that are not alike in size, naming the part that differs
   */
  minimize<Batch>(loss: (batch: Batch) => Tensor, accumulation: Accumulation<Batch>): Tensor;
  /**
   * The parameters that the loss of the last `minimize` did not depend on, as "path [shape]". They stayed as they were, without weight
   * decay, and so did their moments.
   */
  readonly unreached: readonly string[];
  /**
   * One update with given gradients, one a parameter, of the loss times `lossScale` if there is one; they stay yours. Zeros are
   * gradients too: their parameters decay, and their moments.
   */
  step(gradients: readonly Tensor[]): void;
  /** Updates so far, with those that loss scaling skipped. */
  readonly steps: number;
  /** With loss scaling the present scale, a scalar: yours to dispose of. */
  lossScale(): Tensor | undefined;
  /** The moments by "first.0", "second.0", …, and "lossScale" if there is one; with `steps` all that a resumed run needs. */
  state(): Map<string, Tensor>;
  /** Continues from a saved state. @throws ShapeError listing what does not fit, Error for a wrong `steps`; nothing changes then */
  load(state: StateDict, steps: number): void;
}

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2), which updates the parameters in place.
 * @param module whose `parameters` are trained, or a list of tensors; errors name the paths in it
 * @throws Error naming the option that is out of range
 * @example
 * ```ts
 * import { adamW, linear } from "@pkg/nn";
 * import { cpu, randomStream, type Tensor } from "@pkg/tensor";
 *
 * const init = { rng: randomStream(0), backend: cpu() };
 * const model = linear(2, 1, init);
 * const optimizer = adamW(model, { lr: 0.1 });
 * const x = init.rng.normal([8, 2], init);
 * const loss = (x: Tensor) => model.forward(x).square().mean();
 * optimizer.minimize(loss, { batches: x.split(4) }); // as minimize(() => loss(x)), four samples at a time
 * console.log(optimizer.steps); // 1
 * ```
 */
export function adamW(module: object, options: AdamWOptions): Optimizer {
  const named = namedParameters(module);
  if (typeof options !== "object" || options === null) throw wrongArgument("adamW", "options", options, "{ lr, … }");
  const { lr, betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, clipNorm = 0, lossScaling = false } = options;
  if (!Array.isArray(betas)) throw wrongArgument("adamW", "betas", betas, "[β₁, β₂]");
  const [beta1, beta2] = betas;
  const inRange = (name: string, value: number, fits: boolean, wanted: string) => {
    if (typeof value !== "number" || !fits) throw new Error(`adamW: ${name} is ${value}, want ${wanted}`);
  };
  if (typeof lr !== "function") inRange("lr", lr, isRate(lr), "a finite number ≥ 0, or a function of the step");
  for (const [k, beta] of [beta1, beta2].entries())
    inRange(`betas[${k}]`, beta, beta >= 0 && beta < 1, "a number in [0, 1)");
  inRange("epsilon", epsilon, epsilon > 0, "a positive number");
  inRange("weightDecay", weightDecay, weightDecay >= 0, "a number ≥ 0");
  inRange("clipNorm", clipNorm, clipNorm >= 0, "a number ≥ 0");
  const { initial = 2 ** 16, interval = 2000 } = typeof lossScaling === "object" ? lossScaling : {};
  inRange("lossScaling.initial", initial, Number.isInteger(Math.log2(initial)) && initial >= 1, "a power of two ≥ 1");
  inRange("lossScaling.interval", interval, Number.isInteger(interval) && interval > 0, "a positive integer");
  const parameters = [...named.values()];
  if (parameters.length === 0) throw new Error("adamW: no parameters, want at least one that is not frozen");
  const names = [...named].map(([path, { shape }]) => `${path} [${shape.join(", ")}]`);

  const blank = (p: Tensor) => tidy(() => zerosLike(p).contiguous());
  const { moments, scaling } = tidy(() => ({
    moments: { first: parameters.map(blank), second: parameters.map(blank) },
    // The scale, the updates since it changed, 1 − β₁ᵗ and 1 − β₂ᵗ of the t updates that were not skipped.
    scaling: lossScaling === false ? null : tensor([initial, 0, 0, 0], { backend: parameters[0].backend }),
  }));
  const [captures, updates] = [new Captures("minimize"), new Captures("step")];
  let steps = 0;
  let unreached: readonly string[] = [];

  /** What adamWStep scales the gradients by; `state` is the next update's from here on. */
  const unscale = (gradients: readonly Tensor[], state: Tensor): Tensor => {
    const [next, control] = lossScaleStep(gradientNorm(gradients), state, { interval, clipNorm, beta1, beta2 });
    state.assign(next);
    return control;
  };

  /** The constants of the next update. They are checked before anything is computed, and the update counted when all is done. */
  const nextAttrs = (): AdamWAttrs => ({
    learningRate: rateAt(lr, steps),
    beta1,
    beta2,
    epsilon,
    weightDecay,
    t: steps + 1,
  });
  /** The parameters, by their indices, that are not frozen now. */
  const trained = (): number[] => {
    const indices = [...parameters.keys()].filter((k) => !isFrozen(parameters[k]));
    if (indices.length === 0) throw new Error("adamW: all parameters are frozen, want at least one that is not");
    return indices;
  };

  const overwrite = (indices: readonly number[], gradients: readonly Tensor[], attrs: AdamWAttrs): void => {
    const scale = scaling ? unscale(gradients, scaling) : clipScale(gradients, clipNorm);
    for (const [at, k] of indices.entries()) {
      const [p, first, second] = [parameters[k], moments.first[k], moments.second[k]];
      const [pNext, mNext, vNext] = adamWStep(p, gradients[at], first, second, scale, attrs);
      p.assign(pNext);
      first.assign(mNext);
      second.assign(vNext);
    }
  };
  const update = (indices: readonly number[], gradients: readonly Tensor[], attrs: AdamWAttrs): void => {
    const what = () => ({ key: overwrite, inputs: gradients, settings: indices, attrs: [attrs] });
    region(gradients[0].backend, what, () => overwrite(indices, gradients, attrs));
    const before = steps;
    onFailure(() => {
      steps = before;
    });
    steps++;
  };

  const optimizer: Optimizer = {
    parameters,
    get steps() {
      return steps;
    },
    get unreached() {
      return unreached;
    },
    minimize<Batch>(loss: (batch: Batch) => Tensor, accumulation?: Accumulation<Batch>) {
      return captures.run(() => {
        const attrs = nextAttrs();
        const indices = trained();
        const xs = indices.map((k) => parameters[k]);
        const scale = optimizer.lossScale();
        const { value, grads, reached } = accumulation
          ? accumulatedGrads(loss, xs, { ...accumulation, scale })
          : valueAndGrad(loss as () => Tensor, xs, { scale }); // a loss of batches comes with them
        const missed = indices.filter((_, at) => !reached[at]).map((k) => names[k]);
        if (missed.length === indices.length) {
          throw new Error(
            `adamW: the loss depends on no parameter: not on ${listed(missed)}; want one computed from them`,
          );
        }
        const isReached = (_: unknown, at: number) => reached[at];
        update(indices.filter(isReached), grads.filter(isReached), attrs);
        unreached = missed;
        return value;
      });
    },
    step(gradients) {
      if (gradients.length !== parameters.length) {
        throw new Error(`adamW: ${gradients.length} gradients for ${parameters.length} parameters, want one each`);
      }
      updates.run(() => {
        const attrs = nextAttrs();
        const indices = trained();
        update(
          indices,
          indices.map((k) => gradients[k]),
          attrs,
        );
      });
    },
    lossScale: () => scaling?.slice(0),
    state: () =>
      new Map([
        ...Object.entries(moments).flatMap(([name, tensors]) =>
          tensors.map((m, k): [string, Tensor] => [`${name}.${k}`, m]),
        ),
        ...(scaling ? [["lossScale", scaling] as const] : []),
      ]),
    load(state, count) {
      if (!(Number.isInteger(count) && count >= 0)) {
        throw new Error(`adamW: load: steps is ${count}, want an integer ≥ 0`);
      }
      const own = optimizer.state();
      checkState(own, state);
      assignState(own, state);
      steps = count;
    },
  };
  return optimizer;
}

/** min(1, clipNorm / ‖gradients‖), on the backend: nothing waits for it. */
function clipScale(gradients: readonly Tensor[], clipNorm: number): Tensor {
  const [{ backend }] = gradients;
  if (clipNorm === 0) return ones([], { backend });
  return full([], clipNorm, { backend }).div(gradientNorm(gradients).add(1e-12)).minimum(1);
}

function listed(names: readonly string[]): string {
  const rest = names.length - 8;
  return `${names.slice(0, 8).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

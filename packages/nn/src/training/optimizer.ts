// What all optimizers share: clipping, loss scaling, counts, states, steps that happen wholly or not at all. Not their updates.

import {
  Captures,
  full,
  gradientNorm,
  lossScaleStep,
  ones,
  onFailure,
  Tensor,
  tensor,
  tidy,
  valueAndGrad,
  wrongArgument,
  zerosLike,
} from "@pkg/tensor";
import { assignState, checkState, type StateDict } from "../module/module.ts";
import { isFrozen } from "../module/parameters.ts";
import { type Accumulation, accumulatedGrads } from "./accumulation.ts";
import { expectRate, type LearningRate, rateAt } from "./learningRate.ts";

/** Options of every optimizer. */
export interface OptimizerOptions {
  /** The learning rate; a function of the number of updates so far is checked at every update. */
  readonly lr: LearningRate;
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
   * @throws Error naming the gradient that is not of its parameter's shape, type and backend; nothing changes then
   */
  step(gradients: readonly Tensor[]): void;
  /** Updates so far, with those that loss scaling skipped. */
  readonly steps: number;
  /** With loss scaling the present scale, a scalar: yours to dispose of. */
  lossScale(): Tensor | undefined;
  /**
   * What the update keeps, such as AdamW's moments by "first.0", "second.0", …, and "lossScale" if there is one; with `steps` all that
   * a resumed run needs.
   */
  state(): Map<string, Tensor>;
  /** Continues from a saved state. @throws ShapeError listing what does not fit, Error for a wrong `steps`; nothing changes then */
  load(state: StateDict, steps: number): void;
}

/** When an update happens. */
export interface UpdateTime {
  /** The learning rate, checked. */
  readonly learningRate: number;
  /** The number of updates including this one, from 1. */
  readonly t: number;
}

/** What tells one optimizer from another. */
export interface UpdateRule {
  /** What a run has to save beside the parameters, by name. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** The decay rates whose bias corrections the loss scale hands on, for AdamW's step. Default [0, 0]. */
  readonly betas?: readonly [number, number];
  /**
   * Overwrites parameters and their state.
   * @param indices those of the parameters to update
   * @param gradients one each
   * @param scale what to multiply the gradients by, to be asked for once: a scalar, or with loss scaling [3] of `lossScaleStep`, whose
   * first element is 0 where the update is to be skipped
   */
  update(indices: readonly number[], gradients: readonly Tensor[], scale: () => Tensor, time: UpdateTime): void;
}

/** Refuses what is no object of options. @throws Error naming the optimizer */
export function expectOptions(name: string, options: unknown): void {
  if (typeof options !== "object" || options === null) throw wrongArgument(name, "options", options, "{ lr, … }");
}

/** Refuses an option that is no number, or out of range. @throws Error naming optimizer, option, value and what was wanted */
export function expectInRange(name: string, option: string, value: number, fits: boolean, wanted: string): void {
  if (typeof value !== "number" || !fits) throw wrongArgument(name, option, value, wanted);
}

/** Refuses an option that is neither true nor false. @throws Error naming optimizer, option and value */
export function expectBoolean(name: string, option: string, value: unknown): void {
  if (typeof value !== "boolean") throw wrongArgument(name, option, value, "true or false");
}

/** Refuses what are not two decay rates. @throws Error naming the optimizer and the rate */
export function expectBetas(name: string, betas: readonly [number, number]): void {
  if (!Array.isArray(betas)) throw wrongArgument(name, "betas", betas, "[β₁, β₂]");
  for (const [k, beta] of [betas[0], betas[1]].entries())
    expectInRange(name, `betas[${k}]`, beta, beta >= 0 && beta < 1, "a number in [0, 1)");
}

/** Zeros like each parameter, for what an optimizer keeps of it. */
export function blanks(parameters: readonly Tensor[]): Tensor[] {
  return tidy(() => parameters.map((p) => zerosLike(p).contiguous()));
}

/** Tensors by "name.index". */
export function numbered(name: string, tensors: readonly Tensor[]): [string, Tensor][] {
  return tensors.map((tensor, k) => [`${name}.${k}`, tensor]);
}

/**
 * An optimizer with a rule of its own.
 * @param name of the optimizer, for errors
 * @param named the parameters by path
 * @param ruleOf makes its state; called when all options here were found good
 * @throws Error naming the option that is out of range
 */
export function optimizerOf(
  name: string,
  named: ReadonlyMap<string, Tensor>,
  options: OptimizerOptions,
  ruleOf: (parameters: readonly Tensor[]) => UpdateRule,
): Optimizer {
  const { lr, clipNorm = 0, lossScaling = false } = options;
  const inRange = (option: string, value: number, fits: boolean, wanted: string) =>
    expectInRange(name, option, value, fits, wanted);
  expectRate(name, lr);
  inRange("clipNorm", clipNorm, clipNorm >= 0, "a number ≥ 0");
  if (typeof lossScaling !== "boolean" && (typeof lossScaling !== "object" || lossScaling === null))
    throw wrongArgument(name, "lossScaling", lossScaling, "true, false or { initial, interval }");
  const { initial = 2 ** 16, interval = 2000 } = typeof lossScaling === "object" ? lossScaling : {};
  inRange("lossScaling.initial", initial, Number.isInteger(Math.log2(initial)) && initial >= 1, "a power of two ≥ 1");
  inRange("lossScaling.interval", interval, Number.isInteger(interval) && interval > 0, "a positive integer");
  const parameters = [...named.values()];
  if (parameters.length === 0) throw new Error(`${name}: no parameters, want at least one that is not frozen`);
  const names = [...named].map(([path, { shape }]) => `${path} [${shape.join(", ")}]`);

  const rule = ruleOf(parameters);
  const [beta1, beta2] = rule.betas ?? [0, 0];
  // The scale, the updates since it changed, 1 − β₁ᵗ and 1 − β₂ᵗ of the t updates that were not skipped.
  const scaling = lossScaling === false ? null : tensor([initial, 0, 0, 0], { backend: parameters[0].backend });
  const [captures, updates] = [new Captures("minimize"), new Captures("step")];
  let steps = 0;
  let unreached: readonly string[] = [];

  /** What scales the gradients; with loss scaling `state` is the next update's from here on. */
  const scaleOf = (gradients: readonly Tensor[]): Tensor => {
    if (!scaling) return clipScale(gradients, clipNorm);
    const [next, control] = lossScaleStep(gradientNorm(gradients), scaling, { interval, clipNorm, beta1, beta2 });
    scaling.assign(next);
    return control;
  };

  /** When the next update happens. It is checked before anything is computed, and the update counted when all is done. */
  const nextTime = (): UpdateTime => ({ learningRate: rateAt(lr, steps, name), t: steps + 1 });
  /** The parameters, by their indices, that are not frozen now. */
  const trained = (): number[] => {
    const indices = [...parameters.keys()].filter((k) => !isFrozen(parameters[k]));
    if (indices.length === 0) throw new Error(`${name}: all parameters are frozen, want at least one that is not`);
    return indices;
  };

  const update = (indices: readonly number[], gradients: readonly Tensor[], time: UpdateTime): void => {
    rule.update(indices, gradients, () => scaleOf(gradients), time);
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
      if (typeof loss !== "function") throw wrongArgument(name, "loss", loss, "a function that gives the loss");
      return captures.run(() => {
        const time = nextTime();
        const indices = trained();
        const xs = indices.map((k) => parameters[k]);
        const scale = optimizer.lossScale();
        const { value, grads, reached } = accumulation
          ? accumulatedGrads(loss, xs, { ...accumulation, scale })
          : valueAndGrad(loss as () => Tensor, xs, { scale }); // a loss of batches comes with them
        const missed = indices.filter((_, at) => !reached[at]).map((k) => names[k]);
        if (missed.length === indices.length) {
          throw new Error(
            `${name}: the loss depends on no parameter: not on ${listed(missed)}; want one computed from them`,
          );
        }
        const isReached = (_: unknown, at: number) => reached[at];
        update(indices.filter(isReached), grads.filter(isReached), time);
        unreached = missed;
        return value;
      });
    },
    step(gradients) {
      if (!Array.isArray(gradients))
        throw wrongArgument(name, "gradients", gradients, "a list of tensors, one a parameter");
      if (gradients.length !== parameters.length) {
        throw new Error(`${name}: ${gradients.length} gradients for ${parameters.length} parameters, want one each`);
      }
      for (const [k, { shape, backend }] of parameters.entries()) {
        const g: unknown = gradients[k];
        const fits =
          g instanceof Tensor && g.dtype === "float32" && `${g.shape}` === `${shape}` && g.backend === backend;
        if (!fits)
          throw wrongArgument(
            name,
            `gradients[${k}]`,
            g,
            `float32 [${shape.join(", ")}] on ${backend.name}, of ${names[k]}`,
          );
      }
      updates.run(() => {
        const time = nextTime();
        const indices = trained();
        update(
          indices,
          indices.map((k) => gradients[k]),
          time,
        );
      });
    },
    lossScale: () => scaling?.slice(0),
    state: () => new Map([...rule.state, ...(scaling ? [["lossScale", scaling] as const] : [])]),
    load(state, count) {
      if (!(Number.isInteger(count) && count >= 0)) {
        throw wrongArgument(`${name}: load`, "steps", count, "an integer ≥ 0");
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

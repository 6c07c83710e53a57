// AdamW with learning-rate schedules and gradient clipping. Its state is tensors and one number, so that runs can resume.

import {
  adamWStep,
  lossScaleStep,
  ones,
  perStep,
  sumOfSquares,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
  vjp,
  zerosLike,
} from "@pkg/tensor";
import { checkState, type StateDict } from "./module.ts";

/** A learning rate as a function of the number of updates so far. */
export type LearningRate = number | ((step: number) => number);

export interface AdamWOptions {
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

/** An optimizer of a fixed list of parameters. */
export interface Optimizer {
  /** One update that lowers `loss`; returns its value before the update. Everything in between is freed. */
  minimize(loss: () => Tensor): Tensor;
  /** One update with given gradients, one a parameter, of the loss times `lossScale` if there is one; they stay yours. */
  step(gradients: readonly Tensor[]): void;
  /** Updates so far, with those that loss scaling skipped. */
  readonly steps: number;
  /** With loss scaling the present scale, a scalar: yours to dispose of. */
  lossScale(): Tensor | undefined;
  /** The moments by "first.0", "second.0", …, and "lossScale" if there is one; with `steps` all that a resumed run needs. */
  state(): Map<string, Tensor>;
  /** @throws ShapeError listing what does not fit; nothing is changed then */
  load(state: StateDict, steps: number): void;
}

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2), which updates the parameters in place.
 * @throws Error naming the option that is out of range
 */
export function adamW(
  parameters: readonly Tensor[],
  {
    lr,
    betas: [beta1, beta2] = [0.9, 0.999],
    epsilon = 1e-8,
    weightDecay = 0,
    clipNorm = 0,
    lossScaling = false,
  }: AdamWOptions,
): Optimizer {
  const inRange = (name: string, value: number, fits: boolean, wanted: string) => {
    if (!fits) throw new Error(`adamW: ${name} is ${value}, want ${wanted}`);
  };
  if (typeof lr === "number") inRange("lr", lr, lr >= 0 && Number.isFinite(lr), "a finite number ≥ 0");
  for (const [k, beta] of [beta1, beta2].entries())
    inRange(`betas[${k}]`, beta, beta >= 0 && beta < 1, "a number in [0, 1)");
  inRange("epsilon", epsilon, epsilon > 0, "a positive number");
  inRange("weightDecay", weightDecay, weightDecay >= 0, "a number ≥ 0");
  inRange("clipNorm", clipNorm, clipNorm >= 0, "a number ≥ 0");
  const { initial = 2 ** 16, interval = 2000 } = typeof lossScaling === "object" ? lossScaling : {};
  inRange("lossScaling.initial", initial, Number.isInteger(Math.log2(initial)) && initial >= 1, "a power of two ≥ 1");
  inRange("lossScaling.interval", interval, Number.isInteger(interval) && interval > 0, "a positive integer");
  if (parameters.length === 0) throw new Error("adamW: no parameters, want at least one");

  const blank = (p: Tensor) => tidy(() => zerosLike(p).contiguous());
  const moments = { first: parameters.map(blank), second: parameters.map(blank) };
  // The scale, the updates since it changed, 1 − β₁ᵗ and 1 − β₂ᵗ of the t updates that were not skipped.
  const scaling = lossScaling === false ? null : tensor([initial, 0, 0, 0], { backend: parameters[0].backend });
  let steps = 0;

  /** What adamWStep scales the gradients by; `state` is the next update's from here on. */
  const unscale = (gradients: readonly Tensor[], state: Tensor): Tensor => {
    const [next, control] = lossScaleStep(sumOfSquares(gradients), state, { interval, clipNorm, beta1, beta2 });
    state.assign(next);
    return control;
  };

  const optimizer: Optimizer = {
    get steps() {
      return steps;
    },
    minimize(loss) {
      return tidy(() => {
        const scale = optimizer.lossScale();
        if (!scale) {
          const { value, grads } = valueAndGrad(loss, parameters);
          optimizer.step(grads);
          return value;
        }
        const { value, pullback } = vjp(loss, parameters);
        optimizer.step(pullback(scale));
        return value;
      });
    },
    step(gradients) {
      if (gradients.length !== parameters.length) {
        throw new Error(`adamW: ${gradients.length} gradients for ${parameters.length} parameters, want one each`);
      }
      tidy(() => {
        const attrs = perStep(() => {
          steps++;
          const learningRate = typeof lr === "number" ? lr : lr(steps - 1);
          return { learningRate, beta1, beta2, epsilon, weightDecay, t: steps };
        });
        const scale = scaling ? unscale(gradients, scaling) : clipScale(gradients, clipNorm);
        for (const [k, p] of parameters.entries()) {
          const [first, second] = [moments.first[k], moments.second[k]];
          const [pNext, mNext, vNext] = adamWStep(p, gradients[k], first, second, scale, attrs);
          p.assign(pNext);
          first.assign(mNext);
          second.assign(vNext);
        }
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
      const own = optimizer.state();
      const shapes = (tensors: StateDict) => new Map([...tensors].map(([path, { shape }]) => [path, shape]));
      checkState(shapes(own), shapes(state));
      for (const [path, moment] of own) {
        const value = state.get(path);
        if (value) moment.assign(value.detach());
      }
      steps = count;
    },
  };
  return optimizer;
}

/** Grows linearly from 0 to `peak` over `warmup` updates, then stays. */
export function warmup(peak: number, steps: number): (step: number) => number {
  return (step) => peak * Math.min(1, (step + 1) / Math.max(1, steps));
}

/** min(1, clipNorm / ‖gradients‖), on the backend: nothing waits for it. */
function clipScale(gradients: readonly Tensor[], clipNorm: number): Tensor {
  const [{ backend }] = gradients;
  if (clipNorm === 0) return ones([], { backend });
  return sumOfSquares(gradients).add(1e-12).rsqrt().mul(clipNorm).minimum(1);
}

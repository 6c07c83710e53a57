// AdamW: the update of a parameter is one fused op.

import { type AdamWAttrs, adamWStep, region, type Tensor } from "@pkg/tensor";
import { namedParameters } from "../module/parameters.ts";
import {
  blanks,
  expectBetas,
  expectInRange,
  expectOptions,
  numbered,
  type Optimizer,
  type OptimizerOptions,
  optimizerOf,
  type UpdateTime,
} from "./optimizer.ts";

/** What AdamW's update has beside the learning rate. */
export interface AdamWConstants {
  /** Decay rates of the first and second moment. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled; 0 makes it Adam. Default 0. */
  readonly weightDecay?: number;
}

/** Options of `adamW`. */
export interface AdamWOptions extends OptimizerOptions, AdamWConstants {}

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
  expectOptions("adamW", options);
  expectAdamW("adamW", options);
  return optimizerOf("adamW", named, options, (parameters) => {
    const { betas, state, attrsAt, overwrite } = adamWUpdate(parameters, options);
    return {
      betas,
      state,
      update(indices, gradients, scale, time) {
        const attrs = attrsAt(time);
        const what = () => ({ key: overwrite, inputs: gradients, settings: indices, attrs: [attrs] });
        region(gradients[0].backend, what, () => overwrite(indices, gradients, scale(), attrs));
      },
    };
  });
}

/** Refuses constants out of range. @param name of the optimizer, for errors */
export function expectAdamW(name: string, constants: AdamWConstants): void {
  const { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 } = constants;
  expectBetas(name, betas);
  expectInRange(name, "epsilon", epsilon, epsilon > 0 && epsilon < Infinity, "a positive number");
  expectInRange(name, "weightDecay", weightDecay, weightDecay >= 0 && weightDecay < Infinity, "a finite number ≥ 0");
}

/** AdamW's update of some parameters, with moments of their own. */
export interface AdamWUpdate {
  readonly betas: readonly [number, number];
  /** The moments by name. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** The attributes of an update's ops. */
  attrsAt(time: UpdateTime): AdamWAttrs;
  /** @param scale as `adamWStep` takes it */
  overwrite(indices: readonly number[], gradients: readonly Tensor[], scale: Tensor, attrs: AdamWAttrs): void;
}

export function adamWUpdate(parameters: readonly Tensor[], constants: AdamWConstants): AdamWUpdate {
  const { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 } = constants;
  const [beta1, beta2] = betas;
  const moments = { first: blanks(parameters), second: blanks(parameters) };
  return {
    betas,
    state: new Map([...numbered("first", moments.first), ...numbered("second", moments.second)]),
    attrsAt: (time) => ({ ...time, beta1, beta2, epsilon, weightDecay }),
    overwrite(indices, gradients, scale, attrs) {
      for (const [at, k] of indices.entries()) {
        const [p, first, second] = [parameters[k], moments.first[k], moments.second[k]];
        const [pNext, mNext, vNext] = adamWStep(p, gradients[at], first, second, scale, attrs);
        p.assign(pNext);
        first.assign(mNext);
        second.assign(vNext);
      }
    },
  };
}

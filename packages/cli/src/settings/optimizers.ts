// The optimizers and learning-rate schedules that settings can name: one list each, from which flags, checks and help follow.

import {
  adamW,
  cosineDecay,
  inverseSqrt,
  type LearningRate,
  linearDecay,
  lion,
  muon,
  type Optimizer,
  type OptimizerOptions,
  type RateSchedule,
  sgd,
  warmup,
} from "@pkg/nn";
import type { Settings } from "./settings.ts";

type Make = (module: object, options: OptimizerOptions) => Optimizer;

const OPTIMIZERS = {
  adamw: adamW,
  sgd: (module, options) => sgd(module, { ...options, momentum: 0.9, nesterov: true }),
  lion,
  muon,
} as const satisfies Readonly<Record<string, Make>>;

/** The name of an optimizer. */
export type OptimizerName = keyof typeof OPTIMIZERS;

/** The optimizers; the first is that of settings that name none. */
export const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as OptimizerName[];

const DECAYS = {
  cosine: cosineDecay,
  linear: linearDecay,
  invsqrt: inverseSqrt,
} as const satisfies Readonly<Record<string, (peak: number, steps: number) => RateSchedule>>;

/** The name of a learning rate's decay. */
export type DecayName = keyof typeof DECAYS;

/** The decays. */
export const DECAY_NAMES = Object.keys(DECAYS) as DecayName[];

/** The learning rate of settings. */
export function rateOf({ lr, warmup: updates, lrDecay }: Settings): LearningRate {
  return warmup(lrDecay ? DECAYS[lrDecay.schedule](lr, lrDecay.steps) : lr, updates);
}

/** The optimizer of settings, of these parameters. */
export function optimizerFor(
  settings: Pick<Settings, "optimizer">,
  module: object,
  options: OptimizerOptions,
): Optimizer {
  return OPTIMIZERS[settings.optimizer ?? OPTIMIZER_NAMES[0]](module, options);
}

// The public functions of few and one step.

export { type MeanFlowSteps, meanFlow, shortcut } from "./averageVelocity.ts";
export {
  type ConsistencyDistillationOptions,
  type ConsistencyLossOptions,
  consistencyDistillation,
  consistencyLoss,
} from "./consistency.ts";
export { type ConsistencyFunction, type ConsistencyOptions, consistencyFunction } from "./consistencyFunction.ts";
export { type ContinuousConsistencyOptions, continuousConsistency } from "./continuousConsistency.ts";
export { type DiscretisationOptions, discretisationSteps } from "./discretisation.ts";
export { improvedMeanFlowLoss, type MeanFlowOptions, meanFlowLoss } from "./meanFlow.ts";
export { consistencyMultistep, type LcmOptions, type LcmPathOptions, lcm, lcmPath } from "./multistep.ts";
export { type ProgressiveOptions, progressiveLoss } from "./progressive.ts";
export { type ShortcutOptions, shortcutLoss } from "./shortcut.ts";
export { type TrigFlowOptions, trigDenoiser, trigFlowLoss } from "./trigFlow.ts";

// What the package exports of guidance.

export { type AdaptiveProjectedOptions, adaptiveProjected } from "./adaptiveProjected.ts";
export { autoguidance } from "./autoguidance.ts";
export { type CfgPlusPlusOptions, cfgPlusPlus } from "./cfgPlusPlus.ts";
export { type CfgZeroStarOptions, cfgZeroStar } from "./cfgZeroStar.ts";
export {
  type ClassifierGuidanceOptions,
  classifierGuidance,
  classifierShift,
  type LogProbability,
} from "./classifier.ts";
export { type ClassifierFreeOptions, classifierFree, type GuidanceStrength } from "./classifierFree.ts";
export { dropLabels } from "./dropLabels.ts";
export { dynamicThreshold } from "./dynamicThreshold.ts";
export { type PerturbedAttentionOptions, perturbedAttention } from "./perturbedAttention.ts";

// What the package exports of flows.

export { type FlowMatchingOptions, flowMatching } from "./flowMatching.ts";
export { type FlowPath, type FlowPathOptions, flowPath } from "./flowPath.ts";
export {
  type Interpolant,
  type InterpolantLevel,
  type InterpolantTensors,
  linearInterpolant,
  vpInterpolant,
} from "./interpolant.ts";
export { optimalPairs, type ReflowOptions, reflowPairs, straightness } from "./pairs.ts";
export {
  cosMapLaw,
  type LogSnrOptions,
  logitNormalLaw,
  logSnrLaw,
  modeLaw,
  resolutionShift,
  shiftedLaw,
  shiftedTime,
  type TimeLaw,
  uniformLaw,
} from "./timeLaws.ts";

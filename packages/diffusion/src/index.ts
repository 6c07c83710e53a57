// The public face of @pkg/diffusion.

export { qSample } from "./forward.ts";
export { lambdaOf, levelAt, type NoiseLevel, sigmaOf } from "./level.ts";
export { type LossOptions, noisePrediction, predictionLoss } from "./loss.ts";
export type { Model } from "./model.ts";
export { convertAtLevel, convertPrediction, type Prediction, predictionTarget } from "./parameterization.ts";
export {
  type Clip,
  type DiscretePathOptions,
  discretePath,
  type NoisePath,
  type PathOptions,
  sigmaPath,
} from "./path.ts";
export { type Posterior, posterior } from "./posterior.ts";
export {
  finalSample,
  type NoiseSource,
  type SampleOptions,
  type Sampler,
  type SamplerCall,
  type SamplerResult,
  type SamplerState,
  type SampleStep,
  sample,
} from "./sampler.ts";
export { type AncestralOptions, ancestral } from "./samplers/ancestral.ts";
export { type DdimOptions, ddim } from "./samplers/ddim.ts";
export { euler } from "./samplers/euler.ts";
export { type Churn, heun } from "./samplers/heun.ts";
export {
  alphaBarAt,
  constant,
  cosine,
  fromBetas,
  linear,
  noiseVarianceAt,
  type Schedule,
  scaledLinear,
  sigmoid,
  snrAt,
  zeroTerminalSnr,
} from "./schedule.ts";
export { exponential, karras, polyexponential, type SigmaRange } from "./sigmas.ts";
export { type Spacing, spacedTimes } from "./spacing.ts";
export { type LossWeight, minSnrWeight, p2Weight, variationalWeight } from "./weighting.ts";

// The public face of @pkg/diffusion.

export { qSample } from "./forward.ts";
export { noisePrediction } from "./loss.ts";
export type { Model } from "./model.ts";
export { dataFromNoise, type Posterior, posterior } from "./posterior.ts";
export {
  finalSample,
  type NoiseSource,
  type SampleOptions,
  type Sampler,
  type SamplerCall,
  type SampleStep,
  sample,
} from "./sampler.ts";
export { type AncestralOptions, ancestral } from "./samplers/ancestral.ts";
export { type DdimOptions, ddim } from "./samplers/ddim.ts";
export { alphaBarAt, cosine, fromBetas, linear, noiseVarianceAt, type Schedule } from "./schedule.ts";
export { type Spacing, spacedTimes } from "./spacing.ts";

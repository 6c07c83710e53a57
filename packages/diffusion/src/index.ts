// The public face of @pkg/diffusion.

export { bitsPerDim, boundTerms, priorTerm, type ReverseProcess } from "./bound.ts";
export { type CapturedModel, capturedModel } from "./capturedModel.ts";
export { type Decoder, type DiscretisedOptions, discretisedDecoder, gaussianDecoder } from "./decoder.ts";
export { dequantise, dequantisedBits } from "./dequantise.ts";
export {
  drawProbes,
  exactDivergence,
  type Field,
  type FieldDivergence,
  hutchinsonDivergence,
  type ProbeOptions,
} from "./divergence.ts";
export type { OdeOptions } from "./dormandPrince.ts";
export { type InpaintOptions, inpaint } from "./editing/inpaint.ts";
export { slerp } from "./editing/slerp.ts";
export { type EditStart, startFrom } from "./editing/startFrom.ts";
export { type EdmLossOptions, edmLoss } from "./edmLoss.ts";
export type { Estimate } from "./estimate.ts";
export { forwardChain, forwardStep, qSample } from "./forward.ts";
export {
  type ClassifierGuidanceOptions,
  classifierGuidance,
  classifierShift,
  type LogProbability,
} from "./guidance/classifier.ts";
export { type ClassifierFreeOptions, classifierFree, type GuidanceStrength } from "./guidance/classifierFree.ts";
export { dropLabels } from "./guidance/dropLabels.ts";
export { dynamicThreshold } from "./guidance/dynamicThreshold.ts";
export { klNormal, type Normal } from "./klDivergence.ts";
export { lambdaOf, levelAt, type NoiseLevel, sigmaOf } from "./level.ts";
export {
  type BoundLossOptions,
  boundLoss,
  type HybridOptions,
  hybridLoss,
  type LossOptions,
  noisePrediction,
  predictionLoss,
  type TimedOptions,
} from "./loss.ts";
export type { Features, Spread } from "./metrics/features.ts";
export { type FeatureMoments, featureMoments, frechetDistance } from "./metrics/frechetDistance.ts";
export { inceptionScore } from "./metrics/inceptionScore.ts";
export { kernelDistance } from "./metrics/kernelDistance.ts";
export { precisionRecall } from "./metrics/precisionRecall.ts";
export type { Model } from "./model.ts";
export { type Nll, type NllOptions, nll } from "./nll.ts";
export { noiseEnergies } from "./noiseEnergies.ts";
export { type OdeLikelihood, type OdeLikelihoodOptions, odeLikelihood } from "./odeLikelihood.ts";
export type { MixtureParts } from "./oracle/components.ts";
export { type GaussianParts, gaussianOracle } from "./oracle/gaussian.ts";
export { type MixtureOracle, mixtureOracle } from "./oracle/mixture.ts";
export { oracleModel } from "./oracle/model.ts";
export { type Density, type Noising, type Oracle, oracleScore } from "./oracle/oracle.ts";
export { oraclePath } from "./oracle/path.ts";
export { banana, type CircleOptions, checkerboard, eightGaussians, ring } from "./oracle/planar.ts";
export { convertAtLevel, convertPrediction, type Prediction, predictionTarget } from "./parameterization.ts";
export {
  type Clip,
  type DiscretePathOptions,
  discretePath,
  type NoisePath,
  type PathOptions,
  sigmaPath,
} from "./path.ts";
export {
  type FirstVariance,
  type Posterior,
  posterior,
  posteriorLogVariance,
  posteriorMeanFromNoise,
} from "./posterior.ts";
export { type Preconditioning, preconditioned, preconditioning } from "./preconditioned.ts";
export {
  encodeFlow,
  type FlowOptions,
  type FlowStep,
  type ProbabilityFlow,
  probabilityFlow,
  type SampleFlowOptions,
  sampleFlow,
} from "./probabilityFlow.ts";
export { type RespacedSchedule, respace, respacedModel } from "./respace.ts";
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
export { type AncestralOptions, ancestral, type MeanShift } from "./samplers/ancestral.ts";
export type { AncestralNoise } from "./samplers/ancestralNoise.ts";
export { type AnnealedLangevinOptions, annealedLangevin } from "./samplers/annealedLangevin.ts";
export type { Churn } from "./samplers/churn.ts";
export { type DdimOptions, ddim } from "./samplers/ddim.ts";
export { ddimInversion } from "./samplers/ddimInversion.ts";
export { type DeisOptions, deis } from "./samplers/deis.ts";
export { dpm2, dpm2Ancestral } from "./samplers/dpm2.ts";
export { type DpmSolverOptions, dpmSolver } from "./samplers/dpmSolver.ts";
export { type DpmSolverPlusPlusOptions, dpmSolverPlusPlus } from "./samplers/dpmSolverPlusPlus.ts";
export { euler } from "./samplers/euler.ts";
export { eulerAncestral } from "./samplers/eulerAncestral.ts";
export { eulerMaruyama } from "./samplers/eulerMaruyama.ts";
export type { Integrand } from "./samplers/exponential.ts";
export { heun } from "./samplers/heun.ts";
export { gradientAscent, langevin, type ScoreWalkOptions } from "./samplers/langevin.ts";
export { lms } from "./samplers/lms.ts";
export { acceptance, type MetropolisOptions, metropolis } from "./samplers/metropolis.ts";
export { type PndmOptions, pndm } from "./samplers/pndm.ts";
export { type CorrectorOptions, predictorCorrector } from "./samplers/predictorCorrector.ts";
export { reverseDiffusion } from "./samplers/reverseDiffusion.ts";
export { rungeKutta } from "./samplers/rungeKutta.ts";
export { type UniPcOptions, uniPc } from "./samplers/uniPc.ts";
export { parseSampleState, serializeSampleState } from "./sampleState.ts";
export {
  alphaBarAt,
  fromAlphaBars,
  fromBetas,
  gammaAt,
  logSnrAt,
  noiseVarianceAt,
  type Schedule,
  snrAt,
  type TableOptions,
} from "./schedule.ts";
export {
  type BetaRange,
  constant,
  cosine,
  linear,
  quadratic,
  scaledLinear,
  sigmoid,
  zeroTerminalSnr,
} from "./schedules.ts";
export { dividedBySigma, type NoisyScore, type Score, scoreOfEnergy } from "./score.ts";
export {
  type AnnealedOptions,
  annealedScoreMatching,
  type DenoisingOptions,
  denoisingScoreMatching,
} from "./scoreMatching/denoising.ts";
export { explicitScoreMatching } from "./scoreMatching/explicit.ts";
export {
  type FiniteDifferenceOptions,
  finiteDifferenceDenoising,
  finiteDifferenceSliced,
  finiteDifferenceSlicedEnergy,
} from "./scoreMatching/finiteDifference.ts";
export { implicitScoreMatching, slicedScoreMatchingVR } from "./scoreMatching/implicit.ts";
export { annealedStep, largestDistance, levelCount, levelOverlap, levelRatio } from "./scoreMatching/noiseLevels.ts";
export { slicedScoreMatching } from "./scoreMatching/sliced.ts";
export { type BetaEnds, type Sde, subVpSde, veSde, vpSde } from "./sde.ts";
export { type SdePath, type SdePathOptions, type SdeSpacing, sdePath } from "./sdePath.ts";
export { exponential, karras, polyexponential, type SigmaRange } from "./sigmas.ts";
export { type Spacing, spacedTimes } from "./spacing.ts";
export {
  type DrawnTimes,
  type LossAwareSampler,
  type LossHistory,
  lossAwareTimes,
  lowDiscrepancyTimes,
  stratifiedTimes,
  type TimestepSampler,
  uniformTimes,
} from "./timestepSampler.ts";
export {
  analytic,
  fixedLarge,
  fixedSmall,
  learned,
  learnedRange,
  type ReverseStep,
  type ReverseVariance,
  splitVariance,
} from "./variance.ts";
export { type GammaCurve, linearGamma, type VdmOptions, vdmLoss } from "./vdm.ts";
export { type ObjectiveReport, type VerifyOptions, verifyObjective } from "./verifyObjective.ts";
export {
  type Moments,
  type SamplerReport,
  type SamplerRun,
  type VerifySamplerOptions,
  verifySampler,
} from "./verifySampler.ts";
export {
  convertWeight,
  type LossWeight,
  minSnrWeight,
  p2Weight,
  snrWeight,
  truncatedSnrWeight,
  variationalWeight,
} from "./weighting.ts";

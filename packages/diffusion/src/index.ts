/**
 * The public face of `@pkg/diffusion`.
 * @module \@pkg/diffusion
 */

export { absorbing, type Corruption, corrupt, uniformCorruption } from "./discrete/corruption.ts";
export { cosineKeeping, type Keeping, linearKeeping } from "./discrete/keeping.ts";
export { drawTokens, sampleTokens, type TokenOptions, type TokenState, unmaskTokens } from "./discrete/sampleTokens.ts";
export { d3pmLoss, maskedLoss, tokenKl } from "./discrete/tokenLoss.ts";
export { tokenPosterior, tokenProbabilities } from "./discrete/tokenPosterior.ts";
export { ddimInversion } from "./editing/ddimInversion.ts";
export { type InpaintOptions, inpaint } from "./editing/inpaint.ts";
export { slerp } from "./editing/slerp.ts";
export { type EditStart, startFrom } from "./editing/startFrom.ts";
export * from "./fewStep/index.ts";
export * from "./flow/index.ts";
export { dequantise, dequantisedBits } from "./forward/dequantise.ts";
export { type DiscretePath, type DiscretePathOptions, discretePath } from "./forward/discretePath.ts";
export type { GivenNoise } from "./forward/forward.ts";
export { forwardChain, forwardStep, qSample } from "./forward/forward.ts";
export { lambdaOf, levelAt, type NoiseLevel, type Rates, sigmaOf } from "./forward/level.ts";
export { noiseEnergies } from "./forward/noiseEnergies.ts";
export type { Clip, NoisePath, PathOptions } from "./forward/path.ts";
export {
  type FirstVariance,
  type Posterior,
  posterior,
  posteriorLogVariance,
  posteriorMeanFromNoise,
} from "./forward/posterior.ts";
export { type BetaEnds, type Sde, subVpSde, veSde, vpSde } from "./forward/sde.ts";
export { type SdePath, type SdePathOptions, type SdeSpacing, sdePath } from "./forward/sdePath.ts";
export { sigmaPath } from "./forward/sigmaPath.ts";
export * from "./guidance/index.ts";
export { bitsPerDim, boundTerms, priorTerm, type ReverseProcess } from "./likelihood/bound.ts";
export { type Decoder, type DiscretisedOptions, discretisedDecoder, gaussianDecoder } from "./likelihood/decoder.ts";
export {
  drawProbes,
  exactDivergence,
  type Field,
  type FieldDivergence,
  hutchinsonDivergence,
  type ProbeOptions,
} from "./likelihood/divergence.ts";
export type { OdeOptions } from "./likelihood/dormandPrince.ts";
export { klNormal, type Normal } from "./likelihood/klDivergence.ts";
export { type Nll, type NllOptions, nll } from "./likelihood/nll.ts";
export { type OdeLikelihood, type OdeLikelihoodOptions, odeLikelihood } from "./likelihood/odeLikelihood.ts";
export {
  encodeFlow,
  type FlowOptions,
  type FlowStep,
  type ProbabilityFlow,
  probabilityFlow,
  type SampleFlowOptions,
  sampleFlow,
} from "./likelihood/probabilityFlow.ts";
export type { Features, Spread } from "./metrics/features.ts";
export { type FeatureMoments, featureMoments, frechetDistance } from "./metrics/frechetDistance.ts";
export { inceptionScore } from "./metrics/inceptionScore.ts";
export { kernelDistance } from "./metrics/kernelDistance.ts";
export { precisionRecall } from "./metrics/precisionRecall.ts";
export type { Estimate } from "./model/estimate.ts";
export type { Model } from "./model/model.ts";
export { convertAtLevel, convertPrediction, type Prediction, predictionTarget } from "./model/parameterization.ts";
export { type Preconditioning, preconditioned, preconditioning } from "./model/preconditioned.ts";
export { dividedBySigma, type NoisyScore, type Score, scoreOfEnergy } from "./model/score.ts";
export {
  analytic,
  type FirstOption,
  fixedLarge,
  fixedSmall,
  learned,
  learnedRange,
  type ReverseStep,
  type ReverseVariance,
  splitVariance,
} from "./model/variance.ts";
export { type EdmLossOptions, edmLoss } from "./objective/edmLoss.ts";
export {
  type BoundLossOptions,
  boundLoss,
  type HybridOptions,
  hybridLoss,
  type LossOptions,
  noisePrediction,
  predictionLoss,
  type TimedOptions,
} from "./objective/loss.ts";
export {
  type AnnealedOptions,
  annealedScoreMatching,
  type DenoisingOptions,
  denoisingScoreMatching,
} from "./objective/scoreMatching/denoising.ts";
export { explicitScoreMatching } from "./objective/scoreMatching/explicit.ts";
export {
  type FiniteDifferenceOptions,
  finiteDifferenceDenoising,
  finiteDifferenceSliced,
  finiteDifferenceSlicedEnergy,
} from "./objective/scoreMatching/finiteDifference.ts";
export { implicitScoreMatching, slicedScoreMatchingVR } from "./objective/scoreMatching/implicit.ts";
export {
  annealedStep,
  largestDistance,
  levelCount,
  levelOverlap,
  levelRatio,
} from "./objective/scoreMatching/noiseLevels.ts";
export { slicedScoreMatching } from "./objective/scoreMatching/sliced.ts";
export { type GammaCurve, linearGamma, type VdmOptions, vdmLoss } from "./objective/vdm.ts";
export {
  convertWeight,
  type LossWeight,
  minSnrWeight,
  p2Weight,
  snrWeight,
  truncatedSnrWeight,
  variationalWeight,
} from "./objective/weighting.ts";
export type { MixtureParts } from "./oracle/components.ts";
export { type GaussianParts, gaussianOracle } from "./oracle/gaussian.ts";
export { type MixtureOracle, mixtureOracle } from "./oracle/mixture.ts";
export { oracleModel, type TimedLevels } from "./oracle/model.ts";
export {
  type Density,
  type Noising,
  type Noisings,
  type NoisingTensors,
  type Oracle,
  oracleScore,
} from "./oracle/oracle.ts";
export { oraclePath } from "./oracle/path.ts";
export { banana, type CircleOptions, checkerboard, eightGaussians, ring } from "./oracle/planar.ts";
export { solverNamed, solvers } from "./sampling/namedSolvers.ts";
export {
  finalSample,
  finalState,
  type NoiseSource,
  type SampleOptions,
  type Sampler,
  type SamplerCall,
  type SamplerResult,
  type SamplerState,
  type SampleStep,
  sample,
} from "./sampling/sampler.ts";
export { parseSampleState, serializeSampleState } from "./sampling/sampleState.ts";
export * from "./sampling/solvers/index.ts";
export type { AncestralNoise } from "./sampling/table/ancestralNoise.ts";
export type { Churn } from "./sampling/table/churn.ts";
export type { Integrand } from "./sampling/table/exponential.ts";
export { defineSolver, type Solver, type SolverDefinition, type SolverVariant } from "./sampling/table/solver.ts";
export type { Ask, Draw, Row, SolverStep, StepPlace, StepTable, Sum, Terms } from "./sampling/table/step.ts";
export type { AncestralOptions, MeanShift } from "./sampling/walks/ancestralWalk.ts";
export { type AnnealedLangevinOptions, annealedLangevin } from "./sampling/walks/annealedLangevin.ts";
export { gradientAscent, langevin, type ScoreWalkOptions } from "./sampling/walks/langevin.ts";
export { acceptance, type MetropolisOptions, metropolis } from "./sampling/walks/metropolis.ts";
export { type CorrectorOptions, predictorCorrector } from "./sampling/walks/predictorCorrector.ts";
export { type RespacedSchedule, respace, respacedModel } from "./schedule/respace.ts";
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
} from "./schedule/schedule.ts";
export {
  type BetaRange,
  constant,
  cosine,
  linear,
  quadratic,
  scaledLinear,
  sigmoid,
  zeroTerminalSnr,
} from "./schedule/schedules.ts";
export { exponential, karras, polyexponential, type SigmaRange } from "./schedule/sigmas.ts";
export { type Spacing, spacedTimes } from "./schedule/spacing.ts";
export { type ScheduleTables, scheduleTables } from "./schedule/tables.ts";
export {
  type DrawnTimes,
  type LossAwareSampler,
  type LossHistory,
  lossAwareTimes,
  lowDiscrepancyTimes,
  stratifiedTimes,
  type TimestepSampler,
  uniformTimes,
} from "./schedule/timestepSampler.ts";
export { type ObjectiveReport, type VerifyOptions, verifyObjective } from "./verify/verifyObjective.ts";
export {
  type Moments,
  type SamplerReport,
  type SamplerRun,
  type VerifySamplerOptions,
  verifySampler,
} from "./verify/verifySampler.ts";

/**
 * The public face of `@pkg/nn`.
 * @module \@pkg/nn
 */

export { type AttentionBlock, attentionBlock } from "./layers/attention.ts";
export { type Conv2d, conv2d } from "./layers/conv.ts";
export { type Dropout, dropout } from "./layers/dropout.ts";
export { type Embedding, embedding } from "./layers/embedding.ts";
export { type Activation, type FeedForward, feedForward, type SwiGlu, swiGlu } from "./layers/feedForward.ts";
export { type FourierOptions, fourierEmbedding } from "./layers/fourier.ts";
export { type LayerNorm, layerNorm } from "./layers/layerNorm.ts";
export { type Linear, linear } from "./layers/linear.ts";
export { type AttentionCall, type MultiheadAttention, multiheadAttention } from "./layers/multiheadAttention.ts";
export { type GroupNorm, groupNorm } from "./layers/norm.ts";
export { patchify, unpatchify } from "./layers/patches.ts";
export { sinCosPositions } from "./layers/positions.ts";
export { type ResidualBlock, type ResidualOptions, residualBlock } from "./layers/residual.ts";
export { type RmsNorm, rmsNorm } from "./layers/rmsNorm.ts";
export { type RotaryOptions, rotary } from "./layers/rotary.ts";
export { type SinusoidOptions, sinusoidalEmbedding } from "./layers/sinusoid.ts";
export { load, save, stateBytes } from "./module/file.ts";
export { fanInUniform, type InitOptions, zeroInit } from "./module/init.ts";
export { backendOf, checkState, loadStateDict, type StateDict, stateDict } from "./module/module.ts";
export { buffer, edge, freeze, parameterCount, parameters, unfreeze } from "./module/parameters.ts";
export type { Conditioning, NumberConfig } from "./networks/conditioning.ts";
export { type Dit, type DitBlock, type DitConfig, dit } from "./networks/dit.ts";
export type { EmbeddedConfig, EmbeddedMaps, NumberMaps } from "./networks/embedded.ts";
export { type Mlp, type MlpConfig, mlp } from "./networks/mlp.ts";
export { checkLabels, checkTimes, type Labels, type Times } from "./networks/times.ts";
export {
  type TokenBlock,
  type TokenTransformer,
  type TokenTransformerConfig,
  tokenTransformer,
} from "./networks/tokenTransformer.ts";
export { type Unet, type UnetLevel, type UnetStage, unet } from "./networks/unet.ts";
export type { UnetConfig } from "./networks/unetConfig.ts";
export type { Accumulation } from "./training/accumulation.ts";
export { type AdamWConstants, type AdamWOptions, adamW } from "./training/adamW.ts";
export { ema, powerEma, powerGamma } from "./training/ema.ts";
export {
  cosineDecay,
  describeRate,
  inverseSqrt,
  type LearningRate,
  linearDecay,
  type RateSchedule,
  rateAt,
  warmup,
} from "./training/learningRate.ts";
export { type LionOptions, lion } from "./training/lion.ts";
export type { Ema } from "./training/movingAverage.ts";
export { type MuonOptions, muon } from "./training/muon.ts";
export { newtonSchulz } from "./training/newtonSchulz.ts";
export type { Optimizer, OptimizerOptions } from "./training/optimizer.ts";
export {
  type EmaSnapshot,
  type PostHocWeights,
  postHocEma,
  postHocWeights,
  type Snapshot,
} from "./training/postHocEma.ts";
export { type SgdOptions, sgd } from "./training/sgd.ts";

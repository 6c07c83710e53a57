/**
 * The public face of `@pkg/nn`.
 * @module \@pkg/nn
 */

export { type AttentionBlock, attentionBlock } from "./attention.ts";
export type { Conditioning, NumberConfig } from "./conditioning.ts";
export { type Conv2d, conv2d } from "./conv.ts";
export { type Ema, ema } from "./ema.ts";
export { type Embedding, embedding } from "./embedding.ts";
export { load, save, stateBytes } from "./file.ts";
export { fanInUniform, type InitOptions, zeroInit } from "./init.ts";
export { type LearningRate, linearDecay, warmup } from "./learningRate.ts";
export { type Linear, linear } from "./linear.ts";
export { type Mlp, type MlpConfig, mlp } from "./mlp.ts";
export { backendOf, checkState, loadStateDict, type StateDict, stateDict } from "./module.ts";
export { type GroupNorm, groupNorm } from "./norm.ts";
export { type AdamWOptions, adamW, type Optimizer } from "./optimizer.ts";
export { buffer, freeze, parameterCount, parameters, unfreeze } from "./parameters.ts";
export { type ResidualBlock, type ResidualOptions, residualBlock } from "./residual.ts";
export { type SinusoidOptions, sinusoidalEmbedding } from "./sinusoid.ts";
export { checkLabels, checkTimes, type Labels, type Times } from "./times.ts";
export { type NumberMaps, type Unet, type UnetConfig, type UnetLevel, type UnetStage, unet } from "./unet.ts";

/**
 * The public face of `@pkg/nn`.
 * @module \@pkg/nn
 */

export { type AttentionBlock, attentionBlock } from "./attention.ts";
export { type Conv2d, conv2d } from "./conv.ts";
export { type Ema, ema } from "./ema.ts";
export { type Embedding, embedding, sinusoidalEmbedding } from "./embedding.ts";
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
export { type Conditioning, type Unet, type UnetConfig, unet } from "./unet.ts";

// The public face of @pkg/nn.

export { type AttentionBlock, attentionBlock } from "./attention.ts";
export { type Conv2d, conv2d } from "./conv.ts";
export { type Ema, ema } from "./ema.ts";
export { type Embedding, embedding, sinusoidalEmbedding } from "./embedding.ts";
export { fanInUniform, type InitOptions, zeroInit } from "./init.ts";
export { type Linear, linear } from "./linear.ts";
export { type Mlp, type MlpConfig, mlp } from "./mlp.ts";
export { checkState, loadStateDict, parameterCount, parameters, type StateDict, stateDict } from "./module.ts";
export { type GroupNorm, groupNorm } from "./norm.ts";
export { type AdamWOptions, adamW, type LearningRate, type Optimizer, warmup } from "./optimizer.ts";
export { type ResidualBlock, type ResidualOptions, residualBlock } from "./residual.ts";
export { type Conditioning, type Unet, type UnetConfig, unet } from "./unet.ts";

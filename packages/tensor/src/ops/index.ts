// Every op there is. The test suite walks this list, so an op that is not here does not exist.

export * from "./adamW.ts";
export * from "./arithmetic.ts";
export * from "./attention.ts";
export * from "./conv.ts";
export * from "./copy.ts";
export * from "./countNonFinite.ts";
export * from "./cumsum.ts";
export * from "./dropout.ts";
export * from "./ema.ts";
export * from "./functions.ts";
export * from "./gather.ts";
export * from "./gatherAlong.ts";
export * from "./globalNorm.ts";
export * from "./groupNorm.ts";
export * from "./lossScale.ts";
export * from "./matmul.ts";
export * from "./noiseAdd.ts";
export * from "./power.ts";
export * from "./random.ts";
export * from "./reduce.ts";
export * from "./resample.ts";
export * from "./softmax.ts";
export * from "./sort.ts";
export * from "./views.ts";
export * from "./weightedSum.ts";

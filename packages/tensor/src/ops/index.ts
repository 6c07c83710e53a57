// Every op there is. The test suite walks this list, so an op that is not here does not exist.

export * from "./attention/attention.ts";
export * from "./conv/conv.ts";
export * from "./conv/resample.ts";
export * from "./elementwise/arithmetic.ts";
export * from "./elementwise/functions.ts";
export * from "./elementwise/power.ts";
export * from "./elementwise/weightedSum.ts";
export * from "./gather/gather.ts";
export * from "./gather/gatherAlong.ts";
export * from "./groupNorm/groupNorm.ts";
export * from "./layout/copy.ts";
export * from "./layout/views.ts";
export * from "./matmul/matmul.ts";
export * from "./optimizer/adamW.ts";
export * from "./optimizer/ema.ts";
export * from "./optimizer/globalNorm.ts";
export * from "./optimizer/lossScale.ts";
export * from "./random/dropout.ts";
export * from "./random/noiseAdd.ts";
export * from "./random/random.ts";
export * from "./reduce/countNonFinite.ts";
export * from "./reduce/cumsum.ts";
export * from "./reduce/reduce.ts";
export * from "./reduce/softmax.ts";
export * from "./reduce/sort.ts";

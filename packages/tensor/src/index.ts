/**
 * The public face of `@pkg/tensor`.
 * @module \@pkg/tensor
 */

export { optionsOf, wrongArgument } from "./argument.ts";
export { checkpoint } from "./autograd/checkpoint.ts";
export { type Differentiable, grad, jvp, valueAndGrad, vjp } from "./autograd/grad.ts";
export {
  type Backend,
  DeviceLostError,
  DeviceStalledError,
  type MemoryInfo,
  type Operand,
  OutOfMemoryError,
  ValidationError,
} from "./backend.ts";
export { bestBackend } from "./backends/best.ts";
export { type CpuOptions, cpu } from "./backends/cpu/cpu.ts";
export type { WasmCall, WasmOperands, WasmRule } from "./backends/wasm/rule.ts";
export { type WasmBackend, type WasmOptions, wasm } from "./backends/wasm/wasm.ts";
export type { WebgpuCounters } from "./backends/webgpu/counters.ts";
export type { PlatformAdapter, PlatformDevice } from "./backends/webgpu/device/platformTypes.ts";
export type { WebgpuOptions } from "./backends/webgpu/options.ts";
export type { Choice, GpuCall, GpuTarget, KernelCall, WebgpuRule } from "./backends/webgpu/rule.ts";
export { type Tuned, tune } from "./backends/webgpu/tuning/tuner.ts";
export { type WebgpuBackend, webgpu } from "./backends/webgpu/webgpu.ts";
export { type Captured, Captures, capture, region } from "./capture/capture.ts";
export { type Explained, explain, type StepReport } from "./capture/explain.ts";
export type { Region } from "./capture/regions.ts";
export {
  arange,
  type CreateOptions,
  full,
  ones,
  onesLike,
  type TensorValues,
  tensor,
  zeros,
  zerosLike,
} from "./create.ts";
export { crossEntropy } from "./crossEntropy.ts";
export { detectNonFinite, type NumericsRow, numericsReport } from "./debug/debug.ts";
export { defaultBackend, setDefaultBackend } from "./defaultBackend.ts";
export { concat, stack } from "./join.ts";
export { onFailure } from "./memory/atomic.ts";
export { lasting } from "./memory/lasting.ts";
export { allOrNothing, keep, liveTensors, tensorsIn, tidy } from "./memory/memory.ts";
export {
  type Case,
  type CaseInput,
  type Complete,
  defineOp,
  type ErrorCase,
  type NdArray,
  type NumberArray,
  type Op,
  type Temporary,
  type Tolerance,
  type View,
} from "./op.ts";
export type { BiasOptions, ConvOptions, PerAxis } from "./ops/conv/convShape.ts";
export { type Elementwise, elementwise } from "./ops/elementwise/elementwise.ts";
export { weightedSum } from "./ops/elementwise/weightedSum.ts";
export type { Slice } from "./ops/layout/views.ts";
export type { AdamWAttrs } from "./ops/optimizer/adamConstants.ts";
export { adamWStep } from "./ops/optimizer/adamW.ts";
export { type EmaAttrs, emaStep } from "./ops/optimizer/ema.ts";
export { gradientNorm } from "./ops/optimizer/globalNorm.ts";
export { lossScaleStep } from "./ops/optimizer/lossScale.ts";
export type { LossScaleAttrs } from "./ops/optimizer/lossScaleNumbers.ts";
export { nonFiniteCount } from "./ops/reduce/countNonFinite.ts";
export { addNoise, dropout } from "./random/noise.ts";
export {
  type DrawOptions,
  type HostDraws,
  type NormalOptions,
  type RandomState,
  type RandomStream,
  randomStream,
  type UniformOptions,
} from "./random/random.ts";
export { type TorchCudaOptions, torchCudaStream } from "./random/torchCuda.ts";
export { torchStream } from "./random/torchRandom.ts";
export { fileSource } from "./safetensors/fileSource.ts";
export {
  type ByteSource,
  parseSafetensors,
  type SafetensorsArrays,
  type SafetensorsDtype,
  type SafetensorsFile,
  type SafetensorsTensor,
  safetensorsParts,
  serializeSafetensors,
} from "./safetensors/safetensors.ts";
export { type DType, type Layout, type Shape, ShapeError, type Spec } from "./shape.ts";
export type { Signature } from "./signature.ts";
export type { PoolOptions } from "./tensor/images.ts";
export type { TensorLike } from "./tensor/operand.ts";
export type { KeepOptions } from "./tensor/reductions.ts";
export { apply, type NestedNumbers, Tensor } from "./tensor.ts";

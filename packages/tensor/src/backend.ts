// The interface of a backend: storage, transfers and running an op; nothing else is asked of it.

import type { NumberArray, Op } from "./op.ts";
import type { DType, Layout } from "./shape.ts";

/** Memory that a backend handed out; opaque to all but that backend. */
export type Buffer = object;

/** An operand of `run`: a layout over a buffer. */
export interface Operand extends Layout {
  readonly dtype: DType;
  readonly buffer: Buffer;
  /** Elements of the buffer before the layout's origin: 0, or a multiple of 64 (what WebGPU can bind at). */
  readonly base: number;
}

/** What a backend holds at this moment. */
export interface MemoryInfo {
  /** Buffers in use by tensors. */
  readonly buffers: number;
  /** Bytes in use by tensors. */
  readonly bytes: number;
  /** The largest `bytes` so far. */
  readonly peakBytes: number;
  /** Bytes taken from the system: in use, plus those pooled for reuse. */
  readonly reservedBytes: number;
}

export interface Backend {
  /** Says what runs the kernels: "cpu: float32", "webgpu: NVIDIA H100 …". */
  readonly name: string;
  /** @throws OutOfMemoryError when the budget does not hold `size` more elements */
  allocate(size: number, dtype: DType, label: string): Buffer;
  free(buffer: Buffer): void;
  /** Copies row-major elements into a buffer. */
  upload(buffer: Buffer, dtype: DType, data: ArrayLike<number>): void;
  /** Elements [offset, offset + length) once everything queued before has run. */
  download(buffer: Buffer, dtype: DType, offset: number, length: number): Promise<NumberArray>;
  /** Queues an op; returns before it has run. */
  run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void;
  /** Resolves once everything queued so far has run. @throws what went wrong on the device */
  settled(): Promise<void>;
  memory(): MemoryInfo;
  /** Frees everything; tensors of this backend are gone. */
  dispose(): void;
}

/** More memory was asked for than the budget or the device holds. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
}

/** The device went away (driver reset, GPU process killed, disposed): its tensors are gone; make a new backend. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
}

/** The device refused a command: a fault in a kernel or in the engine, named by its label. */
export class ValidationError extends Error {
  override readonly name = "ValidationError";
}

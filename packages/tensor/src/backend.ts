// The interface of a backend: storage, transfers, and running an op.

import type { NumberArray, Op } from "./op.ts";
import type { DType, Layout } from "./shape.ts";

/** Memory of a backend. Only that backend looks inside. */
export type Buffer = object;

/** An operand of `run`: a layout over a buffer. */
export interface Operand extends Layout {
  /** The type of its elements. */
  readonly dtype: DType;
  /** Where they lie. */
  readonly buffer: Buffer;
  /** Elements of the buffer before the layout's origin; of inputs what `baseOf` gave, of outputs 0. */
  readonly base: number;
}

/** How much memory a backend holds now. */
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

/** A run as a recording has it: the op, null for an upload, with where its operands lie. Buffers are the recording's own. */
export interface RecordedRun {
  readonly op: Op<unknown> | null;
  readonly attrs: unknown;
  readonly inputs: readonly Omit<Operand, "buffer">[];
  readonly outputs: readonly Omit<Operand, "buffer">[];
  /** What is uploaded. */
  readonly data?: ArrayLike<number>;
}

/** What a recording is queued again with. */
export interface ReplayCall {
  /** In place of those at the end of recording. */
  readonly inputs: readonly Buffer[];
  /** Buffers for what is new at the end of the step. */
  readonly outputs: readonly Buffer[];
  /** The runs whose attributes, layouts or data are not those of the recording. */
  readonly changes: readonly ChangedRun[];
}

/** A run as it is now. */
export interface ChangedRun {
  /** Which run of the recording it is. */
  readonly index: number;
  readonly run: RecordedRun;
  /** Whether its operands may lie otherwise; else its attributes or data alone differ. */
  readonly isMoved: boolean;
}

/** What a backend did between two moments, ready to be queued again. */
export interface Recording {
  /**
   * Queues it. Transients lie in buffers that all recordings of the backend share.
   * @returns false, with nothing queued, where other kernels would be chosen now
   * @throws OutOfMemoryError, with nothing queued
   */
  replay(call: ReplayCall): boolean;
  /** Gives the buffers back. */
  dispose(): void;
}

/** A device that holds tensors and runs ops: `cpu`, `wasm`, `webgpu` and `bestBackend` make one. */
export interface Backend {
  /** The device in words: "cpu: float32", "webgpu: NVIDIA H100 …". */
  readonly name: string;
  /**
   * Memory for `size` elements of four bytes. @throws OutOfMemoryError when the budget does not hold them; `label` begins its
   * message
   */
  allocate(size: number, dtype: DType, label: string): Buffer;
  /** Frees a buffer. Work that was queued before may still read it. */
  free(buffer: Buffer): void;
  /** Copies row-major elements into a buffer. */
  upload(buffer: Buffer, dtype: DType, data: ArrayLike<number>): void;
  /** Elements [offset, offset + length), after the work that was queued before has run. */
  download(buffer: Buffer, dtype: DType, offset: number, length: number): Promise<NumberArray>;
  /**
   * Where the operand for an input of an op begins: 0 if the op's rule takes the layout as it is, its offset if the rule takes
   * row-major inputs and the backend can bind this one there. Null if neither holds: the engine copies such an input first.
   */
  baseOf<Attrs>(op: Op<Attrs>, input: Layout, index: number, attrs: Attrs): number | null;
  /** Queues an op and returns before it has run. */
  run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void;
  /** Resolves after all work queued so far has run. @throws what went wrong on the device */
  settled(): Promise<void>;
  /** The memory it holds now. */
  memory(): MemoryInfo;
  /**
   * Notes what is run and uploaded until the function that it returns is called with the buffers that live on, and with those that were
   * there before. Absent where nothing would be gained.
   * @internal
   */
  record?(): (outputs: readonly Buffer[], inputs: readonly Buffer[]) => Recording;
  /** Frees everything; tensors of this backend are gone. */
  dispose(): void;
}

/** The budget or the device does not hold the memory that was asked for. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
}

/**
 * The device is gone (driver reset, GPU process ended, thread ended, disposed), and its tensors with it. A new backend is
 * needed.
 */
export class DeviceLostError extends Error {
  override readonly name: string = "DeviceLostError";
}

/**
 * The device has finished no work for the time limit, and counts as lost. Its work may still finish: asking again for a result
 * waits again.
 */
export class DeviceStalledError extends DeviceLostError {
  override readonly name = "DeviceStalledError";
}

/** The device refused a command, which its label names: a kernel or the engine has a fault. */
export class ValidationError extends Error {
  override readonly name = "ValidationError";
}

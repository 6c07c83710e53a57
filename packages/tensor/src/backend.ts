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

/** What was queued between two moments, as a backend that can queue it again noted it. */
export interface Recording {
  /** How it differs from a run before; null where the same commands were queued. */
  difference(before: Recording): Difference | null;
  /**
   * The commands, ready to be queued again, on buffers that all replays of the backend share.
   * @param outputs what was allocated meanwhile and is still in use: all of it
   * @throws Error where other buffers outlived the recording
   */
  replay(outputs: readonly Buffer[]): Replay;
}

/** How one run differed from another. */
export interface Difference {
  readonly reason: string;
  /**
   * `ops`: other ops ran; `place`: the same, with operands elsewhere or by other kernels; `numbers`: only numbers differ, and these are
   * not computed anew.
   */
  readonly kind: "ops" | "place" | "numbers";
}

/** Recorded commands. */
export interface Replay {
  /**
   * Queues them. Attributes that are computed anew are read again.
   * @param outputs get what the outputs of the recorded run got
   * @param uploads called once the device is known to be there: what the host writes, in the order of the recorded run
   * @throws OutOfMemoryError before that
   */
  run(outputs: readonly Buffer[], uploads: () => readonly ArrayLike<number>[]): void;
  /** Gives the buffers back. */
  dispose(): void;
}

/** Where tensors lie and ops run: made by `cpu`, `wasm`, `webgpu` or `bestBackend`. */
export interface Backend {
  /** Says what runs the kernels: "cpu: float32", "webgpu: NVIDIA H100 …". */
  readonly name: string;
  /** @throws OutOfMemoryError when the budget does not hold `size` more elements */
  allocate(size: number, dtype: DType, label: string): Buffer;
  /** Gives a buffer back. What was queued before may still read it. */
  free(buffer: Buffer): void;
  /** Copies row-major elements into a buffer. */
  upload(buffer: Buffer, dtype: DType, data: ArrayLike<number>): void;
  /** Elements [offset, offset + length) once everything queued before has run. */
  download(buffer: Buffer, dtype: DType, offset: number, length: number): Promise<NumberArray>;
  /** Queues an op; returns before it has run. */
  run<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): void;
  /** Resolves once everything queued so far has run. @throws what went wrong on the device */
  settled(): Promise<void>;
  /** How much memory it holds now. */
  memory(): MemoryInfo;
  /**
   * Notes what is queued until the function that it returns is called. Absent where nothing would be gained.
   * @param isLive tells attributes that are computed anew whenever the commands are replayed
   */
  record?(isLive: (attrs: unknown) => boolean): () => Recording;
  /** Frees everything; tensors of this backend are gone. */
  dispose(): void;
}

/** More memory was asked for than the budget or the device holds. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
}

/**
 * The device went away (driver reset, GPU process killed, disposed) and its tensors with it, or a thread that computes (killed): make a
 * new backend.
 */
export class DeviceLostError extends Error {
  override readonly name: string = "DeviceLostError";
}

/**
 * The device has ended nothing for so long that it counts as lost. What it was handed may still end: a result that is asked for again is
 * awaited again.
 */
export class DeviceStalledError extends DeviceLostError {
  override readonly name = "DeviceStalledError";
}

/** The device refused a command: a fault in a kernel or in the engine, named by its label. */
export class ValidationError extends Error {
  override readonly name = "ValidationError";
}

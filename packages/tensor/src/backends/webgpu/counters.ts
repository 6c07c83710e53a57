// What the WebGPU backend has done so far, for benches and tests: a repeated step should create nothing.

/** Counts since the backend was opened. */
export interface WebgpuCounters {
  /** Kernels run. */
  readonly dispatches: number;
  /** Command buffers handed to the device. */
  readonly submits: number;
  /** Bind groups created. */
  readonly bindGroups: number;
  /** Pipelines compiled. */
  readonly pipelines: number;
  /** Device buffers created, those that data are read back through included. */
  readonly buffers: number;
  /** Tensors written by the host. */
  readonly uploads: number;
  /** Steps played again by `capture`. */
  readonly replays: number;
}

/** The counts as the parts of the backend keep them. */
export type Counting = { -readonly [Name in keyof WebgpuCounters]: number };

export function counting(): Counting {
  return { dispatches: 0, submits: 0, bindGroups: 0, pipelines: 0, buffers: 0, uploads: 0, replays: 0 };
}

// capture: repeated steps, whose work on the device is queued again as a flat list of commands, the way a CUDA graph is.

import { expectBackend, expectFunction } from "../argument.ts";
import { isRecording } from "../autograd/graph.ts";
import type { Backend, Recording } from "../backend.ts";
import { isObserved } from "../debug/observer.ts";
import { isAtomic } from "../memory/atomic.ts";
import { allOrNothing, tidy } from "../memory/memory.ts";
import { tensorOf } from "../tensor.ts";
import { tell } from "./explain.ts";
import type { Region } from "./regions.ts";
import { begin, isTracing, leave, type Step, tracerOn } from "./step.ts";
import type { Trace } from "./trace.ts";
import type { Outcome } from "./tracer.ts";

/** A captured function. */
export interface Captured<Args extends readonly unknown[], Result> {
  /** One step. @throws what the function throws */
  (...args: Args): Result;
  /** Whether the last call was a replay. */
  readonly isReplaying: boolean;
  /** Frees its buffers; calls throw from now on. */
  dispose(): void;
}

/** The number of different steps that are kept. */
const KEPT = 8;
/** After this number of successive steps without a replay, */
const PATIENCE = 8;
/** this number of steps run op by op. */
const REST = 56;

/**
 * A function whose work on a WebGPU device is queued again when it is the same as in an earlier call: a training step, a sampling step.
 * The function runs at every call. Each op is compared with that of the earlier call: op, shapes, layouts, attributes and the source of
 * its operands. If all are the same, one list of recorded commands replaces the work of every op. Numbers that changed (a learning
 * rate, a guidance scale, a draw's counter, `tensor` of other values) are written anew. If anything else differs, the step runs op by op,
 * and is kept as another one to compare with. Results have the same bits either way. On other backends it runs op by op.
 *
 * `Optimizer.minimize`, `Ema.update` and `sample` capture by themselves. A captured function inside of another is a part of that one.
 * A step happens wholly or not at all (see `allOrNothing`). Tensors made in it are freed at its end, except those in its result and those
 * kept. `explain` tells which steps were not replayed, and why.
 * @throws Error from calls after `dispose`, and for async functions
 * @example
 * ```ts
 * import { bestBackend, capture, setDefaultBackend, type Tensor, tensor } from "@pkg/tensor";
 *
 * setDefaultBackend(await bestBackend());
 * const scale = tensor([0.5, 2]);
 * const step = capture((x: Tensor) => x.mul(scale).add(1)); // on WebGPU, later calls replay the commands of the first ones
 * let x = tensor([1, 1]);
 * for (let k = 0; k < 5; k++) x = step(x);
 * console.log(await x.array()); // [1.96875, 63]
 * ```
 */
export function capture<Args extends readonly unknown[], Result>(f: (...args: Args) => Result): Captured<Args, Result> {
  expectFunction("capture", "f", f);
  const captures = new Captures(f.name || "capture");
  const step = (...args: Args): Result => captures.run(() => f(...args));
  return Object.defineProperties(step, {
    isReplaying: { get: () => captures.isReplaying },
    dispose: { value: () => captures.dispose() },
  }) as Captured<Args, Result>; // with the properties just defined
}

/** Frees the traces of captures that are unreachable. */
const registry = new FinalizationRegistry<Set<Recording>>((recordings) => {
  for (const recording of recordings) recording.dispose();
});

/** Steps of one kind, and their traces. */
export class Captures {
  isReplaying = false;
  private readonly name: string;
  private readonly traces: Trace[] = [];
  /** Those of the traces, without what the traces name: that may lead here. */
  private readonly recordings = new Set<Recording>();
  private misses = 0;
  private resting = 0;
  private isDisposed = false;

  /** @param name the name of its steps in `explain` */
  constructor(name: string) {
    this.name = name;
    registry.register(this, this.recordings);
  }

  /** One step. */
  run<Result>(f: () => Result): Result {
    if (this.isDisposed) throw new Error("capture: this captured function is disposed, want a live one");
    if (isTracing()) return f();
    const obstacle = this.obstacle();
    if (obstacle) {
      this.isReplaying = false;
      tell({ name: this.name, isReplayed: false, reason: obstacle });
      return isRecording() ? f() : allOrNothing(f);
    }
    return allOrNothing(() => {
      const step: Step = { traces: this.traces, tracer: null };
      begin(step);
      try {
        const result = tidy(f);
        this.note(step.tracer?.finish());
        return result;
      } catch (error) {
        step.tracer?.abandon(error);
        throw error;
      } finally {
        leave(step.tracer);
      }
    });
  }

  /** Frees its traces. */
  dispose(): void {
    for (const trace of [...this.traces]) this.drop(trace);
    this.isDisposed = true;
  }

  private obstacle(): string {
    if (isRecording()) return "it is part of a function that is differentiated";
    if (isObserved()) return "its ops are observed";
    if (isAtomic()) return "it is part of a step that is all or nothing";
    if (this.resting > 0) {
      this.resting--;
      return `${PATIENCE} steps on end differed from all before`;
    }
    return "";
  }

  private note(outcome: Outcome | undefined): void {
    this.isReplaying = outcome?.isReplayed ?? false;
    if (!outcome) {
      tell({ name: this.name, isReplayed: false, reason: "its backend records no steps" });
      return;
    }
    const { trace, replaces, isReplayed, reason } = outcome;
    tell({ name: this.name, isReplayed, reason });
    this.misses = isReplayed ? 0 : this.misses + 1;
    if (this.misses > PATIENCE) {
      this.resting = REST;
      this.misses = 0;
    }
    if (replaces) this.drop(replaces);
    if (!trace) return;
    const at = this.traces.indexOf(trace);
    if (at >= 0) this.traces.splice(at, 1);
    this.traces.unshift(trace);
    this.recordings.add(trace.recording);
    if (this.traces.length > KEPT) this.drop(this.traces[KEPT]);
  }

  private drop(trace: Trace): void {
    const at = this.traces.indexOf(trace);
    if (at < 0) return;
    this.traces.splice(at, 1);
    this.recordings.delete(trace.recording);
    trace.recording.dispose();
  }
}

/**
 * Work that depends on nothing but what `what` returns. In a captured step, if that is the same as in an earlier step, `f` does not run: its
 * earlier result is used. Elsewhere `f` runs.
 * @param what called in captured steps alone
 * @param f returns tensors, plain values, and arrays and objects of them
 */
export function region<Result>(backend: Backend, what: () => Region, f: () => Result): Result {
  expectBackend("region", "backend", backend);
  expectFunction("region", "what", what);
  expectFunction("region", "f", f);
  const tracer = isRecording() ? null : tracerOn(backend);
  return tracer ? tracer.region(what(), f, tensorOf) : f();
}

// The notes of a captured step that differs from all earlier ones: calls to compare later steps with, and runs for the backend.

import type { StepStorages } from "./storages.ts";
import {
  type Call,
  type Entered,
  type Progress,
  progressAfter,
  type Ref,
  type RegionCall,
  type Run,
  type Trace,
} from "./trace.ts";

export class Notes {
  calls: Call[] = [];
  runs: Run[] = [];
  /** The runs that overwrite tensors. They come last, so that a step that fails before them has overwritten nothing. */
  late: readonly Run[] = [];
  private readonly storages: StepStorages;
  /** The storages that `late` overwrites. */
  private readonly stale = new Set<Ref>();

  constructor(storages: StepStorages) {
    this.storages = storages;
  }

  /** Adds a run, after those that overwrite its inputs. */
  append(run: Run): void {
    if (run.inputs.some(({ ref }) => this.stale.has(ref))) this.flushLate();
    this.runs.push(run);
  }

  /** Adds a run that overwrites its outputs. */
  appendLate(run: Run): void {
    this.late = [...this.late, run];
    for (const { ref } of run.outputs) this.stale.add(ref);
  }

  /** Moves the runs that overwrite tensors to the end of `runs`. */
  flushLate(): void {
    this.runs.push(...this.late);
    this.late = [];
    this.stale.clear();
  }

  push(call: DistributiveOmit<Exclude<Call, RegionCall>, keyof Progress>): void {
    this.calls.push({ ...call, ...this.progress() } as Call);
  }

  progress(): Progress {
    return { runs: this.runs.length, late: this.late, made: this.storages.made.length };
  }

  /**
   * Continues from a call of an earlier trace.
   * @param changes the runs whose numbers changed, and those of this step instead
   * @param entered what the regions depend on in this step, by the index of their call
   */
  restart(trace: Trace, at: number, changes: ReadonlyMap<Run, Run>, entered: ReadonlyMap<number, Entered>): void {
    const now = (run: Run) => changes.get(run) ?? run;
    const known = new Map<readonly Run[], readonly Run[]>(); // successive calls share one list
    const progressNow = ({ runs, late, made }: Progress): Progress => {
      const list = known.get(late) ?? late.map(now);
      known.set(late, list);
      return { runs, late: list, made };
    };
    const { runs, late, made } = progressNow(progressAfter(trace.calls, at));
    this.runs = trace.runs.slice(0, runs).map(now);
    this.late = late;
    this.stale.clear();
    for (const { outputs } of late) for (const { ref } of outputs) this.stale.add(ref);
    this.storages.made.length = made; // those without a tensor are nobody's
    // Calls hold their runs: later steps compare numbers with these, and restart from them.
    this.calls = trace.calls.slice(0, at).map((call, k): Call => {
      const progress = progressNow(call);
      if (call.kind !== "region") {
        return { ...call, ...progress, ...("run" in call && call.run ? { run: now(call.run) } : {}) } as Call;
      }
      const live = call.live.map((one) => ({ ...one, run: now(one.run) }));
      const end = call.end && { ...call.end, progress: progressNow(call.end.progress) };
      return { ...call, ...progress, ...entered.get(k), live, end };
    });
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

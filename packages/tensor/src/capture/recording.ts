// The end of a captured step on the backend: its runs are executed and recorded, or an earlier recording is replayed.

import { type Backend, type Buffer, type ChangedRun, OutOfMemoryError, type Recording } from "../backend.ts";
import type { Storage } from "../memory/memory.ts";
import { execute, type Storages } from "./execute.ts";
import type { Ref, Run, Trace } from "./trace.ts";

/** Executes runs, and records them. @param outputs the storages that outlive the step @throws OutOfMemoryError */
export function record(backend: Backend, runs: readonly Run[], storages: Storages, outputs: readonly Ref[]): Recording {
  const stop = backend.record?.();
  if (!stop) throw new Error(`capture: ${backend.name} cannot record`);
  try {
    execute(backend, runs, storages);
  } catch (error) {
    stop([], []).dispose();
    throw error;
  }
  const placeOf = (storage: Storage | undefined) => storage?.place as Buffer; // it has run
  return stop(
    outputs.map((ref) => placeOf(storages.made[ref])),
    storages.external.map(placeOf),
  );
}

/**
 * Replays the recording of a trace.
 * @param changes the runs whose numbers changed, and those of this step
 * @returns the obstacle; "" for none
 */
export function replay(
  backend: Backend,
  trace: Trace,
  { made, external }: Storages,
  changes: ReadonlyMap<Run, Run>,
): string {
  const outputs: Buffer[] = [];
  let isDone = false;
  try {
    const storages = trace.outputs.map((ref) => made[ref] as Storage); // held ones are there
    for (const { size, dtype } of storages) outputs.push(backend.allocate(size, dtype, "capture"));
    isDone = trace.recording.replay({
      inputs: external.map((storage) => storage.place as Buffer), // what was there before has its memory
      outputs,
      changes: changedRuns(trace, changes),
    });
    if (isDone) for (const [k, storage] of storages.entries()) storage.receive(outputs[k]);
    return isDone ? "" : "a number of it chooses another kernel";
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    return "its replay does not fit into the budget";
  } finally {
    if (!isDone) for (const buffer of outputs) backend.free(buffer);
  }
}

function changedRuns({ numbers }: Trace, changes: ReadonlyMap<Run, Run>): ChangedRun[] {
  const changed: ChangedRun[] = [];
  for (const [before, run] of changes) {
    const index = numbers.get(before);
    if (index !== undefined) changed.push({ index, run, isMoved: run.inputs !== before.inputs });
  }
  return changed;
}

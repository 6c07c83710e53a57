// A recorded step that is queued again: a flat list of pipelines, bind groups, offsets and workgroups over buffers for replays.

import type { Operand, RecordedRun, Recording, ReplayCall } from "../../../backend.ts";
import type { DType } from "../../../shape.ts";
import type { Counting } from "../counters.ts";
import { BindGroups } from "../kernels/bindGroups.ts";
import { writeField } from "../kernels/params.ts";
import type { Kernel } from "../kernels/pipelines.ts";
import type { Prepared, PreparedCall } from "../kernels/prepared.ts";
import type { GpuBuffer } from "../memory/pool.ts";
import { type Lifetime, planMemory } from "./plan.ts";
import type { Scratch } from "./scratch.ts";
import type { NotedPlace, Tape } from "./tape.ts";

/** What a replay uses of the backend. */
export interface Player {
  readonly device: GPUDevice;
  readonly scratch: Scratch;
  readonly counters: Counting;
  /** Counts how often kernels may have come to be chosen otherwise. */
  readonly choices: () => number;
  /** The kernel of a call, with parameters that bind groups find. */
  fixedKernelOf(op: string, call: PreparedCall): Kernel;
  /** Throws what the device reported. */
  check(): void;
  /** The calls of an op on operands. */
  callsOf(run: RecordedRun): Prepared;
  write(buffer: GpuBuffer, dtype: DType, data: ArrayLike<number>): void;
  /** The pass that is under way. What was queued before is in it. */
  pass(): GPUComputePassEncoder;
  /** Ends the pass. */
  commands(): GPUCommandEncoder;
  /** Hands what is queued to the device. @param ops the last ops in it */
  submit(ops: readonly string[]): void;
}

const SLOT = 256;
/** Parameters that are so many slots apart are written together with those between. */
const GAP = 16;
const [COPY_DST, UNIFORM] = [8, 0x40];
/** Dispatches in the first command buffer: the device starts on it while the rest is encoded. */
const FIRST_BATCH = 256;
/** The last dispatches of a command buffer, whose ops are named where the device gets stuck. */
const NAMED = 8;

/** A dispatch, where its buffers are taken. */
interface Entry {
  readonly op: string;
  readonly kernel: Kernel;
  /** Where its parameters lie in those that may change, in bytes; −1 if they lie elsewhere. */
  readonly slot: number;
  bindGroup: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** The list, where its buffers are taken. */
interface Placed {
  readonly list: readonly Entry[];
  /** The calls of the dispatches. Those of loads bring other constants from step to step. */
  readonly calls: PreparedCall[];
  /** The parameters that may change. */
  readonly params: GPUBuffer;
  readonly bytes: DataView<ArrayBuffer>;
  readonly block: Uint8Array<ArrayBuffer>;
  /** The dispatches whose parameters are not those of the recording. */
  readonly changed: Set<number>;
  readonly bindGroups: BindGroups;
  /** The number of each input, by the buffer that it was at first. */
  readonly inputOf: ReadonlyMap<GpuBuffer, number>;
  /** What is bound in place of each input. */
  readonly bound: GpuBuffer[];
  bufferOf(transient: number): GpuBuffer | undefined;
}

/** @param outputs what was allocated meanwhile and lives on; @param inputs what was there before */
export function recordingOf(
  tape: Tape,
  outputs: readonly GpuBuffer[],
  inputs: readonly GpuBuffer[],
  player: Player,
): Recording {
  const { device, scratch, counters, choices } = player;
  const kept = outputs.map((buffer) => tape.transientOf(buffer));
  const chosen = choices();
  const users = usersOf(tape, inputs);
  const uploads = [...tape.runs.keys()].filter((k) => tape.runs[k].upload !== null);
  let placed: Placed | null = null;
  const lose = () => {
    placed?.params.destroy();
    placed = null;
  };
  return {
    replay(call) {
      player.check();
      if (choices() !== chosen) return false;
      const changes = changesOf(tape, call, player);
      if (!changes) return false;
      const now = call.inputs as readonly GpuBuffer[]; // a backend sees no buffers but its own
      placed ??= place(tape, kept, { inputs, now }, player, lose);
      const { list, bufferOf } = placed;
      rebind(tape, placed, users, now);
      for (const k of uploads) {
        const { upload } = tape.runs[k];
        const target = upload && bufferOf(upload.transient);
        const data = changes.uploads.get(k) ?? upload?.data ?? [];
        if (upload && target && data.length > 0) player.write(target, upload.dtype, data);
      }
      writeChanges(tape, placed, changes.runs, device);
      queue(list, call, (k) => bufferOf(kept[k]), player);
      counters.dispatches += list.length;
      counters.replays++;
      return true;
    },
    dispose() {
      lose();
      scratch.release(lose);
    },
  };
}

/** A run whose parameters are written anew. */
interface Change {
  readonly run: RecordedRun;
  /** Its first dispatch. */
  readonly first: number;
  readonly calls: readonly PreparedCall[];
}

interface Changes {
  readonly runs: readonly Change[];
  /** The data of uploads, by the runs that they are. */
  readonly uploads: ReadonlyMap<number, ArrayLike<number>>;
}

/** What is written anew; null where another kernel would be chosen, or other workgroups. */
function changesOf(tape: Tape, { changes }: ReplayCall, player: Player): Changes | null {
  const runs: Change[] = [];
  const uploads = new Map<number, ArrayLike<number>>();
  for (const { index, run, isMoved } of changes) {
    const { first, calls: known, upload } = tape.runs[index];
    if (upload) {
      uploads.set(index, run.data ?? []);
      continue;
    }
    // Where operands lie as they did, the rules of numbers say all that has changed.
    const calls = isMoved ? player.callsOf(run).calls : known;
    if (calls.length !== known.length || !calls.every((call, at) => isSameWork(call, known[at]))) return null;
    runs.push({ run, first, calls });
  }
  return { runs, uploads };
}

function isSameWork(a: PreparedCall, b: PreparedCall): boolean {
  return a.kernel === b.kernel && a.workgroups[0] === b.workgroups[0] && a.workgroups[1] === b.workgroups[1];
}

/** Writes new parameters, and where there are none, those of the recording again. */
function writeChanges(tape: Tape, placed: Placed, changes: readonly Change[], device: GPUDevice): void {
  const { list, params, bytes, block, changed } = placed;
  const restored = new Set(changed);
  changed.clear();
  const written: number[] = [];
  for (const { run, first, calls } of changes) {
    for (const [at, call] of calls.entries()) {
      const dispatch = first + at;
      const { slot } = list[dispatch];
      restored.delete(dispatch);
      changed.add(dispatch);
      if (slot < 0) {
        callAgain(tape, placed, dispatch, call);
        continue;
      }
      const values = run.op?.perStep?.(run.attrs, run.inputs as readonly Operand[], at) ?? {}; // it reads no buffers
      if (placed.calls[dispatch] !== call) block.set(call.params, slot);
      placed.calls[dispatch] = call;
      for (const field of call.changing) writeField(bytes, slot, field, values[field.name]);
      written.push(slot);
    }
  }
  for (const dispatch of restored) {
    const { prepared, params: recorded } = tape.dispatches[dispatch];
    const { slot } = list[dispatch];
    if (slot < 0) {
      callAgain(tape, placed, dispatch, prepared);
      continue;
    }
    block.set(recorded, slot);
    placed.calls[dispatch] = prepared;
    written.push(slot);
  }
  written.sort((a, b) => a - b);
  for (let k = 0; k < written.length; ) {
    const from = written[k];
    while (k + 1 < written.length && written[k + 1] <= written[k] + GAP * SLOT) k++;
    const size = written[k++] + SLOT - from;
    device.queue.writeBuffer(params, from, bytes.buffer, from, size);
  }
}

/** Binds the constants of a call instead of those of the last replay. */
function callAgain(tape: Tape, placed: Placed, dispatch: number, call: PreparedCall): void {
  if (placed.calls[dispatch] === call) return;
  placed.calls[dispatch] = call;
  placed.list[dispatch].bindGroup = bindGroupOf(tape, placed, dispatch, placed.list[dispatch]);
}

/** The dispatches that bind each input. */
function usersOf({ dispatches }: Tape, inputs: readonly GpuBuffer[]): readonly (readonly number[])[] {
  const users = new Map<GpuBuffer, number[]>(inputs.map((buffer) => [buffer, []]));
  for (const [k, { places }] of dispatches.entries()) {
    for (const { buffer, transient } of places) if (transient < 0) users.get(buffer)?.push(k);
  }
  return inputs.map((buffer) => users.get(buffer) ?? []);
}

/** Binds inputs that lie elsewhere than before. */
function rebind(tape: Tape, placed: Placed, users: readonly (readonly number[])[], inputs: readonly GpuBuffer[]): void {
  const { list, bound } = placed;
  const moved = new Set<number>();
  for (let k = 0; k < inputs.length; k++) {
    if (inputs[k] === bound[k]) continue;
    bound[k] = inputs[k];
    for (const dispatch of users[k]) moved.add(dispatch);
  }
  for (const dispatch of moved) list[dispatch].bindGroup = bindGroupOf(tape, placed, dispatch, list[dispatch]);
}

function bindGroupOf(
  tape: Tape,
  placed: Pick<Placed, "calls" | "params" | "bindGroups" | "inputOf" | "bound" | "bufferOf">,
  dispatch: number,
  { kernel, slot }: Pick<Entry, "kernel" | "slot">,
): GPUBindGroup {
  const { calls, params, bindGroups, inputOf, bound, bufferOf } = placed;
  const { op, places } = tape.dispatches[dispatch];
  const given = slot < 0 ? calls[dispatch].constants : { id: -1 - slot, buffer: params, offset: slot };
  const moved = places.map(({ buffer, base, transient }: NotedPlace) => {
    const input = transient < 0 ? inputOf.get(buffer) : undefined;
    return { buffer: (input === undefined ? bufferOf(transient) : bound[input]) ?? buffer, base };
  });
  return bindGroups.get(op, kernel.bindings, given, moved);
}

function queue(
  list: readonly Entry[],
  { outputs }: ReplayCall,
  sourceOf: (output: number) => GpuBuffer | undefined,
  player: Player,
): void {
  let from = 0;
  do {
    const pass = player.pass();
    const to = from === 0 ? Math.min(FIRST_BATCH, list.length) : list.length;
    let current: GPUComputePipeline | null = null;
    for (; from < to; from++) {
      const {
        kernel: { pipeline },
        bindGroup,
        x,
        y,
      } = list[from];
      if (pipeline !== current) pass.setPipeline(pipeline);
      current = pipeline;
      pass.setBindGroup(0, bindGroup);
      if (y === 1) pass.dispatchWorkgroups(x);
      else pass.dispatchWorkgroups(x, y);
    }
    if (from === list.length) {
      for (const [k, result] of outputs.entries()) {
        const source = sourceOf(k);
        const { gpu, bytes: size } = result as GpuBuffer; // a backend sees no buffers but its own
        if (source && size > 0) player.commands().copyBufferToBuffer(source.gpu, 0, gpu, 0, size);
      }
    }
    player.submit(list.slice(Math.max(0, to - NAMED), to).map(({ op }) => op));
  } while (from < list.length);
}

/** @throws OutOfMemoryError */
function place(
  tape: Tape,
  outputs: readonly number[],
  { inputs, now }: { readonly inputs: readonly GpuBuffer[]; readonly now: readonly GpuBuffer[] },
  player: Player,
  lose: () => void,
): Placed {
  const { device, counters } = player;
  const bufferOf = transientsOf(tape, outputs, player.scratch, lose);
  const changing = tape.dispatches.filter(({ prepared }) => prepared.kernel.isDynamic).length;
  const params = device.createBuffer({
    label: "capture",
    size: Math.max(1, changing) * SLOT,
    usage: UNIFORM | COPY_DST,
  });
  counters.buffers++;
  const bytes = new DataView(new ArrayBuffer(params.size));
  const block = new Uint8Array(bytes.buffer);
  const bindGroups = new BindGroups(device, counters);
  const bound = [...now];
  const inputOf = new Map(inputs.map((buffer, k) => [buffer, k]));
  const calls = tape.dispatches.map(({ prepared }) => prepared);
  const binding = { calls, params, bindGroups, inputOf, bound, bufferOf };
  let used = 0;
  const list = tape.dispatches.map(({ op, prepared, params: given }, k): Entry => {
    const [x, y] = prepared.workgroups;
    let [kernel, slot] = [prepared.kernel, -1];
    if (kernel.isDynamic) {
      kernel = player.fixedKernelOf(op, prepared); // here each dispatch has a place for its parameters
      slot = SLOT * used++;
      block.set(given, slot);
    }
    return { op, kernel, slot, bindGroup: bindGroupOf(tape, binding, k, { kernel, slot }), x, y };
  });
  device.queue.writeBuffer(params, 0, bytes.buffer);
  return { list, bytes, block, changed: new Set(), ...binding };
}

/** Finds the buffers of a tape's transients. */
function transientsOf(tape: Tape, outputs: readonly number[], scratch: Scratch, lose: () => void): Placed["bufferOf"] {
  const lifetimes = tape.transients.map(({ capacity: size, first, last }): Lifetime => ({ size, first, last }));
  // The host writes before the first command, and results are copied after the last.
  for (const { upload } of tape.runs) {
    if (upload && upload.transient >= 0) lifetimes[upload.transient] = { ...lifetimes[upload.transient], first: -1 };
  }
  for (const k of outputs) if (k >= 0) lifetimes[k] = { ...lifetimes[k], last: tape.dispatches.length };
  const used = lifetimes.map((_, k) => k).filter((k) => lifetimes[k].last >= 0);
  const { sizes, places } = planMemory(used.map((k) => lifetimes[k]));
  const buffers = scratch.take(sizes, lose);
  const byTransient = new Map(used.map((k, i) => [k, buffers[places[i]]]));
  return (transient) => byTransient.get(transient);
}

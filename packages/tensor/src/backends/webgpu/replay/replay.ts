// A recorded step ready to be queued again: a flat list of pipelines, bind groups, offsets and workgroups over buffers for replays.

import type { Replay } from "../../../backend.ts";
import type { DType } from "../../../shape.ts";
import type { Counting } from "../counters.ts";
import { BindGroups } from "../kernels/bindGroups.ts";
import { type Field, writeField, writeParams } from "../kernels/params.ts";
import type { GpuBuffer } from "../memory/pool.ts";
import type { KernelCall } from "../rule.ts";
import { type Lifetime, planMemory } from "./plan.ts";
import type { Scratch } from "./scratch.ts";
import type { Noted, Tape } from "./tape.ts";

/** What a replay uses of the backend. */
export interface Player {
  readonly device: GPUDevice;
  readonly scratch: Scratch;
  readonly counters: Counting;
  /** Throws what the device reported, and hands over what is queued. */
  prepare(): void;
  write(buffer: GpuBuffer, dtype: DType, data: ArrayLike<number>): void;
  /** Hands commands to the device. @param ops the last ops in them */
  submit(commands: GPUCommandBuffer, ops: readonly string[]): void;
}

/** A dispatch whose parameters follow, some of them, from attributes computed anew. */
interface LiveParams {
  /** In bytes. */
  readonly at: number;
  readonly fields: readonly Field[];
  values(): NonNullable<KernelCall["params"]>;
}

const SLOT = 256;
const [COPY_DST, UNIFORM] = [8, 0x40];
/** Dispatches in a command buffer: the device starts on the first while the next is encoded. */
const BATCH = 256;
/** The last dispatches of a command buffer, whose ops are named where the device gets stuck. */
const NAMED = 8;

/** The list, where its buffers are taken. */
interface Placed {
  readonly list: readonly {
    readonly op: string;
    readonly pipeline: GPUComputePipeline;
    readonly bindGroup: GPUBindGroup;
    readonly offsets: readonly number[];
    readonly x: number;
    readonly y: number;
  }[];
  readonly params: GPUBuffer;
  readonly bytes: DataView<ArrayBuffer>;
  /** How many of the bytes, from the first on, are written anew at each replay. */
  readonly liveBytes: number;
  readonly changing: readonly LiveParams[];
  bufferOf(transient: number): GpuBuffer | undefined;
}

/** @param outputs the transients that are copied out */
export function replayOf(tape: Tape, outputs: readonly number[], player: Player): Replay {
  const { device, scratch, counters } = player;
  let placed: Placed | null = null;
  const lose = () => {
    placed?.params.destroy();
    placed = null;
  };
  return {
    run(results, uploads) {
      player.prepare();
      placed ??= place(tape, outputs, player, lose);
      const { list, params, bytes, liveBytes, changing, bufferOf } = placed;
      for (const [k, data] of uploads().entries()) {
        const target = bufferOf(tape.uploads[k].transient);
        if (target && data.length > 0) player.write(target, tape.uploads[k].dtype, data);
      }
      for (const { at, fields, values } of changing) {
        const now = values();
        for (const field of fields) writeField(bytes, at, field, now[field.name]);
      }
      if (liveBytes > 0) device.queue.writeBuffer(params, 0, bytes.buffer, 0, liveBytes);

      let from = 0;
      do {
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        const to = Math.min(from + BATCH, list.length);
        let current: GPUComputePipeline | null = null;
        for (; from < to; from++) {
          const { pipeline, bindGroup, offsets, x, y } = list[from];
          if (pipeline !== current) pass.setPipeline(pipeline);
          current = pipeline;
          pass.setBindGroup(0, bindGroup, offsets);
          pass.dispatchWorkgroups(x, y);
        }
        pass.end();
        if (from === list.length) {
          for (const [k, result] of results.entries()) {
            const source = bufferOf(outputs[k]);
            const { gpu, bytes: size } = result as GpuBuffer; // a backend sees no buffers but its own
            if (source && size > 0) encoder.copyBufferToBuffer(source.gpu, 0, gpu, 0, size);
          }
        }
        const ops = list.slice(Math.max(0, to - NAMED), to).map(({ op }) => op);
        player.submit(encoder.finish(), ops);
      } while (from < list.length);
      counters.dispatches += list.length;
      counters.replays++;
    },
    dispose() {
      lose();
      scratch.release(lose);
    },
  };
}

/** @throws OutOfMemoryError */
function place(tape: Tape, outputs: readonly number[], player: Player, lose: () => void): Placed {
  const { device, counters } = player;
  const bufferOf = transientsOf(tape, outputs, player.scratch, lose);
  // Slots of parameters that change come first, to be written in one go.
  const isLive = ({ live }: Noted) => live !== null;
  const order = tape.dispatches.map((_, k) => k);
  const slots = new Array<number>(order.length);
  const sorted = [
    ...order.filter((k) => isLive(tape.dispatches[k])),
    ...order.filter((k) => !isLive(tape.dispatches[k])),
  ];
  for (const [slot, k] of sorted.entries()) slots[k] = slot * SLOT;
  const liveBytes = tape.dispatches.filter(isLive).length * SLOT;

  const params = device.createBuffer({
    label: "capture",
    size: Math.max(SLOT, order.length * SLOT),
    usage: UNIFORM | COPY_DST,
  });
  counters.buffers++;
  const bytes = new DataView(new ArrayBuffer(params.size));
  const bindGroups = new BindGroups(device, params, counters);
  const list = tape.dispatches.map(({ op, kernel, params: given, places, workgroups: [x, y] }, k) => {
    if (kernel.params) writeParams(bytes, slots[k], kernel.params, given);
    const moved = places.map(({ buffer, base, transient }) => ({ buffer: bufferOf(transient) ?? buffer, base }));
    return {
      op: op.name,
      pipeline: kernel.pipeline,
      bindGroup: bindGroups.get(op.name, kernel.bindings, moved),
      offsets: kernel.params ? [slots[k]] : [],
      x,
      y,
    };
  });
  device.queue.writeBuffer(params, 0, bytes.buffer);
  const changing = liveParams(tape, slots);
  return { list, params, bytes, liveBytes, changing, bufferOf };
}

/** Finds the buffers of a tape's transients. */
function transientsOf(tape: Tape, outputs: readonly number[], scratch: Scratch, lose: () => void): Placed["bufferOf"] {
  const lifetimes = tape.transients.map(({ capacity: size, first, last }): Lifetime => ({ size, first, last }));
  // The host writes before the first command, and results are copied after the last.
  for (const { transient: k } of tape.uploads) lifetimes[k] = { ...lifetimes[k], first: -1 };
  for (const k of outputs) if (k >= 0) lifetimes[k] = { ...lifetimes[k], last: tape.dispatches.length };
  const used = lifetimes.map((_, k) => k).filter((k) => lifetimes[k].last >= 0);
  const { sizes, places } = planMemory(used.map((k) => lifetimes[k]));
  const buffers = scratch.take(sizes, lose);
  const byTransient = new Map(used.map((k, i) => [k, buffers[places[i]]]));
  return (transient) => byTransient.get(transient);
}

function liveParams({ dispatches }: Tape, slots: readonly number[]): LiveParams[] {
  return dispatches.flatMap(({ op, live, changing: fields }, k) => {
    if (!live) return [];
    const values = () => op.perStep?.(live.attrs, live.inputs, live.call) ?? {};
    return [{ at: slots[k], fields, values }];
  });
}

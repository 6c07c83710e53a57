// Executes runs one by one on a backend. Storage is allocated before its first use and freed after its last.

import type { Backend, Buffer, Operand } from "../backend.ts";
import type { Storage } from "../memory/memory.ts";
import { type DType, type Shape, sizeOf } from "../shape.ts";
import type { Ref, Run, RunOperand } from "./trace.ts";

/** The storages of a step, by number. */
export interface Storages {
  /** The storages made in the step that a tensor had. Those that are missing belong to the runs alone. */
  readonly made: readonly (Storage | undefined)[];
  /** The storages from before the step. */
  readonly external: readonly Storage[];
}

/** Executes runs, and hands the buffers that tensors still hold to their storages. @throws OutOfMemoryError, with everything freed */
export function execute(backend: Backend, runs: readonly Run[], { made, external }: Storages): void {
  const lastUse = new Map<Ref, number>();
  for (const [k, { inputs, outputs }] of runs.entries()) {
    for (const { ref } of inputs) lastUse.set(ref, k);
    for (const { ref } of outputs) lastUse.set(ref, k);
  }
  const buffers = new Map<Ref, Buffer>();
  const bufferOf = (ref: Ref, shape: Shape, dtype: DType, label: string): Buffer => {
    const known = ref < 0 ? external[-1 - ref].place : buffers.get(ref);
    if (known) return known;
    const size = made[ref]?.size ?? sizeOf(shape);
    const buffer = backend.allocate(size, dtype, label);
    buffers.set(ref, buffer);
    return buffer;
  };
  const on =
    (label: string) =>
    (operand: RunOperand): Operand => {
      const { ref, shape, strides, offset, dtype, base } = operand;
      return { shape, strides, offset, dtype, base, buffer: bufferOf(ref, shape, dtype, label) };
    };
  const isHeld = (ref: Ref) => made[ref]?.isHeld ?? false;
  try {
    for (const [k, { op, attrs, inputs, outputs, data }] of runs.entries()) {
      const at = on(op?.name ?? "tensor");
      if (op) backend.run(op, outputs.map(at), inputs.map(at), attrs);
      else backend.upload(at(outputs[0]).buffer, outputs[0].dtype, data ?? []);
      for (const { ref } of [...inputs, ...outputs]) {
        const buffer = buffers.get(ref);
        if (!buffer || lastUse.get(ref) !== k || isHeld(ref)) continue;
        buffers.delete(ref);
        backend.free(buffer);
      }
    }
    // Storages without elements are never written.
    for (const [ref, storage] of made.entries())
      if (storage?.isHeld) bufferOf(ref, [storage.size], storage.dtype, "tensor");
  } catch (error) {
    for (const buffer of buffers.values()) backend.free(buffer);
    throw error;
  }
  for (const [ref, buffer] of buffers) made[ref]?.receive(buffer);
}

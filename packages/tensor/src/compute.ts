// Running an op on elements in storage: copies of what its rules do not take, views, storage for results. Knows no tensor and no graph.

import type { Backend, Operand } from "./backend.ts";
import { snapshotOf } from "./capture/snapshots.ts";
import { tracerOn } from "./capture/step.ts";
import type { Bound } from "./capture/tracer.ts";
import { isAtomic, postpone } from "./memory/atomic.ts";
import { isFree, Storage } from "./memory/memory.ts";
import type { Op } from "./op.ts";
import * as ops from "./ops/layout/copy.ts";
import { contiguousLayout, type DType, formatShape, type Layout, type Spec, sizeOf } from "./shape.ts";
import { checkTypes } from "./signature.ts";

/** Elements: storage, of which this is an owner, and how it is read. A tensor is one. */
export interface Elements {
  readonly storage: Storage;
  readonly layout: Layout;
  readonly dtype: DType;
}

/** What an op makes of inputs on a backend. @throws Error for types that it does not take; what its `infer` throws; OutOfMemoryError */
export function compute<Attrs>(
  op: Op<Attrs>,
  inputs: readonly Elements[],
  attrs: Attrs,
  backend: Backend,
): readonly Elements[] {
  const tracer = tracerOn(backend);
  if (!tracer) return computed(op, inputs, attrs, backend);
  return tracer.compute(op, inputs, attrs, (given) => computed(op, given, attrs, backend));
}

function computed<Attrs>(
  op: Op<Attrs>,
  inputs: readonly Elements[],
  attrs: Attrs,
  backend: Backend,
): readonly Elements[] {
  checkTypes(op, inputs);
  if (op.view) return [reread(op, inputs[0], attrs)];
  const specs = op.infer(
    inputs.map(({ layout: { shape }, dtype }) => ({ shape, dtype })),
    attrs,
  );
  const copies: Elements[] = [];
  const outputs: Elements[] = [];
  try {
    const operands = inputs.map((input, i): Bound => {
      const { storage, layout, dtype } = input; // a tensor may lose its storage until the op runs
      const base = backend.baseOf(op, layout, i, attrs);
      if (base !== null) return { elements: { storage, layout, dtype }, base };
      const copy = copyOf(input);
      copies.push(copy);
      return { elements: copy, base: 0 };
    });
    for (const [k, spec] of specs.entries()) {
      const taken = op.inPlace?.[k];
      outputs.push(taken === undefined ? blank(backend, spec, op.name) : takeOver(inputs[taken]));
    }
    if (specs.every(({ shape }) => sizeOf(shape) === 0)) return outputs;
    const tracer = tracerOn(backend);
    const run = (given: Attrs) => backend.run(op, outputs.map(operandOf), operands.map(operandAt), given);
    if (tracer) tracer.run(op, outputs, operands, attrs);
    else if (op.inPlace && isAtomic()) {
      const then = snapshotOf(attrs);
      overwriteLater(() => run(then), operands, outputs);
    } else run(attrs);
    return outputs;
  } catch (error) {
    for (const { storage } of outputs) storage.release();
    throw error;
  } finally {
    for (const { storage } of copies) storage.release();
  }
}

/** Row-major elements that are still to be written. @throws OutOfMemoryError */
export function blank(backend: Backend, { shape, dtype }: Spec, label: string): Elements {
  const tracer = tracerOn(backend);
  if (tracer) return tracer.blank({ shape, dtype }, label);
  return { storage: new Storage(backend, sizeOf(shape), dtype, label), layout: contiguousLayout(shape), dtype };
}

/** The same elements, row-major, in storage of their own. */
export function copyOf(elements: Elements): Elements {
  return compute(ops.copy, [elements], undefined, elements.storage.backend)[0];
}

/** Runs an op that overwrites elements at the end of the step; until then those who hold them find them as they were. */
function overwriteLater(run: () => void, operands: readonly Bound[], outputs: readonly Elements[]): void {
  const overwritten = outputs.map(({ storage }) => storage);
  const all = [...operands.map(({ elements }) => elements.storage), ...overwritten];
  for (const storage of all) storage.pin();
  for (const storage of overwritten) storage.isStale = true;
  postpone({
    begin() {
      for (const storage of overwritten) storage.isStale = false;
    },
    run,
    end() {
      for (const storage of all) storage.unpin();
    },
  });
}

/** Elements as an output that an op may overwrite: they themselves, or a copy when somebody else holds them too. */
function takeOver(input: Elements): Elements {
  const { storage, layout, dtype } = input;
  return isFree(input) ? { storage: storage.retain(), layout, dtype } : copyOf(input);
}

/** The result of a view op: the input's storage with another layout; copied first where strides cannot say it. */
function reread<Attrs>(op: Op<Attrs>, { storage, layout, dtype }: Elements, attrs: Attrs): Elements {
  op.infer([{ shape: layout.shape, dtype }], attrs);
  const viewed = op.view?.(layout, attrs);
  if (viewed) return { storage: storage.retain(), layout: viewed, dtype };
  const copy = copyOf({ storage, layout, dtype });
  const ofCopy = op.view?.(copy.layout, attrs);
  if (!ofCopy) {
    copy.storage.release();
    throw new Error(`${op.name}: no view of row-major ${formatShape(layout.shape)}, want its rule to find one`);
  }
  return { ...copy, layout: ofCopy };
}

function operandOf({ storage, layout, dtype }: Elements): Operand {
  const { shape, strides, offset } = layout;
  return { shape, strides, offset, dtype, buffer: storage.buffer, base: 0 };
}

function operandAt({ elements: { storage, layout, dtype }, base }: Bound): Operand {
  const { shape, strides, offset } = layout;
  return { shape, strides, offset: offset - base, dtype, buffer: storage.buffer, base };
}

// Attention by whole matrices of scores, some samples at a time, so that the scores fit the caches. Both backends use it.

import type { Temporary, View } from "../../op.ts";
import { contiguousLayout, sizeOf } from "../../shape.ts";

/** Scores worked on at once, whatever the batch: 4 MiB, which stay in a processor's caches. */
const MOST_SCORES = 2 ** 20;

interface Operands {
  readonly inputs: readonly View[];
  readonly outputs: readonly View[];
  temporary(size: number): Temporary;
}

/** The calls for all samples, in runs of samples that use the same scratch one after another. */
export function inRuns<Given extends Operands, Call>(
  operands: Given,
  [q, k]: readonly [View, View],
  calls: (operands: Given) => readonly Call[],
): Call[] {
  const { inputs, outputs, temporary } = operands;
  const leading = q.shape.length - 2;
  const scores = ([{ shape }]: readonly View[]) =>
    sizeOf(shape.slice(0, leading)) * q.shape[leading] * k.shape[leading];
  const runs = (views: readonly View[]): (readonly View[])[] => {
    const axis = views[0].shape.findIndex((n, at) => at < leading && n > 1);
    if (axis === -1 || scores(views) <= MOST_SCORES) return [views];
    const count = views[0].shape[axis];
    const each = Math.max(1, Math.floor((count * MOST_SCORES) / scores(views)));
    const parts = Array.from({ length: Math.ceil(count / each) }, (_, part) =>
      views.map((view) => narrowed(view, axis, part * each, Math.min(count, (part + 1) * each))),
    );
    return parts.flatMap(runs);
  };
  const scratch: Temporary[] = [];
  return runs([...inputs, ...outputs]).flatMap((views) => {
    let used = 0;
    const again = (size: number): Temporary => {
      const known = scratch[used];
      if (!known || known.size < size) scratch[used] = temporary(size);
      return scratch[used++];
    };
    return calls({
      ...operands,
      inputs: views.slice(0, inputs.length),
      outputs: views.slice(inputs.length),
      temporary: again,
    });
  });
}

function narrowed(view: View, axis: number, from: number, to: number): View {
  const shape = view.shape.with(axis, to - from);
  return { ...view, shape, offset: view.offset + from * view.strides[axis] };
}

/** Scratch for one number per query and key: [..., queries, keys]. */
export function scoresOf(q: View, k: View, temporary: Operands["temporary"]): View & Temporary {
  const shape = [...q.shape.slice(0, -1), k.shape[k.shape.length - 2]];
  return { ...temporary(sizeOf(shape)), ...contiguousLayout(shape), dtype: "float32" };
}

// checkpoint: functions whose intermediate values are recomputed in the backward pass instead of kept.

import { expectFunction } from "../argument.ts";
import { notingKept, tensorsIn, tidy } from "../memory/memory.ts";
import { asRead, type Reads, watching } from "../memory/reads.ts";
import { formatShape, type Spec, sameShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  isRecording,
  isSketching,
  isTracked,
  nextOrder,
  recordLost,
  recordRecomputed,
  releaseAlias,
  renumbered,
  sketched,
} from "./graph.ts";

/**
 * The same function, which keeps no intermediate value for its derivative: the backward pass runs `f` again when it gets there (Chen et
 * al. 2016, arXiv:1604.06174). Time is traded for memory. Gradients have the bits that they have without it, to any order. In a function
 * whose gradient is differentiated again the recomputed values are kept from then on.
 *
 * What `f` takes or closes over, parameters above all, gets its gradient. When `f` runs again the tensors that it read are what they
 * were, also if they were disposed of or assigned to since. Random streams give the same draws again, such as dropout masks, and stand
 * afterwards where they stood. Everything else that `f` uses should be the same. Tensors made in `f` are freed at its end, except those in its
 * result and those that it keeps (`keep`), which cannot be differentiated through outside of it.
 * @param f takes anything; returns tensors, also in lists and objects. It runs once more per backward pass; in a captured step not
 * if the step before it did the same
 * @throws Error from calls when `f` is async, or disposes of or assigns to a tensor that it did not make; from the backward pass when it
 * does other work than before, and when it meets a tensor that `f` kept and that is not in the result
 * @example
 * ```ts
 * import { checkpoint, cpu, grad, type Tensor, tensor } from "@pkg/tensor";
 *
 * const w = tensor([2, 3], { backend: cpu() });
 * const block = checkpoint((x: Tensor) => x.mul(w).exp().sin()); // keeps x and w, and neither product nor exponential
 * const [gx, gw] = grad(() => block(block(w)).sum(), [w, w]);
 * console.log(gx.shape, gw.shape); // [2] [2]
 * ```
 */
export function checkpoint<Args extends readonly unknown[], Result>(
  f: (...args: Args) => Result,
): (...args: Args) => Result {
  expectFunction("checkpoint", "f", f);
  return (...args) => {
    const call = () =>
      tidy(() => {
        const result = f(...args);
        if (result instanceof Promise) throw new Error("checkpoint: f is async, want one that returns its tensors");
        return result;
      });
    return isRecording() ? watching((reads) => recomputable(call, reads)) : call();
  };
}

function recomputable<Result>(call: () => Result, reads: Reads): Result {
  let isKept = false;
  try {
    const { result: sketch, kept } = notingKept(() => sketched(call));
    const { result, depends, first } = sketch;
    const end = nextOrder();
    for (const tensor of reads.tensors.keys()) {
      if (tensor.disposed) {
        throw new Error(`checkpoint: f disposed of ${tensor}, which it did not make, want it left to the caller`);
      }
    }
    const all = [...tensorsIn(result)];
    const outputs = all.filter(depends);
    const lost = [...kept].filter((tensor) => !tensor.disposed && !all.includes(tensor) && depends(tensor));
    if (lost.length > 0) {
      const why = `checkpoint: f kept ${lost[0]}, which is not in its result, want it there, or detached`;
      recordLost(why, hollow(inputsOf(reads)), hollow(lost));
    }
    if (outputs.length === 0 || isSketching()) {
      if (outputs.length > 0)
        recordRecomputed({ constants: [], deeds: [], run: unsaved }, hollow(inputsOf(reads)), hollow(outputs));
      return result;
    }
    const specs = all.map(({ dtype, shape }): Spec => ({ dtype, shape }));
    const places = outputs.map((output) => all.indexOf(output));
    const run = (): Tensor[] => {
      const { result: again, isSame } = renumbered({ first, end }, () => asRead(reads, call));
      const found = [...tensorsIn(again)];
      checkSame(specs, found, isSame);
      return places.map((place) => found[place]);
    };
    const aliases = [...reads.tensors.values()];
    const inputs = inputsOf(reads);
    const constants = aliases.filter((alias) => !inputs.includes(alias));
    recordRecomputed({ constants, deeds: reads.deeds, run }, inputs, hollow(outputs));
    isKept = true;
    return result;
  } finally {
    if (!isKept) for (const alias of reads.tensors.values()) releaseAlias(alias);
  }
}

/** The tensors that were read and that something may be differentiated by, each value once. */
function inputsOf({ tensors }: Reads): Tensor[] {
  const known = new Set<unknown>();
  return [...tensors.values()].filter((alias) => {
    const isFirst = !known.has(alias.origin);
    known.add(alias.origin);
    return isFirst && isTracked(alias);
  });
}

function hollow(tensors: readonly Tensor[]): Tensor[] {
  return tensors.map((tensor) => tensor.alias(true));
}

/** The run of a sketch's node, which nobody walks. */
function unsaved(): never {
  throw new Error("checkpoint: a sketch was walked");
}

function checkSame(before: readonly Spec[], now: readonly Spec[], isSame: boolean): void {
  const show = (tensors: readonly Spec[]) =>
    tensors.map(({ dtype, shape }) => `${dtype} ${formatShape(shape)}`).join(", ") || "no tensors";
  const isAlike =
    now.length === before.length &&
    now.every(({ dtype, shape }, k) => dtype === before[k].dtype && sameShape(shape, before[k].shape));
  if (isAlike && isSame) return;
  const what = isAlike ? "ran other ops" : `gave ${show(now)}`;
  const wanted = isAlike ? "the same ops" : show(before);
  throw new Error(`checkpoint: f ${what} when it ran again, want ${wanted} as at first`);
}

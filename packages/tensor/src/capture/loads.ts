// Parts of larger storages that a captured step reads. Each is copied, so that a replay may read another part.

import type { Elements } from "../compute.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/layout/copy.ts";
import { isContiguous, sameShape, sizeOf } from "../shape.ts";
import type { Following } from "./following.ts";
import type { Notes } from "./notes.ts";
import type { StepStorages } from "./storages.ts";
import { type LoadCall, type Run, sameLayout, sameStrides } from "./trace.ts";

export class Loads {
  private readonly storages: StepStorages;
  private readonly notes: Notes;
  private readonly following: Following;

  constructor(storages: StepStorages, notes: Notes, following: Following) {
    this.storages = storages;
    this.notes = notes;
    this.following = following;
  }

  /** A copy of a contiguous part of a larger external storage; other elements unchanged. */
  wholeOf(input: Elements): Elements {
    const { storage, layout } = input;
    if (!this.storages.isExternal(storage) || !isContiguous(layout) || sizeOf(layout.shape) === storage.size)
      return input;
    const parts = this.storages.partsOf(storage);
    const known = parts.find(({ from }) => sameLayout(from, layout));
    if (known) return known.elements;
    const elements = this.load(input);
    elements.storage.release(); // no tensor holds it: views of it do
    parts.push({ from: layout, elements });
    return elements;
  }

  private load(input: Elements): Elements {
    const { layout, dtype } = input;
    const { ref } = this.storages.pieceOf(input);
    const call = this.following.expected(
      (next) =>
        next.kind === "load" &&
        next.input.ref === ref &&
        next.input.dtype === dtype &&
        sameShape(next.input.layout.shape, layout.shape) &&
        sameStrides(next.input.layout, layout),
    );
    return call?.kind === "load" ? this.loadAgain(call, layout.offset) : this.copied(input);
  }

  private loadAgain({ run, output }: LoadCall, offset: number): Elements {
    const [operand] = run.inputs;
    if (operand.offset !== offset) this.following.changes.set(run, { ...run, inputs: [{ ...operand, offset }] });
    return this.storages.take(output, []);
  }

  private copied(input: Elements): Elements {
    const { storages, notes } = this;
    const elements = storages.blank({ shape: input.layout.shape, dtype: input.dtype }, "capture");
    const run: Run = {
      op: ops.copy as unknown as Op<unknown>,
      attrs: undefined,
      inputs: [storages.operandOf(input, 0)],
      outputs: [storages.operandOf(elements, 0)],
    };
    notes.append(run);
    notes.push({ kind: "load", input: storages.pieceOf(input), output: storages.producedOf(elements, []), run });
    return elements;
  }
}

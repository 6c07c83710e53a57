// dropout: elements of a tensor set to zero at random. The mask is made again from the draw wherever it is needed.

import { defineOp, float32, type Op } from "../../op.ts";
import { trialBound, trials } from "../../random/distributions.ts";
import type { Draw } from "../../random/philox.ts";
import { sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { dropoutWasm } from "./wasm.ts";
import { dropoutParams, dropoutWebgpu } from "./webgpu.ts";

export interface DropoutAttrs extends Draw {
  /** The probability of zero, in [0, 1). */
  readonly rate: number;
}

const DRAW: Draw = { key: [0xa4093822, 0x299f31d0], index: 3 };

/** x / (1 − rate), or 0 with probability `rate` (to within 2⁻²⁴): of mean x. */
export const dropout: Op<DropoutAttrs> = defineOp<DropoutAttrs>({
  name: "dropout",
  infer([x], { rate }) {
    if (!(rate >= 0 && rate < 1)) throw new Error(`dropout: rate ${rate}, want it in [0, 1)`);
    return [float32(x.shape)];
  },
  cpu([out], [x], attrs) {
    const dropped = trials({ ...attrs, bound: trialBound(attrs.rate) }, sizeOf(x.shape));
    const scale = Math.fround(1 / (1 - attrs.rate));
    const read = elementReader(x);
    for (const [i, drop] of dropped.entries()) out.data[out.offset + i] = drop ? 0 : scale * read(i);
  },
  webgpu: dropoutWebgpu,
  perStep: dropoutParams,
  wasm: dropoutWasm,
  vjp: ([g], _, __, attrs) => g.apply(dropout, [g], attrs),
  saves: {},
  cheap: true,
  tolerance: { ulp: 1 },
  cases: [
    { inputs: [[3, 5, 7]], attrs: { ...DRAW, rate: 0.1 } },
    { inputs: [[]], attrs: { ...DRAW, rate: 0 } },
    { inputs: [[64, 33]], attrs: { ...DRAW, rate: 0.5 } },
    { inputs: [[0, 3]], attrs: { ...DRAW, rate: 0.5 } },
  ],
  errors: [{ inputs: [[2]], attrs: { ...DRAW, rate: 1 }, error: "dropout: rate 1, want it in [0, 1)" }],
});

// One step of an exponential moving average, in place.

import { wrongArgument } from "../../argument.ts";
import { defineOp, float32, run } from "../../op.ts";
import { formatShape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { emaWasm } from "./wasm.ts";
import { emaWebgpu } from "./webgpu.ts";

/** The attributes of `emaStep`. */
export interface EmaAttrs {
  /** The weight of the new value, in [0, 1]. */
  readonly weight: number;
}

/** average + weight · (value − average). Not differentiable; see `Tensor.lerp` for a blend that is. */
export const ema = defineOp<EmaAttrs>({
  name: "ema",
  infer([average, value], attrs) {
    const weight = (attrs as EmaAttrs | undefined)?.weight;
    if (typeof weight !== "number") throw wrongArgument("ema", "weight", weight, "a number in [0, 1]");
    if (!sameShape(average.shape, value.shape)) {
      throw new ShapeError(`ema: ${formatShape(average.shape)} and ${formatShape(value.shape)}, want equal shapes`);
    }
    return [float32(average.shape)];
  },
  inPlace: [0],
  cpu([out], [, value], { weight }) {
    const read = elementReader(value);
    for (let i = 0; i < sizeOf(out.shape); i++) {
      const at = out.offset + i;
      out.data[at] += weight * (read(i) - out.data[at]);
    }
  },
  webgpu: emaWebgpu,
  perStep: ({ weight }) => ({ weight }),
  wasm: emaWasm,
  cases: [
    {
      inputs: [
        [5, 7],
        [5, 7],
      ],
      attrs: { weight: 0.25 },
    },
    { inputs: [[64], [64]], attrs: { weight: 1e-3 } },
  ],
  errors: [{ inputs: [[3], [4]], attrs: { weight: 0.5 }, error: "ema: [3] and [4], want equal shapes" }],
  tolerance: { ulp: 4, abs: 2.4e-7 },
});

/** The average after one more value; see `ema`. */
export function emaStep(average: Tensor, value: Tensor, attrs: EmaAttrs): Tensor {
  return run(ema, [average, value], attrs)[0];
}

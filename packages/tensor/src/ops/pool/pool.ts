// Sum pooling over windows of an image, and its transpose. Average pooling and nearest-neighbour upsampling are made of these two.

import { defineOp, float32, type Op } from "../../op.ts";
import { formatShape, type Shape, ShapeError, type Spec, sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { windowSpreadWasm, windowSumWasm } from "./wasm.ts";
import { windowSpreadWebgpu, windowSumWebgpu } from "./webgpu.ts";

/** Windows over an image: [along its height, along its width]. */
export interface Windows {
  readonly window: readonly [number, number];
  readonly stride: readonly [number, number];
  /** Zeros around the image, on both sides. */
  readonly padding: readonly [number, number];
}

export interface WindowAttrs extends Windows {
  readonly weight: number;
}

export interface SpreadAttrs extends WindowAttrs {
  /** [height, width] of the result. */
  readonly size: readonly [number, number];
}

/** weight · the sum over each window: [batch, height, width, channels] → [batch, windows down, windows across, channels]. */
export const windowSum: Op<WindowAttrs> = defineOp<WindowAttrs>({
  name: "windowSum",
  infer([x], attrs) {
    const [batch, height, width, channels] = checkImage("windowSum", x);
    return [float32([batch, ...windowCounts("windowSum", [height, width], attrs), channels])];
  },
  cpu([out], [x], attrs) {
    const read = elementReader(x);
    const sums = new Float64Array(sizeOf(out.shape));
    eachPair(x.shape, out.shape, attrs, (from, to) => {
      sums[to] += read(from);
    });
    for (const [i, sum] of sums.entries()) out.data[out.offset + i] = attrs.weight * sum;
  },
  webgpu: windowSumWebgpu,
  wasm: windowSumWasm,
  vjp: ([g], [x], _, attrs) => g.apply(windowSpread, [g], { ...attrs, size: [x.shape[1], x.shape[2]] }),
  saves: {},
  cases: [
    { inputs: [[2, 6, 4, 8]], attrs: { window: [2, 2], stride: [2, 2], padding: [0, 0], weight: 0.25 } },
    { inputs: [[1, 7, 5, 3]], attrs: { window: [3, 2], stride: [2, 1], padding: [1, 1], weight: 0.5 } },
    { inputs: [[1, 5, 5, 2]], attrs: { window: [1, 2], stride: [3, 3], padding: [0, 0], weight: 1 } },
  ],
  errors: [
    {
      inputs: [[1, 2, 2, 1]],
      attrs: { window: [3, 3], stride: [1, 1], padding: [0, 0], weight: 1 },
      error: "windowSum: windows of 3 × 3",
    },
    {
      inputs: [[2, 2, 1]],
      attrs: { window: [1, 1], stride: [1, 1], padding: [0, 0], weight: 1 },
      error: "windowSum: shape [2, 2, 1]",
    },
  ],
  // A window here has at most six elements.
  tolerance: { ulp: 1, terms: () => 6 },
});

/** The transpose of windowSum: weight · the sum of the windows that cover each position of the image. */
export const windowSpread: Op<SpreadAttrs> = defineOp<SpreadAttrs>({
  name: "windowSpread",
  infer([x], attrs) {
    const [batch, down, across, channels] = checkImage("windowSpread", x);
    const wanted = windowCounts("windowSpread", attrs.size, attrs);
    if (wanted[0] !== down || wanted[1] !== across) {
      throw new ShapeError(
        `windowSpread: ${formatShape(x.shape)} over an image of ${attrs.size.join(" × ")}, want ${wanted.join(" × ")} windows`,
      );
    }
    return [float32([batch, ...attrs.size, channels])];
  },
  cpu([out], [x], attrs) {
    const read = elementReader(x);
    const sums = new Float64Array(sizeOf(out.shape));
    eachPair(out.shape, x.shape, attrs, (to, from) => {
      sums[to] += read(from);
    });
    for (const [i, sum] of sums.entries()) out.data[out.offset + i] = attrs.weight * sum;
  },
  webgpu: windowSpreadWebgpu,
  wasm: windowSpreadWasm,
  vjp: ([g], _, __, { window, stride, padding, weight }) =>
    g.apply(windowSum, [g], { window, stride, padding, weight }),
  saves: {},
  cases: [
    { inputs: [[2, 3, 2, 8]], attrs: { window: [2, 2], stride: [2, 2], padding: [0, 0], weight: 1, size: [6, 4] } },
    { inputs: [[1, 4, 6, 3]], attrs: { window: [3, 2], stride: [2, 1], padding: [1, 1], weight: 0.5, size: [7, 5] } },
    { inputs: [[1, 2, 2, 2]], attrs: { window: [1, 2], stride: [3, 3], padding: [0, 0], weight: 1, size: [5, 5] } },
  ],
  errors: [
    {
      inputs: [[1, 2, 2, 1]],
      attrs: { window: [2, 2], stride: [2, 2], padding: [0, 0], weight: 1, size: [6, 4] },
      error: "windowSpread: [1, 2, 2, 1] over an image of 6 × 4",
    },
  ],
  tolerance: { ulp: 1, terms: () => 6 },
});

function checkImage(name: string, { shape }: Spec): Shape {
  if (shape.length !== 4) {
    throw new ShapeError(`${name}: shape ${formatShape(shape)}, want [batch, height, width, channels]`);
  }
  return shape;
}

/** How many windows fit, down and across. @throws ShapeError where none does */
export function windowCounts(
  name: string,
  image: readonly [number, number],
  { window, stride, padding }: Windows,
): number[] {
  const counts = image.map((n, k) => Math.floor((n + 2 * padding[k] - window[k]) / stride[k]) + 1);
  const isWhole = [...window, ...stride].every((n) => Number.isInteger(n) && n > 0);
  if (!isWhole || !padding.every((n) => Number.isInteger(n) && n >= 0) || !counts.every((n) => n > 0)) {
    throw new ShapeError(
      `${name}: windows of ${window.join(" × ")} in steps of ${stride.join(" × ")} over ${image.join(" × ")} with padding ${padding.join(" × ")}, want at least one`,
    );
  }
  return counts;
}

/** Calls f(position in the image, position among the windows) for every element that a window covers, row-major. */
function eachPair(image: Shape, windows: Shape, attrs: Windows, f: (inImage: number, inWindows: number) => void): void {
  const { window, stride, padding } = attrs;
  const [, height, width, channels] = image;
  const [batch, down, across] = windows;
  for (let w = 0; w < batch * down * across; w++) {
    const b = Math.floor(w / (down * across));
    const top = (Math.floor(w / across) % down) * stride[0] - padding[0];
    const left = (w % across) * stride[1] - padding[1];
    for (let y = Math.max(top, 0); y < Math.min(top + window[0], height); y++) {
      for (let x = Math.max(left, 0); x < Math.min(left + window[1], width); x++) {
        for (let c = 0; c < channels; c++) f(((b * height + y) * width + x) * channels + c, w * channels + c);
      }
    }
  }
}

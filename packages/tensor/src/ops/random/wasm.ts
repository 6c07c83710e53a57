// Random tensors, dropout and noise in WebAssembly: kernels that make sixteen elements at once.

import { grainOf, type WasmRule } from "../../backends/wasm/rule.ts";
import { trialBound } from "../../random/distributions.ts";
import { type Draw, halves } from "../../random/philox.ts";
import { sizeOf } from "../../shape.ts";
import type { DropoutAttrs } from "./dropout.ts";
import type { Random } from "./random.ts";

/** The rule of a random op. */
export function randomWasm<Drawn extends Draw>({ wasm: kernel, params }: Random<Drawn>): WasmRule<Drawn> {
  return {
    calls: ({ outputs: [out], attrs }) => [
      {
        kernel,
        ...sixteens(sizeOf(out.shape)),
        args: { out, ...drawNumbers(attrs), ...params(attrs) },
      },
    ],
  };
}

export const dropoutWasm: WasmRule<DropoutAttrs> = {
  calls: ({ inputs: [x], outputs: [out], attrs }) => [
    {
      kernel: "dropout",
      ...sixteens(sizeOf(x.shape)),
      args: { out, ...drawNumbers(attrs), x, scale: 1 / (1 - attrs.rate), bound: trialBound(attrs.rate) },
    },
  ],
};

export const noiseAddWasm: WasmRule<Draw> = {
  calls({ inputs: [x, signal, noise], outputs: [noisy, epsilon], attrs: draw }) {
    const size = sizeOf(x.shape);
    const args = { noisy, epsilon, ...drawNumbers(draw), x, signal, noise, row: size / x.shape[0], size };
    return [{ kernel: "noise_add", ...sixteens(size), args }];
  },
};

/** The stream's numbers. */
function drawNumbers({ key, index }: Draw) {
  const [drawLow, drawHigh] = halves(index);
  return { keyLow: key[0], keyHigh: key[1], drawLow, drawHigh };
}

/** The rows of kernels that make sixteen elements at once. */
function sixteens(size: number): { rows: number; grain: number } {
  return { rows: Math.ceil(size / 16), grain: grainOf(16, 4) };
}

// Updates of parameters and averages, the gradient's norm and the scale of the loss in WebAssembly.

import { grainOf, type WasmCall, type WasmRule } from "../../backends/wasm/rule.ts";
import { sizeOf } from "../../shape.ts";
import { type AdamWAttrs, constantsOf, isScaled } from "./adamConstants.ts";
import type { EmaAttrs } from "./ema.ts";
import { type LossScaleAttrs, numbersOf } from "./lossScaleNumbers.ts";

/** Elements whose squares a thread adds up. */
const CHUNK = 16384;

export const adamWWasm: WasmRule<AdamWAttrs> = {
  calls({ inputs: [, g, , , scale], outputs: [p, m, v], attrs }) {
    const numbers = { ...constantsOf(attrs, isScaled(scale)), isScaled: Number(isScaled(scale)) };
    return [{ kernel: "adam_w", rows: sizeOf(g.shape), grain: grainOf(1, 2), args: { p, m, v, g, scale, ...numbers } }];
  },
};

export const emaWasm: WasmRule<EmaAttrs> = {
  calls: ({ inputs: [, value], outputs: [out], attrs: { weight } }) => [
    { kernel: "ema", rows: sizeOf(out.shape), grain: grainOf(1), args: { average: out, value, weight } },
  ],
};

export const globalNormWasm: WasmRule<undefined> = {
  calls({ inputs, outputs: [out], temporary }) {
    const counts = inputs.map(({ shape }) => Math.max(1, Math.ceil(sizeOf(shape) / CHUNK)));
    const all = counts.reduce((a, b) => a + b, 0);
    const sums = temporary(2 * all);
    let first = 0;
    const calls = inputs.map((input, k): WasmCall => {
      const args = { out: sums, first, all, x: input, size: sizeOf(input.shape), chunk: CHUNK };
      first += counts[k];
      return { kernel: "squares", rows: counts[k], grain: 1, args };
    });
    return [...calls, { kernel: "norm_of_squares", rows: 1, grain: 1, args: { out, sums, all } }];
  },
};

export const lossScaleWasm: WasmRule<LossScaleAttrs> = {
  calls: ({ inputs: [norm, state], outputs: [next, control], attrs }) => [
    { kernel: "loss_scale", rows: 1, grain: 1, args: { next, control, norm, state, ...numbersOf(attrs) } },
  ],
};

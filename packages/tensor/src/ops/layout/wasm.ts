// Filling, joining and unslicing in WebAssembly.

import { grainOf, type WasmRule } from "../../backends/wasm/rule.ts";
import { elementOf } from "../../element.ts";
import { perAxis, sizeOf, stridesOf } from "../../shape.ts";
import type { ConcatAttrs, FillAttrs } from "./copy.ts";
import type { SliceAttrs } from "./views.ts";

export const fillWasm: WasmRule<FillAttrs> = {
  calls: ({ outputs: [out], attrs: { value, dtype } }) => [
    {
      kernel: dtype === "float32" ? "fill_f32" : "fill_i32",
      rows: 1,
      grain: 1,
      args: { out, value: elementOf(value, dtype) },
    },
  ],
};

export const concatWasm: WasmRule<ConcatAttrs> = {
  calls({ inputs, outputs: [out], attrs: { axis } }) {
    const rows = sizeOf(out.shape.slice(0, axis));
    const row = sizeOf(out.shape.slice(axis));
    let start = 0;
    return inputs.map((input) => {
      const piece = sizeOf(input.shape.slice(axis));
      start += piece;
      return {
        kernel: "concat",
        rows: piece > 0 ? rows : 0,
        grain: grainOf(piece),
        args: { out, x: input, piece, row, start: start - piece },
      };
    });
  },
};

export const unsliceWasm: WasmRule<SliceAttrs> = {
  calls({ inputs: [x], outputs: [out], attrs: { starts, steps } }) {
    const strides = stridesOf(out.shape);
    const start = starts.reduce((sum, first, k) => sum + first * strides[k], 0);
    const leading = [x.shape.slice(0, -1), strides.map((stride, k) => stride * steps[k])] as const;
    const length = x.shape.at(-1) ?? 1;
    const rows = sizeOf(leading[0]);
    const table = [leading[0].length, ...perAxis(leading[0]), ...perAxis(leading[1].slice(0, -1))];
    return [
      { kernel: "zero", rows: sizeOf(out.shape), grain: grainOf(1), args: { out } },
      {
        kernel: "unslice",
        rows: length > 0 ? rows : 0,
        grain: grainOf(length),
        args: { out, table, x, start, length, step: steps.at(-1) ?? 1 },
      },
    ];
  },
};

// Reductions and functions of rows in WebAssembly.

import { grainOf, type WasmCall, type WasmOperands, type WasmRule } from "../../backends/wasm/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { ReduceAttrs } from "./reduce.ts";
import { runsOf } from "./runs.ts";

// Up to this many elements one thread is as fast as several, whose rows are these at least, and as long.
const [WHOLE, ROWS, CHUNK] = [32768, 32, 64];

/** The rule of a reduction by a kernel. */
export function reduceWasm(kernel: string): WasmRule<ReduceAttrs> {
  return { calls: (operands) => passes(operands, kernel) };
}

/** The rule of a function of rows. */
export function rowsWasm(kernel: string): WasmRule<undefined> {
  return {
    calls({ inputs: [x], outputs: [out] }) {
      const length = x.shape[x.shape.length - 1];
      const args = kernel === "softmax" ? { out, lse: 0, x, length, scale: 1 } : { out, x, length };
      return [{ kernel, rows: sizeOf(x.shape) / length, grain: grainOf(length, 4), args }];
    },
  };
}

export const countNonFiniteWasm: WasmRule<undefined> = {
  calls: ({ inputs, outputs: [out] }) => [
    { kernel: "fill_i32", rows: 1, grain: 1, args: { out, value: 0 } },
    ...inputs.map((x) => ({ kernel: "count_non_finite", rows: 1, grain: 1, args: { out, x, size: sizeOf(x.shape) } })),
  ],
};

/** From the last run of reduced axes to the first; one that is long, and beside few others, in chunks that are reduced once more. */
function passes(
  { inputs: [x], outputs: [out], attrs: { axes }, temporary }: WasmOperands<ReduceAttrs>,
  kernel: string,
): WasmCall[] {
  const runs = runsOf(x.shape, axes);
  const calls: WasmCall[] = [];
  let from: View | Temporary = x;
  let inner = 1;
  for (let k = runs.length - 1; k >= 0; k--) {
    if (!runs[k].reduced) {
      inner *= runs[k].size;
      continue;
    }
    const outer = sizeOf(runs.slice(0, k).map(({ size }) => size));
    let reduced = runs[k].size;
    do {
      const few = Math.ceil(ROWS / outer);
      const chunk = Math.max(1, reduced * inner * outer > WHOLE ? Math.max(CHUNK, Math.ceil(reduced / few)) : reduced);
      const chunks = Math.max(1, Math.ceil(reduced / chunk));
      const isLast = chunks === 1 && !runs.slice(0, k).some((run) => run.reduced);
      const to: View | Temporary = isLast ? out : temporary(outer * chunks * inner);
      calls.push({
        kernel,
        rows: outer * chunks,
        grain: grainOf(chunk * inner),
        args: { out: to, x: from, reduced, chunk, inner },
      });
      from = to;
      reduced = chunks;
    } while (reduced > 1);
  }
  return calls;
}

// Elementwise ops in WebAssembly: one kernel per op, which reads each operand in rows, as one number, or by its strides.

import { grainOf, type WasmCall, type WasmOperands, type WasmRule } from "../../backends/wasm/rule.ts";
import type { View } from "../../op.ts";
import { collapse, isContiguous, isOneElement, perAxis, sizeOf } from "../../shape.ts";
import type { Elementwise } from "./elementwise.ts";
import type { SumWeightedAttrs } from "./weightedSum.ts";

/** How an operand lies, as the kernels are told. */
const [IN_ROWS, SCALAR, STRIDED] = [0, 1, 2];

/** The rule of an elementwise op. It takes inputs of any layout, and gives null for types without a kernel. */
export function elementwiseWasm<Attrs>(rules: Elementwise<Attrs>): WasmRule<Attrs> | null {
  const { scalars, wasm } = rules;
  if (wasm === null || wasm === undefined) return wasm; // the latter is refused by defineOp
  return {
    calls(operands) {
      const kernel = wasmKernel(rules, operands);
      const { inputs, outputs, attrs } = operands;
      return kernel === null ? null : [elementwisePass(inputs, outputs[0], kernel, scalars?.(attrs))];
    },
    takes: () => true,
  };
}

function wasmKernel<Attrs>({ wasm }: Elementwise<Attrs>, { inputs, attrs }: WasmOperands<Attrs>): string | null {
  const types = inputs.map(({ dtype }) => dtype);
  if (typeof wasm === "function") return wasm(types, attrs);
  return wasm !== null && types.every((type) => type === "float32") ? wasm : null;
}

/** One pass of an elementwise kernel in WebAssembly; `out` may be one of the inputs. */
export function elementwisePass(
  inputs: readonly View[],
  out: View,
  kernel: string,
  scalars: readonly number[] = [],
): WasmCall {
  const [s = 0, t = 0] = scalars;
  const [a, b, c] = inputs;
  const [{ shape }, ...layouts] = collapse([out, ...inputs]);
  const layout = [shape.length, ...perAxis(shape)];
  for (const one of layouts) {
    layout.push(isContiguous(one) ? IN_ROWS : isOneElement(one) ? SCALAR : STRIDED, ...perAxis(one.strides));
  }
  return { kernel, rows: sizeOf(out.shape), grain: grainOf(1), args: { out, layout, s, t, a, b, c } };
}

export const sumWeightedWasm: WasmRule<SumWeightedAttrs> = {
  calls({ inputs: [first, second, ...rest], outputs: [out], attrs: { weights } }) {
    if (!second) return [elementwisePass([first], out, "affine", [weights[0], 0])];
    return [
      elementwisePass([first, second], out, "lerp", weights.slice(0, 2)),
      ...rest.map((input, k) => elementwisePass([out, input], out, "lerp", [1, weights[k + 2]])),
    ];
  },
};

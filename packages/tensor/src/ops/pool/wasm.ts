// Sum pooling and its transpose in WebAssembly.

import { grainOf, type WasmCall, type WasmOperands, type WasmRule } from "../../backends/wasm/rule.ts";
import { sizeOf } from "../../shape.ts";
import type { SpreadAttrs, WindowAttrs } from "./pool.ts";

export const windowSumWasm: WasmRule<WindowAttrs> = { calls: (operands) => [windowWasm(operands, "window_sum")] };

export const windowSpreadWasm: WasmRule<SpreadAttrs> = {
  calls: (operands) => [windowWasm(operands, "window_spread")],
};

function windowWasm({ inputs: [x], outputs: [out], attrs }: WasmOperands<WindowAttrs>, kernel: string): WasmCall {
  const { window, stride, padding, weight } = attrs;
  const table = [...x.shape.slice(1, 3), ...out.shape.slice(1, 3), ...window, ...stride, ...padding];
  const channels = x.shape[3];
  const rows = channels > 0 ? sizeOf(out.shape) / channels : 0;
  return { kernel, rows, grain: grainOf(channels, 4), args: { out, table, x, channels, weight } };
}

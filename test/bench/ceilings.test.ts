// The ceiling of WebAssembly: chains that wait for nothing but multiply-adds, on every version of V8.
import { expect, test } from "vitest";
import { compileChain } from "../../bench/wasmChain.ts";

test.each([true, false])(
  "a turn of the chains has ten multiply-adds and makes no constant (fused: %s)",
  async (fused) => {
    const text = String(await compileChain(fused, "textFile"));
    const [turn] = /\bloop\b[\s\S]*?\bbr\b/.exec(text) ?? [""];
    expect(turn.match(/f32x4\.(?:relaxed_madd|mul)\b/g)).toHaveLength(10);
    expect(turn).not.toContain("v128.const"); // V8 from 13 on would make it at every use
  },
);

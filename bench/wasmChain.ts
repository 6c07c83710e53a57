// How many multiply-adds a thread of WebAssembly does at most: chains of them over registers, compiled for this alone.
import { setFlagsFromString } from "node:v8";

const LANES = 4;
const CHAINS = 10;
const FLOP_A_TURN = 2 * LANES * CHAINS;

/** A module that exports the chains, as a binary or as text. @throws Error with the compiler's messages */
export async function compileChain(fused: boolean, output: "outFile" | "textFile"): Promise<Uint8Array | string> {
  const turn = Array.from({ length: CHAINS }, (_, k) =>
    fused ? `c${k} = f32x4.relaxed_madd(c${k}, m, a);` : `c${k} = f32x4.add(f32x4.mul(c${k}, m), a);`,
  );
  const names = Array.from({ length: CHAINS }, (_, k) => `c${k}`);
  // Factor and term are arguments: V8 from 13 on makes constants anew at each use, which takes longer than the multiply-add. Sums of all
  // chains leave, or the compiler would drop them.
  const source = `export function chain(turns: i32, factor: f32, term: f32): f32 {
    const m = f32x4.splat(factor), a = f32x4.splat(term);
    let ${names.map((name, k) => `${name} = f32x4.splat(${k}.5)`).join(", ")};
    for (let i = 0; i < turns; i++) { ${turn.join(" ")} }
    return f32x4.extract_lane(${names.reduce((sum, name) => `f32x4.add(${sum}, ${name})`)}, 0);
  }`;
  const asc = await import("assemblyscript/asc");
  const found: (string | Uint8Array)[] = [];
  const features = ["--enable", "simd", ...(fused ? ["--enable", "relaxed-simd"] : [])];
  const { error, stderr } = await asc.main(
    ["chain.ts", "--runtime", "stub", "-O3", ...features, `--${output}`, "chain.wasm"],
    {
      readFile: (name) => (name === "chain.ts" ? source : null),
      writeFile: (_, contents) => void found.push(contents),
      listFiles: () => [],
    },
  );
  if (error) throw new Error(`wasm chain: ${error.message}\n${stderr.toString()}`);
  return found[0];
}

/** FLOP/s of one thread, with the fused instruction where `fused`. @throws Error with the compiler's messages */
export async function wasmChain(fused: boolean): Promise<number> {
  const binary = Uint8Array.from((await compileChain(fused, "outFile")) as Uint8Array); // as asked for
  if (!WebAssembly.validate(binary)) setFlagsFromString("--experimental-wasm-relaxed-simd"); // Node 20
  const { instance } = await WebAssembly.instantiate(binary);
  const chain = instance.exports.chain as (turns: number, factor: number, term: number) => number;
  let best = 0;
  for (let k = 0; k < 12; k++) {
    const turns = 2 ** 20;
    const began = performance.now();
    chain(turns, 0.999, 0.001);
    best = Math.max(best, (turns * FLOP_A_TURN) / ((performance.now() - began) / 1000));
  }
  return best;
}

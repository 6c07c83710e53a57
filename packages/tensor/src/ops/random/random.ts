// Random tensors: each element is made of its own words of a draw, so that it has the same bits on every backend.

import { type Case, defineOp, type NumberArray, type Op } from "../../op.ts";
import {
  type AffineDraw,
  type IntegerDraw,
  integers,
  normals,
  signs,
  type TrialDraw,
  trials,
  uniforms,
} from "../../random/distributions.ts";
import { type Draw, words } from "../../random/philox.ts";
import { type DType, type Shape, sizeOf } from "../../shape.ts";
import { randomWasm } from "./wasm.ts";
import { drawParams, randomWebgpu } from "./webgpu.ts";

/** An op without inputs: where its numbers come from, and the shape of the result. */
type Attrs<Drawn extends Draw> = Drawn & { readonly shape: Shape };

export interface Random<Drawn extends Draw> {
  readonly name: string;
  readonly dtype: DType;
  /** The value of a word in WGSL; normals have a kernel of their own. */
  readonly wgsl: string | null;
  /** The kernel in WebAssembly. */
  readonly wasm: string;
  readonly host: (draw: Drawn, size: number) => NumberArray;
  /** The draw's own numbers, by the names of the kernels' parameters. */
  readonly params: (draw: Drawn) => Readonly<Record<string, number>>;
  /** Draws to test with, less the stream's own numbers. */
  readonly cases: readonly Omit<Drawn, keyof Draw>[];
}

const SHAPES: readonly Shape[] = [[], [7], [0, 3], [2, 3, 43], [64, 65]];
const affineParams = ({ scale, shift }: AffineDraw) => ({ scale, shift });

/** Uniform 32-bit words. */
export const randomBits = random<Draw>({
  name: "randomBits",
  dtype: "uint32",
  wgsl: "word",
  wasm: "random_bits",
  host: words,
  params: () => ({}),
  cases: [{}],
});

/** scale · u + shift, u uniform on the multiples of 2⁻²⁴ in [0, 1). */
export const randomUniform = random<AffineDraw>({
  name: "randomUniform",
  dtype: "float32",
  wgsl: "uniform_of(word)",
  wasm: "random_uniform",
  host: uniforms,
  params: affineParams,
  cases: [
    { scale: 1, shift: 0 },
    { scale: 0.3, shift: -0.1 },
  ],
});

/** scale · z + shift, z standard normal. */
export const randomNormal = random<AffineDraw>({
  name: "randomNormal",
  dtype: "float32",
  wgsl: null,
  wasm: "random_normal",
  host: normals,
  params: affineParams,
  cases: [
    { scale: 1, shift: 0 },
    { scale: 0.3, shift: -0.1 },
  ],
});

/** low, low + 1, …, low + bound − 1. */
export const randomIntegers = random<IntegerDraw>({
  name: "randomIntegers",
  dtype: "int32",
  wgsl: "params.low + i32(mul_high(word, params.bound))",
  wasm: "random_integers",
  host: integers,
  params: ({ low, bound }) => ({ low, bound }),
  cases: [
    { low: -3, bound: 7 },
    { low: -(2 ** 31), bound: 2 ** 32 - 1 },
  ],
});

/** −1 or 1. */
export const randomSigns = random<Draw>({
  name: "randomSigns",
  dtype: "float32",
  wgsl: "select(-1.0, 1.0, word < 0x80000000u)",
  wasm: "random_signs",
  host: signs,
  params: () => ({}),
  cases: [{}],
});

/** True with probability bound / 2²⁴. */
export const randomTrials = random<TrialDraw>({
  name: "randomTrials",
  dtype: "bool",
  wgsl: "select(0u, 1u, (word >> 8u) < params.bound)",
  wasm: "random_trials",
  host: trials,
  params: ({ bound }) => ({ bound }),
  cases: [{ bound: 0 }, { bound: 5033165 }, { bound: 2 ** 24 }],
});

function random<Drawn extends Draw>(rules: Random<Drawn>): Op<Attrs<Drawn>> {
  const { name, dtype, host, params, cases } = rules;
  const drawnParams = (draw: Drawn) => ({ ...drawParams(draw), ...params(draw) });
  return defineOp<Attrs<Drawn>>({
    name,
    infer: (_, { shape }) => [{ shape, dtype }],
    cpu([out], _, attrs) {
      out.data.set(host(attrs, sizeOf(out.shape)), out.offset);
    },
    webgpu: randomWebgpu(rules, drawnParams),
    perStep: drawnParams,
    wasm: randomWasm(rules),
    tolerance: { ulp: 0 },
    cases: SHAPES.flatMap((shape, k) =>
      cases.map((given): Case<Attrs<Drawn>> => {
        const draw: Draw = { key: [0xa4093822, 0x299f31d0], index: 2 ** 32 * k + k };
        return { inputs: [], attrs: { ...given, ...draw, shape } as Attrs<Drawn> }; // Drawn is Draw and `given`
      }),
    ),
  });
}

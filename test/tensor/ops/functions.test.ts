// Elementary functions over all numbers they take: many points of each size, and what is no ordinary number.
import { type Backend, cpu, type Tensor, tensor, wasm, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { erf, erfc, logNormalDistribution } from "../../../packages/tensor/src/ops/elementwise/errorFunction.ts";
import * as ops from "../../../packages/tensor/src/ops/index.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { type AnyOp, compare, generator, runOp } from "./derived.ts";

const exact = cpu({ precision: "float64" });
const POINTS = 1 << 14;

/** Half of the points uniform in [lo, hi], half uniform in their logarithm from 1e-6 on, of both signs where lo has one. */
function points(lo: number, hi: number): Float32Array {
  const uniform = generator(7);
  return Float32Array.from({ length: POINTS }, (_, k) => {
    if (k % 2 === 0) return lo + (hi - lo) * uniform();
    const isNegative = lo < 0 && k % 4 === 1;
    return (isNegative ? -1 : 1) * 10 ** (-6 + (6 + Math.log10(isNegative ? -lo : hi)) * uniform());
  });
}

const functions: { op: AnyOp; lo: number; hi: number }[] = [
  { op: ops.exp, lo: -85, hi: 88 },
  { op: ops.expm1, lo: -30, hi: 88 },
  { op: ops.log, lo: 1e-30, hi: 1e30 },
  { op: ops.log1p, lo: -0.99, hi: 1e30 },
  { op: ops.sin, lo: -1e6, hi: 1e6 },
  { op: ops.cos, lo: -1e6, hi: 1e6 },
  { op: ops.tanh, lo: -20, hi: 20 },
  { op: ops.erf, lo: -6, hi: 6 },
  { op: ops.sigmoid, lo: -85, hi: 85 },
  { op: ops.silu, lo: -85, hi: 85 },
  { op: ops.gelu, lo: -5, hi: 5 },
  { op: ops.logNdtr, lo: -1e4, hi: 5 },
  { op: ops.geluTanh, lo: -5, hi: 5 },
  { op: ops.softplus, lo: -85, hi: 85 },
];

const [NAN, INF] = [Number.NaN, Number.POSITIVE_INFINITY];
/** Arguments that are no ordinary numbers, and what comes of them. */
const special: { name: string; f: (x: Tensor) => Tensor; values: readonly (readonly [number, number])[] }[] = [
  {
    name: "exp",
    f: (x) => x.exp(),
    values: [
      [INF, INF],
      [-INF, 0],
      [NAN, NAN],
      [100, INF],
      [-200, 0],
    ],
  },
  {
    name: "expm1",
    f: (x) => x.expm1(),
    values: [
      [INF, INF],
      [-INF, -1],
      [NAN, NAN],
      [0, 0],
      [-100, -1],
    ],
  },
  {
    name: "log",
    f: (x) => x.log(),
    values: [
      [INF, INF],
      [0, -INF],
      [-1, NAN],
      [-INF, NAN],
      [NAN, NAN],
      [1, 0],
    ],
  },
  {
    name: "log1p",
    f: (x) => x.log1p(),
    values: [
      [INF, INF],
      [-1, -INF],
      [-2, NAN],
      [NAN, NAN],
      [0, 0],
    ],
  },
  {
    name: "sin",
    f: (x) => x.sin(),
    values: [
      [INF, NAN],
      [-INF, NAN],
      [NAN, NAN],
      [0, 0],
    ],
  },
  {
    name: "cos",
    f: (x) => x.cos(),
    values: [
      [INF, NAN],
      [NAN, NAN],
      [0, 1],
    ],
  },
  {
    name: "tanh",
    f: (x) => x.tanh(),
    values: [
      [INF, 1],
      [-INF, -1],
      [NAN, NAN],
      [0, 0],
    ],
  },
  {
    name: "erf",
    f: (x) => x.erf(),
    values: [
      [INF, 1],
      [-INF, -1],
      [NAN, NAN],
      [0, 0],
    ],
  },
  {
    name: "sigmoid",
    f: (x) => x.sigmoid(),
    values: [
      [INF, 1],
      [-INF, 0],
      [NAN, NAN],
    ],
  },
  {
    name: "softplus",
    f: (x) => x.softplus(),
    values: [
      [INF, INF],
      [-INF, 0],
      [NAN, NAN],
    ],
  },
  {
    name: "gelu",
    f: (x) => x.gelu(),
    values: [
      [2 ** 90, 2 ** 90],
      [NAN, NAN],
      [-30, 0],
    ],
  },
  {
    name: "logNdtr",
    f: (x) => x.logNdtr(),
    values: [
      [INF, 0],
      [-INF, -INF],
      [NAN, NAN],
      [20, 0],
    ],
  },
  {
    name: "gelu with tanh",
    f: (x) => x.gelu({ approximate: "tanh" }),
    values: [
      [100, 100],
      [NAN, NAN],
      [-100, 0],
    ],
  },
  {
    name: "relu",
    f: (x) => x.relu(),
    values: [
      [INF, INF],
      [-INF, 0],
      [NAN, NAN],
    ],
  },
];

const backends: { name: string; open: () => Promise<Backend>; skip: boolean }[] = [
  { name: "cpu float32", open: async () => cpu(), skip: false },
  { name: "wasm", open: () => wasm({ threads: 1 }), skip: false },
  { name: "wasm, deterministic", open: () => wasm({ threads: 1, deterministic: true }), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test.each(functions.map(({ op, lo, hi }) => ({ name: op.name, op, lo, hi })))(
      "$name is within its tolerance from $lo to $hi",
      async ({ op, lo, hi }) => {
        const x = points(lo, hi);
        const [found] = runOp(op, [tensor(x, { backend })], undefined, backend);
        const [reference] = runOp(op, [tensor(x, { backend: exact })], undefined, exact);
        const { relative, message } = await compare(op.tolerance, found, reference, undefined, []);
        expect(relative, message).toBeLessThanOrEqual(1);
      },
    );

    test("sin and cos of numbers of any size", async () => {
      const x = points(-3e38, 3e38).filter((_, k) => k % 2 === 1);
      for (const op of [ops.sin, ops.cos]) {
        const [found] = runOp(op, [tensor(x, { backend })], undefined, backend);
        const [reference] = runOp(op, [tensor(x, { backend: exact })], undefined, exact);
        const { relative, message } = await compare(op.tolerance, found, reference, undefined, []);
        expect(relative, message).toBeLessThanOrEqual(1);
      }
    });

    test.each(special)("$name of what is no ordinary number", async ({ f, values }) => {
      const found = await f(
        tensor(
          Float32Array.from(values, ([x]) => x),
          { backend },
        ),
      ).data();
      // −0 is as good as 0, and a subnormal result may be flushed to it.
      expect(Array.from(found, (y) => (Math.abs(y) < 1e-37 ? 0 : y))).toEqual(values.map(([, y]) => y));
    });
  });
}

describe("the error function on the host", () => {
  // Abramowitz & Stegun, table 7.1, and by 30-digit arithmetic further out.
  test.each([
    [0.5, 0.5204998778130465, 0.4795001221869535],
    [1, 0.8427007929497149, 0.15729920705028513],
    [1.99, 0.995111413199617, 0.004888586800383003],
    [2, 0.9953222650189527, 0.004677734981047266],
    [3, 0.9999779095030014, 2.209049699858544e-5],
    [6, 1, 2.1519736712498913e-17],
  ])("of %d", (x, value, rest) => {
    expect(Math.abs(erf(x) / value - 1)).toBeLessThan(1e-14);
    expect(Math.abs(erfc(x) / rest - 1)).toBeLessThan(1e-12);
    expect(erf(-x)).toBe(-erf(x));
    expect(erfc(-x)).toBeCloseTo(2 - rest, 14);
  });

  test("the host's log Φ is right to 1e-13, where Φ is a number and where it is not", () => {
    for (const [x, wanted] of [
      [-40, -804.6084420137538],
      [-10, -53.23128515051247],
      [0, -Math.LN2],
      [10, -7.619853024160527e-24],
    ]) {
      expect(Math.abs(logNormalDistribution(x) / wanted - 1)).toBeLessThan(1e-13);
    }
    for (let x = -8; x < 0; x += 0.1) {
      expect(Math.exp(logNormalDistribution(x)) + Math.exp(logNormalDistribution(-x))).toBeCloseTo(1, 14);
    }
  });
});

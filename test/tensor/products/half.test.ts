// Mixed precision: rounding to float16 as files have it, and products of rounded operands that are as exact as those of float32.
import { type Backend, full, type Shape, type Tensor, tensor, tidy, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeFloat16, encodeFloat16 } from "../../../packages/tensor/src/host/halfFloat.ts";
import type { Op } from "../../../packages/tensor/src/op.ts";
import { backward, forward } from "../../../packages/tensor/src/ops/conv/convGather.ts";
import {
  type ConvAttrs,
  convAttrs,
  convShape,
  type InputAttrs,
  type WeightAttrs,
} from "../../../packages/tensor/src/ops/conv/convShape.ts";
import { narrowImage, narrowResult } from "../../../packages/tensor/src/ops/conv/im2col.ts";
import { conv2d, conv2dInput, conv2dWeight, matmul } from "../../../packages/tensor/src/ops/index.ts";
import { roundingCall } from "../../../packages/tensor/src/ops/matmul/half.ts";
import { apply } from "../../../packages/tensor/src/tensor.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { exact } from "../ops/checkCase.ts";
import { type AnyOp, compare, distance, drawInputs, generator, place, runOp } from "../ops/derived.ts";

const products: readonly AnyOp[] = [matmul, conv2d, conv2dInput, conv2dWeight];
const cases = products.flatMap((op) => op.cases.map((given, index) => ({ name: op.name, op, given, index })));

/** What the devices compute with: the first two inputs rounded to float16, the others as they are. */
function rounded(drawn: ReturnType<typeof drawInputs>): ReturnType<typeof drawInputs> {
  const round = (values: readonly number[]) => [...decodeFloat16(encodeFloat16(Float32Array.from(values)))];
  return drawn.map(({ input, values }, k) => ({ input, values: k < 2 ? round(values) : values }));
}

describe.skipIf(!gpuAvailable).each(["direct", "tiled"] as const)("on webgpu with %s kernels", (profile) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await webgpu({ poison: true, profile, precision: "mixed" });
  });
  afterAll(() => backend.dispose());

  test("scratch that the budget does not hold leaves nothing behind", async () => {
    const small = await webgpu({ profile, precision: "mixed", budget: 3.75 * 2 ** 20 });
    // Nothing is left for the collection that precedes a failure.
    const filled = (value: number) => tidy(() => full([2 ** 9, 2 ** 9], value, { backend: small }).contiguous());
    const [x, w] = [1, 2].map(filled);
    const before = small.memory();
    // The result fits in beside the operands, and one of these as float16, but not both.
    expect(() => x.matmul(w)).toThrow("matmul scratch: 524288 bytes");
    expect(small.memory()).toMatchObject({ buffers: before.buffers, bytes: before.bytes });
    small.dispose();
  });

  test("numbers are rounded to the same bits as in files: to even, to subnormals, to infinity, NaN to NaN", async () => {
    const uniform = generator(1);
    const drawn = Array.from({ length: 4000 }, () => (2 * uniform() - 1) * 2 ** Math.floor(44 * uniform() - 26));
    const special = [
      0,
      -0,
      1,
      65504,
      65519.99,
      65520,
      -65520,
      1e38,
      Infinity,
      -Infinity,
      2 ** -24,
      2 ** -25,
      3 * 2 ** -25,
    ];
    const ties = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -14 - 2 ** -25, -(2 ** -15) - 2 ** -25];
    const values = Float32Array.from([...drawn, ...special, ...ties, NaN, 1.5, -1.5]);
    expect(values.length % 4).toBe(0);
    const round: Op = {
      name: "round",
      infer: ([{ shape }]) => [{ shape: [shape[0] / 2], dtype: "uint32" }],
      webgpu: { calls: ({ inputs: [a], outputs: [out] }) => [roundingCall(a, out)] },
      cases: [],
      tolerance: {},
    };
    const [words] = apply(round, [tensor(values, { backend })], undefined, backend);
    const halves = new Uint16Array(Uint32Array.from(await words.data()).buffer);
    expect([...halves]).toEqual([...encodeFloat16(values)]);
  });

  test.each(cases)(
    "$name, case $index, is that of rounded operands within float32's tolerance",
    async ({ op, given, index }) => {
      const drawn = drawInputs(given, index + 1);
      const near = rounded(drawn);
      const absolute = near.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
      const shapes = drawn.map(({ input }) => input.shape);
      const [reference] = runOp(op, place(near, exact), given.attrs, exact);
      const [magnitudes] = runOp(op, place(absolute, exact), given.attrs, exact);
      for (const layout of ["rows", "strided"] as const) {
        const [found] = runOp(op, place(drawn, backend, layout), given.attrs, backend);
        const { relative, message } = await compare(op.tolerance, found, reference, magnitudes, shapes);
        expect(relative, message).toBeLessThanOrEqual(1);
      }
    },
  );

  test("products are within 1e-3 of those of the operands as they were, and not nearer than rounding lets them", async () => {
    for (const { op, given } of cases.filter(({ index }) => index === 2)) {
      const drawn = drawInputs(given, 7);
      const run = (on: Backend): Tensor[] => runOp(op, place(drawn, on), given.attrs, on);
      const far = await distance(run(backend), run(exact));
      expect(far).toBeLessThan(1e-3);
      expect(far).toBeGreaterThan(1e-5);
    }
  });

  test("convolutions whose taps stand side by side round the same numbers", async () => {
    const [x, w] = [
      [2, 6, 7, 3],
      [3, 3, 3, 20],
    ];
    const attrs = convAttrs(x, w, { padding: 1 });
    const y = convShape("conv2d", x, w, attrs);
    const ways: readonly [AnyOp, readonly Shape[], ConvAttrs][] = [
      [
        {
          ...conv2dInput,
          webgpu: {
            calls: ({ inputs: [g, v], ...call }) =>
              narrowResult(call, backward(g, x, attrs), v, [3, 3], true, undefined),
          },
        },
        [y, w],
        { ...attrs, inputShape: x } as InputAttrs,
      ],
      [
        {
          ...conv2dWeight,
          webgpu: { calls: ({ inputs: [a, g], ...call }) => narrowImage(call, forward(a, y, attrs), g, [3, 3]) },
        },
        [x, y],
        { ...attrs, kernelSize: [3, 3] } as WeightAttrs,
      ],
    ];
    for (const [op, inputs, given] of ways) {
      const drawn = drawInputs({ inputs }, 1);
      const run = (on: Backend, values: typeof drawn) => runOp(op, place(values, on), given, on);
      expect(await distance(run(backend, drawn), run(exact, rounded(drawn)))).toBeLessThan(1e-6);
    }
  });

  test("the backend's name says so", () => {
    expect(backend.name).toMatch(/, products in float16$/);
  });

  test("an operand beyond float16's range makes the product infinite, so that training notices", async () => {
    const [large, small] = [tensor([[7e4]], { backend }), tensor([[1]], { backend })];
    expect(await large.matmul(small).item()).toBe(Infinity);
    expect(await large.neg().matmul(small).item()).toBe(-Infinity);
  });
});

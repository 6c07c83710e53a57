// Every op, on every backend: the tests that follow from its declaration.
import { type Backend, cpu, grad, type Tensor, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as ops from "../../packages/tensor/src/ops/index.ts";
import { gpuAvailable } from "../setup/gpu.ts";
import {
  type AnyOp,
  checkSlope,
  compare,
  distance,
  drawInputs,
  hasTiledVariant,
  isDifferentiable,
  place,
  runOp,
  scalarOf,
  slopeOf,
} from "./derived.ts";

const exact = cpu({ precision: "float64", poison: true });
const all: AnyOp[] = Object.values(ops).filter(
  (value): value is AnyOp => typeof value === "object" && "infer" in value,
);

/** An order-1 gradient is a few ops, an order-2 one a few dozen, each within its own tolerance. */
const gradientDistance = ({ tolerance: { relL2 = 0, abs = 0 } }: AnyOp, order: number): number =>
  Math.max(relL2, abs, 1e-6) * [0, 8, 64][order];

test("the list of ops is found", () => {
  expect(all.length).toBeGreaterThan(20);
});

const differentiable = all.flatMap((op) =>
  op.cases.flatMap((given, index) => (isDifferentiable(op, given) ? [{ name: op.name, op, given, index }] : [])),
);

test.each(differentiable)(
  "the gradient of $name, case $index, agrees with central differences, and so does the gradient of that",
  async ({ op, given, index }) => {
    const inputs = place(drawInputs(given, index + 1), exact);
    const xs = inputs.filter(({ dtype }) => dtype === "float32");
    const f = scalarOf(op, given.attrs, exact, inputs, 100);
    const first = await checkSlope(f, xs, 200);
    expect(first.relative, first.message).toBeLessThan(1);
    const second = await checkSlope(slopeOf(f, 300), xs, 400);
    expect(second.relative, `of the gradient: ${second.message}`).toBeLessThan(1);
  },
);

const refused = all.flatMap((op) => (op.errors ?? []).map((given) => ({ name: op.name, op, given })));

test.each(refused)("$name refuses what it cannot take: $given.error", ({ op, given }) => {
  expect(() => runOp(op, place(drawInputs(given, 1), exact), given.attrs, exact)).toThrow(given.error);
});

const backends: { name: string; open: () => Promise<Backend>; skip: boolean; tested: AnyOp[] }[] = [
  { name: "cpu float32", open: async () => cpu({ poison: true }), skip: false, tested: all },
  { name: "webgpu", open: () => webgpu({ poison: true, profile: "direct" }), skip: !gpuAvailable, tested: all },
  {
    name: "webgpu with the kernels for GPUs",
    open: () => webgpu({ poison: true, profile: "tiled" }),
    skip: !gpuAvailable,
    tested: all.filter(hasTiledVariant),
  },
];

for (const { name, open, skip, tested } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    describe.each(tested.map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
      test.each(op.cases.map((value, index) => ({ case: value, index })))(
        "case $index",
        async ({ case: given, index }) => {
          const drawn = drawInputs(given, index + 1);
          const run = (on: Backend, layout?: "strided") => runOp(op, place(drawn, on, layout), given.attrs, on);
          const reference = run(exact);
          const shapes = drawn.map(({ input }) => input.shape);
          const absolute = drawn.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
          const magnitudes = op.tolerance.terms && runOp(op, place(absolute, exact), given.attrs, exact);
          const check = async (what: string, found: Tensor[]) => {
            for (const [k, output] of found.entries()) {
              const { relative, message } = await compare(op.tolerance, output, reference[k], magnitudes?.[k], shapes);
              expect(relative, `${what}, output ${k}: ${message}`).toBeLessThanOrEqual(1);
            }
          };
          const plain = run(backend);
          await check("row-major inputs", plain);
          await check("strided inputs", run(backend, "strided"));
          const again = run(backend);
          for (const [k, output] of plain.entries()) expect(await again[k].data()).toEqual(await output.data());

          if (!isDifferentiable(op, given)) return;
          const gradients = (on: Backend, order: number) => {
            const inputs = place(drawn, on);
            const f = scalarOf(op, given.attrs, on, inputs, 100);
            return grad(
              order === 1 ? f : slopeOf(f, 300),
              inputs.filter(({ dtype }) => dtype === "float32"),
            );
          };
          for (const order of [1, 2]) {
            const far = await distance(gradients(backend, order), gradients(exact, order));
            expect(far, `gradient of order ${order}: relative L2 distance to float64`).toBeLessThan(
              gradientDistance(op, order),
            );
          }
        },
      );
    });
  });
}

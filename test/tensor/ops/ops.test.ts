// Every op, on every backend: the tests that follow from its declaration.
import { type Backend, cpu, wasm, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { apply } from "../../../packages/tensor/src/tensor.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { allOps, checkCase, exact } from "./checkCase.ts";
import { testEveryCase } from "./derive/everyCase.ts";
import {
  type AnyOp,
  checkSlope,
  drawInputs,
  hasTiledVariant,
  isDifferentiable,
  kernelCalls,
  place,
  runOp,
  scalarOf,
  slopeOf,
  specsOf,
} from "./derived.ts";

test("the list of ops is found, each under a name of its own", () => {
  expect(allOps.length).toBeGreaterThan(20);
  expect(new Set(allOps.map(({ name }) => name)).size).toBe(allOps.length);
});

const differentiable = allOps.flatMap((op) =>
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

const refused = allOps.flatMap((op) => (op.errors ?? []).map((given) => ({ name: op.name, op, given })));

test.each(refused)("$name refuses what it cannot take: $given.error", ({ op, given }) => {
  const run = () => runOp(op, place(drawInputs(given, 1), exact), given.attrs, exact);
  expect(run).toThrow(given.error);
  // Messages say which op, what is wrong, and what is wanted.
  expect(run).toThrow(new RegExp(`^${op.name}: .+, want `));
});

const taking = allOps.flatMap((op) => {
  const given = op.cases.find(({ inputs }) => inputs.length > 0);
  return given ? [{ name: op.name, op, given }] : [];
});

test.each(taking)("$name refuses a disposed operand, and one of another backend", ({ op, given }) => {
  const operands = () => place(drawInputs(given, 1), exact);
  const last = given.inputs.length - 1;
  const disposed = operands();
  disposed[last].dispose();
  expect(() => apply(op, disposed, given.attrs, exact)).toThrow(
    new Error(`${op.name}: operand ${last}, ${disposed[last]}, is disposed, want a live tensor`),
  );
  const other = cpu();
  const mixed = operands().with(last, place(drawInputs(given, 1), other)[last]);
  expect(() => apply(op, mixed, given.attrs, exact)).toThrow(
    new Error(`${op.name}: operands on cpu: float64 and on cpu: float32, want one backend`),
  );
});

const overwriting = allOps.filter(({ inPlace }) => inPlace !== undefined);

test.each(overwriting)("$name leaves what others hold of its inputs as it was", async (op) => {
  for (const given of op.cases) {
    const drawn = drawInputs(given, 1);
    const inputs = place(drawn, exact);
    const held = inputs.map((input) => input.detach());
    const outputs = runOp(op, inputs, given.attrs, exact);
    for (const [k, { values }] of drawn.entries()) expect([...(await held[k].data())]).toEqual(values);
    // Alone, an input is taken over and needs no memory.
    for (const tensor of [...held, ...outputs]) tensor.dispose();
    const before = exact.memory().buffers;
    const again = runOp(op, inputs, given.attrs, exact);
    expect(exact.memory().buffers - before).toBe(again.length - (op.inPlace ?? []).length);
  }
});

const changing = allOps.filter(({ perStep }) => perStep !== undefined);

test.each(changing)("of what $name dispatches, nothing but what perStep gives follows from its attributes", (op) => {
  for (const given of op.cases) {
    const others = { ...given, attrs: withOtherNumbers(given.attrs) };
    const [calls, otherCalls] = [given, others].map((one) =>
      kernelCalls(op, one, "tiled").map(({ params, ...call }, k) => {
        const fixed = { ...params };
        for (const name in op.perStep?.(one.attrs, specsOf(one), k)) delete fixed[name];
        return { ...call, params: fixed };
      }),
    );
    expect(otherCalls).toEqual(calls);
  }
});

/** Attributes with three quarters of every number, and a quarter in the place of 0; a shape, which is the outputs', as it was. */
function withOtherNumbers(attrs: unknown): unknown {
  if (typeof attrs === "number") return attrs === 0 ? 0.25 : 0.75 * attrs;
  if (Array.isArray(attrs)) return attrs.map(withOtherNumbers);
  if (typeof attrs !== "object" || attrs === null) return attrs;
  return Object.fromEntries(
    Object.entries(attrs).map(([name, value]) => [name, name === "shape" ? value : withOtherNumbers(value)]),
  );
}

test("every op that can be misused says so in a case; copy and cast take anything", () => {
  const silent = taking.filter(({ op }) => (op.errors ?? []).length === 0).map(({ name }) => name);
  expect(silent.sort()).toEqual(["cast", "copy"]);
});

const backends: { name: string; open: () => Promise<Backend>; skip: boolean; tested: readonly AnyOp[] }[] = [
  { name: "cpu float32", open: async () => cpu({ poison: true }), skip: false, tested: allOps },
  { name: "wasm", open: () => wasm({ poison: true, threads: 2 }), skip: false, tested: allOps },
  { name: "webgpu", open: () => webgpu({ poison: true, profile: "direct" }), skip: !gpuAvailable, tested: allOps },
  {
    name: "webgpu with the kernels for GPUs",
    open: () => webgpu({ poison: true, profile: "tiled" }),
    skip: !gpuAvailable,
    tested: allOps.filter(hasTiledVariant),
  },
];

for (const { name, open, skip, tested } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    testEveryCase(tested, (op, index) => checkCase(op, index, backend));
  });
}

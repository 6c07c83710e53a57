// Types of inputs: what an op declares it takes, right on every backend, and everything else it refuses before any work.
import type { Backend, DType } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Case, CaseInput } from "../../../packages/tensor/src/op.ts";
import { ANY, accepts } from "../../../packages/tensor/src/signature.ts";
import { openers } from "../../setup/backends.ts";
import { allOps, exact } from "./checkCase.ts";
import { type AnyOp, compare, drawInputs, place, runOp, specsOf } from "./derived.ts";

const TYPES = ANY.flat();

/** Every op with the case of it that has most inputs. */
const taking = allOps.flatMap((op) => {
  const [given] = op.cases.toSorted((a, b) => b.inputs.length - a.inputs.length);
  return given.inputs.length > 0 ? [{ op, name: op.name, given, found: specsOf(given).map(({ dtype }) => dtype) }] : [];
});

/** Every single change of an input's type that the op does not declare. */
const refused = taking.flatMap(({ op, name, given, found }) =>
  found.flatMap((_, k) =>
    TYPES.map((type) => ({ op, name, given, types: found.with(k, type) })).filter(({ types }) => !accepts(op, types)),
  ),
);

/** Every combination of types that the op declares. */
const declared = taking.flatMap(({ op, name, given, found }) =>
  (op.types ?? [["float32"] as const]).map((signature) => ({
    op,
    name,
    given,
    types: found.map((_, k): DType => signature[Math.min(k, signature.length - 1)]),
  })),
);

const RANGES: Readonly<Record<DType, readonly [number, number]>> = {
  float32: [-2, 2],
  int32: [-9, 9],
  uint32: [0, 9],
  bool: [0, 2],
};

/** A case with inputs of other types, drawn where these differ from its own. */
function retyped(given: Case<unknown>, types: readonly DType[]): Case<unknown> {
  const own = specsOf(given);
  const inputs = given.inputs.map((input, k): CaseInput => {
    const declaredInput: CaseInput = "shape" in input ? input : { shape: input };
    const { shape, dtype } = own[k];
    return types[k] === dtype ? declaredInput : { shape, dtype: types[k], range: RANGES[types[k]] };
  });
  return { ...given, inputs };
}

test("of the ops that take tensors, all but a few refuse some type", () => {
  const open = taking.filter(({ op }) => !refused.some((one) => one.op === op)).map(({ name }) => name);
  expect(open.sort()).toEqual(["cast", "copy", "expand", "permute", "reshape", "slice", "unslice"]);
  expect(refused.length).toBeGreaterThan(300);
});

describe.each(openers.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.dispose());

  test.each(refused)("$name refuses $types, and leaves all as it was", async ({ op, given, types }) => {
    const inputs = place(drawInputs(retyped(given, types), 1), backend);
    const before = await Promise.all(inputs.map((input) => input.data()));
    const { buffers, bytes } = backend.memory();
    expect(() => runOp(op, inputs, given.attrs, backend)).toThrow(
      new RegExp(`^${op.name}: types ${types.join(", ")}, want \\w+`),
    );
    expect(backend.memory()).toMatchObject({ buffers, bytes });
    for (const [k, input] of inputs.entries()) expect(await input.data()).toEqual(before[k]);
    for (const input of inputs) input.dispose();
  });

  test.each(declared)("$name takes $types, and gives the reference's value", async ({ op, given, types }) => {
    const drawn = drawInputs(retyped(given, types), 1);
    const run = (on: Backend) => runOp(op, place(drawn, on), given.attrs, on);
    const absolute = drawn.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
    const magnitudes = op.tolerance.terms && runOp(op as AnyOp, place(absolute, exact), given.attrs, exact);
    const [found, reference] = [run(backend), run(exact)];
    const shapes = drawn.map(({ input }) => input.shape);
    for (const [k, output] of found.entries()) {
      const { relative, message } = await compare(op.tolerance, output, reference[k], magnitudes?.[k], shapes);
      expect(relative, message).toBeLessThanOrEqual(1);
    }
  });
});

// LayerNorm, RMSNorm and dropout against their formulas.
import { dropout, groupNorm, layerNorm, rmsNorm, stateDict } from "@pkg/nn";
import { cpu, dropout as dropElements, randomStream } from "@pkg/tensor";
import { expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { away, exact, expectSlopes, listed, random, stir } from "./layers.ts";

const mean = (row: readonly number[]) => row.reduce((sum, value) => sum + value, 0) / row.length;

test.each([
  [{ epsilon: 0.01 }, ["scale", "bias"]],
  [{ bias: false }, ["scale"]],
  [{ affine: false }, []],
])(
  "layerNorm with %o is (x − mean) / √(variance + ε) · scale + bias, and holds what it learns",
  async (options: { epsilon?: number; bias?: boolean; affine?: boolean }, names) => {
    const layer = layerNorm(6, { ...options, backend: exact });
    expect([...stateDict(layer).keys()]).toEqual(names);
    stir(layer);
    const x = random([2, 3, 6], 1);
    const [scale, bias] = [await layer.scale?.data(), await layer.bias?.data()];
    const wanted = (await listed<number[][][]>(x)).flat().map((row) => {
      const centred = row.map((value) => value - mean(row));
      const deviation = Math.sqrt(mean(centred.map((value) => value ** 2)) + (options.epsilon ?? 1e-5));
      return centred.map((value, k) => (value / deviation) * (scale?.[k] ?? 1) + (bias?.[k] ?? 0));
    });
    expect(await away(layer.forward(x), wanted)).toBeLessThan(1e-12);
    await expectSlopes((at, ...state) => at.layerNorm(state[0], state[1]), [x, random([6], 2), random([6], 3)]);
  },
);

test.each([[{}], [{ epsilon: 0.01 }], [{ affine: false }]])(
  "rmsNorm with %o is x / √(mean x² + ε) · scale",
  async (options: { epsilon?: number; affine?: boolean }) => {
    const layer = rmsNorm(5, { ...options, backend: exact });
    expect([...stateDict(layer).keys()]).toEqual(options.affine === false ? [] : ["scale"]);
    stir(layer);
    const x = random([4, 5], 1);
    const scale = await layer.scale?.data();
    const wanted = (await listed(x)).map((row) => {
      const size = Math.sqrt(mean(row.map((value) => value ** 2)) + (options.epsilon ?? 2 ** -23));
      return row.map((value, k) => (value / size) * (scale?.[k] ?? 1));
    });
    expect(await away(layer.forward(x), wanted)).toBeLessThan(1e-12);
    await expectSlopes((at) => layer.forward(at), [x]);
  },
);

test.each(openers)("the norms on $name are those in float64", async ({ open, skip }) => {
  if (skip) return;
  const backend = await open();
  for (const make of [layerNorm, rmsNorm]) {
    const [here, there] = [make(16, { backend }), make(16, { backend: exact })];
    stir(here);
    stir(there);
    const wanted = await there.forward(random([3, 16], 1)).data();
    expect(await away(here.forward(random([3, 16], 1, backend)), [...wanted])).toBeLessThan(1e-5);
  }
});

test("dropout drops where a stream is given, as the function does, and is the identity elsewhere", async () => {
  const backend = cpu();
  const x = random([64], 1, backend);
  const layer = dropout(0.25);
  expect(layer.forward(x)).toBe(x);
  expect(dropout(0).forward(x, randomStream(1))).toBe(x);
  const dropped = layer.forward(x, randomStream(1));
  expect(await away(dropped, [...(await dropElements(x, 0.25, randomStream(1)).data())])).toBe(0);
  expect((await dropped.data()).filter((value) => value === 0).length).toBeGreaterThan(5);
});

test("what no norm and no dropout can be is refused", () => {
  expect(() => layerNorm(0)).toThrow("layerNorm: channels is 0, want a positive integer");
  expect(() => layerNorm(4, { epsilon: -1 })).toThrow("layerNorm: epsilon is -1, want a positive number");
  expect(() => rmsNorm(4, { epsilon: Number.NaN })).toThrow("rmsNorm: epsilon is NaN, want a positive number");
  for (const epsilon of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => groupNorm(4, { epsilon })).toThrow(`groupNorm: epsilon is ${epsilon}, want a positive number`);
  for (const layer of [layerNorm, rmsNorm])
    for (const affine of [true, false])
      for (const shape of [[2, 1], [2, 4], [1]])
        expect(() => layer(3, { affine, backend: exact }).forward(random(shape, 1))).toThrow(
          new RegExp(`^${layer.name}: x is Tensor.*, want \\[\\.\\.\\., 3\\]$`),
        );
  expect(() => dropout(1)).toThrow("dropout: rate is 1, want a number in [0, 1)");
});

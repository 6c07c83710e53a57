// Indices outside of what they index: the same rule on every backend, and a NaN that detectNonFinite finds.
import { type Backend, crossEntropy, detectNonFinite, grad, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

const OUTSIDE = [1, 2, -1, 0, 2 ** 31 - 1, -(2 ** 31)];
const isMissing = OUTSIDE.map((index) => index < 0 || index > 1);

describe.each(openers.filter(({ skip }) => !skip))("an index outside, on $name", ({ open }) => {
  const indices = (backend: Backend) => tensor(Int32Array.from(OUTSIDE), { backend });

  test.each([1, 3, 4, 8])("gathers NaN for a row of %i floats", async (width) => {
    const backend = await open();
    const table = tensor(
      [0, 1].map((row) => Array.from({ length: width }, (_, j) => 10 * row + j)),
      { backend },
    );
    const rows = (await table.gather(indices(backend)).array()) as number[][];
    for (const [k, row] of rows.entries())
      expect(row).toEqual(Array.from({ length: width }, (_, j) => (isMissing[k] ? Number.NaN : 10 * OUTSIDE[k] + j)));
  });

  test("gathers 0 of integers and false of bools", async () => {
    const backend = await open();
    const wanted = OUTSIDE.map((index, k) => (isMissing[k] ? 0 : 5 + index));
    for (const dtype of ["int32", "uint32"] as const) {
      const table = tensor([5, 6], { backend, dtype });
      expect([...(await table.gather(indices(backend)).data())]).toEqual(wanted);
    }
    const bools = tensor([1, 1], { backend, dtype: "bool" });
    expect([...(await bools.gather(indices(backend)).data())].map(Number)).toEqual(isMissing.map((is) => Number(!is)));
  });

  test("along an axis is as in rows", async () => {
    const backend = await open();
    const x = tensor([[3, 4]], { backend });
    const found = await x.gatherAlong(indices(backend).reshape([1, 6])).data();
    expect([...found]).toEqual(OUTSIDE.map((index, k) => (isMissing[k] ? Number.NaN : 3 + index)));
  });

  test("is in no sum, so that the gradient of what was gathered elsewhere stands", async () => {
    const backend = await open();
    const ones = tensor(new Array<number>(6).fill(1), { backend });
    expect([...(await ones.scatterAdd(indices(backend), 2).data())]).toEqual([1, 1]);
    const along = ones.reshape([1, 6]).scatterAlong(indices(backend).reshape([1, 6]), 2);
    expect([...(await along.data())]).toEqual([1, 1]);
    const slopes = grad((t: Tensor) => t.gather(indices(backend)).sum(), [tensor([7, 8], { backend })])[0];
    expect([...(await slopes.data())]).toEqual([1, 1]);
  });

  test("is named by detectNonFinite", async () => {
    const backend = await open();
    const table = tensor([1, 2, 3], { backend });
    const index = tensor(Int32Array.of(2, 3), { backend });
    await expect(detectNonFinite(() => table.gather(index).exp())).rejects.toThrow(
      "detectNonFinite: op 1, gather of [3], [2], makes, as output 0, 1 NaN or infinite of 2 elements [2], want finite ones",
    );
    const logits = tensor([[0, 1]], { backend });
    const label = tensor(Int32Array.of(2), { backend });
    expect(await crossEntropy(logits, label).item()).toBeNaN();
  });
});

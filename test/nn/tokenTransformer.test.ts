// The transformer on categories: what it sees, and what it refuses.
import { parameters, tokenTransformer } from "@pkg/nn";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const init = { backend, rng: randomStream(0) };
const config = { states: 5, outputs: 4, channels: 8, depth: 2, heads: 2 };

test("every place sees every other, and which is where", async () => {
  const model = tokenTransformer(config, init);
  const logits = async (values: number[]) =>
    (await model.forward(tensor(Int32Array.from(values), { backend, shape: [1, 4] })).array()) as number[][][];
  const [base, changed, swapped] = [await logits([0, 1, 2, 3]), await logits([0, 1, 2, 4]), await logits([0, 2, 1, 3])];
  expect([base[0].length, base[0][0].length]).toEqual([4, 4]);
  for (const at of [0, 1, 2, 3]) expect(changed[0][at]).not.toEqual(base[0][at]);
  expect(Math.abs(swapped[0][0][0] - base[0][0][0])).toBeGreaterThan(1e-6);
});

test("a configuration or an input that fits nothing is refused", () => {
  expect(() => tokenTransformer({ ...config, heads: 8 }, init)).toThrow(
    "tokenTransformer: heads is 8, want half of a divisor of channels = 8",
  );
  expect(() => tokenTransformer({ ...config, depth: 0 }, init)).toThrow(
    "tokenTransformer: depth is 0, want a positive",
  );
  const model = tokenTransformer(config, { backend, rng: null });
  expect(() => model.forward(tensor([[1, 2]], { backend }))).toThrow("tokenTransformer: x is");
  expect(parameters(model).length).toBeGreaterThan(20);
});

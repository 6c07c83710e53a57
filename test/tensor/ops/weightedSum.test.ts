// Weighted sums of more tensors than a device binds at once: in passes, and captured with other weights at every step.
import { type Backend, capture, randomStream, type Tensor, weightedSum } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

const COUNT = 20;
const weightsAt = (step: number) => Array.from({ length: COUNT }, (_, k) => Math.cos(step + k));

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    const draw = (seed: number): Tensor[] => {
      const rng = randomStream(seed);
      return Array.from({ length: COUNT }, () => rng.normal([37], { backend }));
    };

    test("twenty tensors give the bits of sums of at most seven, or on the host fewer roundings", async () => {
      const [tensors, weights] = [draw(1), weightsAt(0)];
      let inParts = weightedSum(tensors.slice(0, 7), weights.slice(0, 7));
      for (let k = 7; k < COUNT; k += 6) {
        inParts = weightedSum([inParts, ...tensors.slice(k, k + 6)], [1, ...weights.slice(k, k + 6)]);
      }
      const [whole, parts] = [await weightedSum(tensors, weights).data(), await inParts.data()];
      if (name !== "cpu") expect(whole).toEqual(parts);
      for (const [i, sum] of whole.entries()) expect(Math.abs(sum - parts[i])).toBeLessThan(1e-5);
    });

    test("a captured one takes the weights of each step in all of its passes", async () => {
      let step = 0;
      const sum = (...tensors: Tensor[]) => {
        const now = ++step;
        return weightedSum(tensors, weightsAt(now));
      };
      const captured = capture(sum);
      for (let k = 1; k <= 6; k++) {
        const tensors = draw(k);
        expect(await captured(...tensors).data()).toEqual(await weightedSum(tensors, weightsAt(k)).data());
      }
      expect(captured.isReplaying).toBe(name === "webgpu");
      captured.dispose();
    });
  });
}

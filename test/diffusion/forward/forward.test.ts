// Noising data in one jump, and the loss on it.
import { alphaBarAt, cosine, linear, type Model, noisePrediction, qSample, scheduleTables } from "@pkg/diffusion";
import { type Backend, cpu, grad, randomStream, type Tensor, tensor, webgpu, zerosLike } from "@pkg/tensor";
import { expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { inTensor } from "../../setup/listOf.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

test("each sample is √ᾱ x₀ + √(1 − ᾱ) ε at its own step, with the stream's next normals", async () => {
  const x0 = tensor(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { backend: exact },
  );
  const { noisy, noise } = qSample(schedule, x0, [0, 999], randomStream(7));
  const epsilon = randomStream(7).host.normal([2, 3]);
  expect([...(await noise.data())]).toEqual([...epsilon]);
  const [first, last] = [0, 999].map((t) => alphaBarAt(schedule, t));
  const wanted = [1, 2, 3, 4, 5, 6].map((x, i) => {
    const alphaBar = i < 3 ? first : last;
    return Math.sqrt(alphaBar) * x + Math.sqrt(1 - alphaBar) * epsilon[i];
  });
  for (const [i, found] of [...(await noisy.data())].entries()) expect(found).toBeCloseTo(wanted[i], 10);
});

test.skipIf(!gpuAvailable)("the same seed gives the same bits on cpu and webgpu", async () => {
  const gpu = await webgpu();
  const noised = async (backend: Backend) => {
    const x0 = randomStream(1).normal([3, 5, 5, 2], { backend });
    const { noisy } = qSample(cosine(1000), x0, [0, 500, 999], randomStream(2));
    return noisy.data();
  };
  expect(await noised(gpu)).toEqual(await noised(cpu()));
  gpu.dispose();
});

test("times out of range are refused", () => {
  const x0 = tensor([[1], [2]], { backend: exact });
  expect(() => qSample(schedule, x0, [0], randomStream(0))).toThrow(
    "qSample: 1 times for a batch of 2, want one per sample",
  );
  expect(() => qSample(schedule, x0, [0, 1000], randomStream(0))).toThrow(
    "qSample: times[1] is 1000, want an integer in [0, 999]",
  );
});

test("the documents' training algorithm, written out, is the loss", async () => {
  const x0 = randomStream(3).normal([6, 5], { backend: exact });
  const model: Model = {
    forward: (x, times) =>
      x.mul(0.7).add(
        inTensor(times)
          .cast("float32")
          .mul(1 / 1000)
          .unsqueeze(1),
      ),
  };
  const rng = randomStream(9);
  const times = rng.host.integers(0, 1000, [6]); // t ~ Uniform{1, …, T}
  const epsilon = rng.host.normal([6, 5]); // ε ~ N(0, I)
  const x0s = await x0.data();
  let sum = 0;
  for (let i = 0; i < 30; i++) {
    const t = times[Math.floor(i / 5)];
    const alphaBar = alphaBarAt(schedule, t);
    const noisy = Math.sqrt(alphaBar) * x0s[i] + Math.sqrt(1 - alphaBar) * epsilon[i];
    sum += (epsilon[i] - (0.7 * noisy + t / 1000)) ** 2; // ‖ε − ε̂(x_t, t)‖²
  }
  expect(await noisePrediction(model, schedule, x0, randomStream(9)).item()).toBeCloseTo(sum / 30, 10);
});

test("the loss of predicting nothing is the mean of ε², that of predicting the noise is 0", async () => {
  const x0 = randomStream(3).normal([64, 50], { backend: exact });
  const nothing: Model = { forward: zerosLike };
  const loss = await noisePrediction(nothing, schedule, x0, randomStream(4)).item();
  expect(Math.abs(loss - 1)).toBeLessThan(5 * Math.sqrt(2 / (64 * 50))); // five standard deviations of a mean of χ²₁
  // The noise can be read off when the data is known.
  const knowing: Model = {
    forward(x, times) {
      const { signals, noises } = scheduleTables(schedule, exact);
      const [signal, noise] = [signals, noises].map((table) => table.gather(inTensor(times)).unsqueeze(1));
      return x.sub(x0.mul(signal)).div(noise);
    },
  };
  expect(await noisePrediction(knowing, schedule, x0, randomStream(4)).item()).toBeLessThan(1e-20);
});

test("the loss is differentiable twice with respect to the model's weights", async () => {
  const x0 = randomStream(3).normal([8, 4], { backend: exact });
  const w = tensor(0.3, { backend: exact });
  const loss = (w: Tensor) => noisePrediction({ forward: (x) => x.mul(w) }, schedule, x0, randomStream(5));
  const slope = (w: Tensor) => grad(loss, [w])[0];
  const [curvature] = grad(slope, [w]);
  const step = 1e-4;
  const [above, below] = [await slope(w.add(step)).item(), await slope(w.sub(step)).item()];
  expect(await curvature.item()).toBeCloseTo((above - below) / (2 * step), 6);
});

// Small networks trained by each objective: they find the score of an oracle, or of its noised data.
import {
  annealedScoreMatching,
  denoisingScoreMatching,
  drawProbes,
  explicitScoreMatching,
  exponential,
  finiteDifferenceSlicedEnergy,
  implicitScoreMatching,
  mixtureOracle,
  type Score,
  scoreOfEnergy,
  slicedScoreMatching,
  slicedScoreMatchingVR,
} from "@pkg/diffusion";
import { adamW, mlp, parameters } from "@pkg/nn";
import { type Backend, randomStream, type Tensor, tensor, wasm } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const oracle = mixtureOracle({
  means: [
    [-1, -0.5],
    [1, 0.5],
  ],
  variances: [0.5, [0.4, 0.8]],
});
const SIGMA = 0.5;
/** Of E‖∇log q‖²; a network of zeros leaves all of it. */
const LEFT = 1 / 4;
const BATCH = 128;

let backend: Backend;
beforeAll(async () => {
  backend = await wasm();
});
afterAll(() => backend.dispose());

const network = (outputs: number, timeChannels = 0) =>
  mlp({ sizes: [2, 32, 32, outputs], activation: "softplus", timeChannels }, { backend, rng: randomStream(1) });

function train(model: object, loss: (x: Tensor) => Tensor, steps = 400): void {
  const optimizer = adamW(parameters(model), { lr: (step) => 1e-2 * (1 - step / steps) });
  const rng = randomStream(2);
  for (let step = 0; step < steps; step++) {
    const x = oracle.sample(BATCH, rng, { backend });
    optimizer.minimize(() => loss(x)).dispose();
    x.dispose();
  }
}

/** E‖s − ∇log q‖² / E‖∇log q‖² on fresh points: 1 for s = 0. */
async function relativeError(score: Score, noise = 0): Promise<number> {
  const points = oracle.sample(4000, randomStream(3), { backend });
  const x = points.add(randomStream(4).normal([4000, 2], { backend, std: noise }));
  const wanted: Score = (y) => oracle.score(y, { signal: 1, noise });
  const error = await explicitScoreMatching(score, wanted, x).item();
  return error / (await explicitScoreMatching((y) => y.mul(0), wanted, x).item());
}

const rng = randomStream(5);

describe("what is left of the score's square after a short training", () => {
  test.each([
    ["explicit", (s: Score, x: Tensor) => explicitScoreMatching(s, oracle.score, x)],
    ["implicit", implicitScoreMatching],
    ["sliced", (s: Score, x: Tensor) => slicedScoreMatching(s, x, drawProbes(x, rng))],
    ["sliced, variance-reduced", (s: Score, x: Tensor) => slicedScoreMatchingVR(s, x, drawProbes(x, rng))],
  ] as const)("%s", async (_, objective) => {
    const model = network(2);
    const score: Score = (x) => model.forward(x);
    train(model, (x) => objective(score, x));
    expect(await relativeError(score)).toBeLessThan(LEFT);
  });

  test.each([false, true])("denoising, with the control variate: %s", async (controlVariate) => {
    const model = network(2);
    const score: Score = (x) => model.forward(x);
    train(model, (x) => denoisingScoreMatching(score, x, SIGMA, rng, { controlVariate }));
    expect(await relativeError(score, SIGMA)).toBeLessThan(LEFT);
  });

  test("sliced by finite differences of an energy", async () => {
    const model = network(1);
    const energy = (x: Tensor) => model.forward(x).squeeze(1);
    train(model, (x) => finiteDifferenceSlicedEnergy(energy, x, drawProbes(x, rng), { step: 0.1 }));
    expect(await relativeError(scoreOfEnergy(energy))).toBeLessThan(LEFT);
  });

  test("annealed, at each of five levels", async () => {
    const model = network(2, 16);
    const sigmas = exponential(5, { max: 3, min: 0.3 });
    const score = (x: Tensor, at: readonly number[]) => {
      const times = at.map((sigma) => 100 * Math.log(sigma));
      return model.forward(x, times).div(
        tensor(
          at.map((sigma) => [sigma]),
          { backend },
        ),
      );
    };
    train(model, (x) => annealedScoreMatching(score, x, sigmas, rng), 1000);
    for (const sigma of sigmas) {
      const atLevel: Score = (x) => score(x, new Array<number>(x.shape[0]).fill(sigma));
      expect(await relativeError(atLevel, sigma)).toBeLessThan(LEFT);
    }
  });
});

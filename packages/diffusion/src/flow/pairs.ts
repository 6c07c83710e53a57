// Pairs of data and noise that are not independent: by optimal transport in a batch, and by the flow itself.

import { backendOf } from "@pkg/nn";
import { defaultBackend, type RandomStream, type Shape, type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkNoise } from "../forward/forward.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { checkBatch, sampleSize } from "../objective/perSample.ts";
import { finalSample, type SampleOptions, type Sampler, sample } from "../sampling/sampler.ts";
import { euler } from "../sampling/solvers/euler.ts";
import { leastAssignment } from "./assignment.ts";

/** The most samples that are assigned at once: more take seconds. */
const LARGEST_BATCH = 512;

/**
 * The noise in the order in which Σ ‖x₀ − ε‖² is least: minibatch optimal transport, by exact assignment (Tong et al. 2024, algorithm 3).
 * A flow trained on such pairs, `flowMatching(model, x0, rng, { noise })`, has trajectories that cross less. Products are computed where
 * x₀ is, the assignment in float64 on the host.
 * @param x0 [batch, ...], at most 512 samples
 * @param noise of x0's shape
 * @returns the samples of the noise, each beside its x₀
 * @throws Error for a larger batch, and for data or noise that are not finite; ShapeError for noise that is not of x0's shape
 * @example
 * ```ts
 * import { optimalPairs } from "@pkg/diffusion";
 * import { cpu, tensor } from "@pkg/tensor";
 *
 * const backend = cpu();
 * const [x0, noise] = [[[0], [5]], [[4], [-1]]].map((values) => tensor(values, { backend }));
 * console.log(await (await optimalPairs(x0, noise)).array()); // [ [ -1 ], [ 4 ] ]
 * ```
 */
export async function optimalPairs(x0: Tensor, noise: Tensor): Promise<Tensor> {
  expectArguments("optimalPairs", { x0, noise });
  checkBatch("optimalPairs", x0);
  checkNoise("optimalPairs", noise, x0);
  const batch = x0.shape[0];
  if (batch > LARGEST_BATCH) throw new Error(`optimalPairs: x0 has ${batch} samples, want at most ${LARGEST_BATCH}`);
  // ‖x₀‖² and ‖ε‖² count in every order alike.
  const products = tidy(() => {
    const rows = (x: Tensor) => x.reshape([batch, sampleSize(x)]);
    return rows(x0).matmul(rows(noise).transpose()).neg();
  });
  const costs = await products.data();
  products.dispose();
  const wrong = costs.findIndex((cost) => !Number.isFinite(cost));
  if (wrong !== -1)
    throw new Error(
      `optimalPairs: x0 or noise of samples ${Math.floor(wrong / batch)} and ${wrong % batch} is not finite`,
    );
  const order = leastAssignment(costs, batch);
  return tidy(() => noise.gather(tensor(order, { backend: x0.backend })));
}

/** How the pairs of `reflowPairs` are drawn. */
export interface ReflowOptions extends Pick<SampleOptions, "labels" | "backend"> {
  /** The solver of the flow. Default `euler`. */
  readonly solver?: (path: NoisePath) => Sampler;
}

/**
 * Noise and the data to which a flow's ODE takes it: the pairs on which the next flow is trained, by `flowMatching(model, x0, rng, { noise })`,
 * and whose trajectories are straighter (Liu et al. 2023, section 2.2, algorithm 1).
 * @param path of the flow, `flowPath({ steps: 100 })`: more steps give truer pairs
 * @param shape [batch, ...]
 * @throws Error for a solver that draws noise, and as `sample`
 */
export async function reflowPairs(
  path: NoisePath,
  model: Model,
  shape: Shape,
  rng: RandomStream,
  options: ReflowOptions = {},
): Promise<{ readonly x0: Tensor; readonly noise: Tensor }> {
  expectArguments("reflowPairs", { path, model, shape, rng, options });
  const { labels, backend = backendOf(model) ?? defaultBackend(), solver = euler } = options;
  expectArguments("reflowPairs", { solver });
  const noise = rng.normal(shape, { backend });
  const silent = {
    normal: () => {
      throw new Error("reflowPairs: the solver draws noise, want one of the ODE");
    },
  };
  const x = tidy(() => noise.mul(path.prior));
  try {
    const x0 = await finalSample(sample(solver(path), model, shape, silent, { from: { x }, labels, backend }));
    return { x0, noise };
  } catch (error) {
    noise.dispose();
    throw error;
  } finally {
    x.dispose();
  }
}

/**
 * E ∫ ‖(ε − x₀) − u(x_t, t)‖² dt / d along the flow's own trajectories, from x at each level to the next (Liu et al. 2023, eq. 6, as a
 * mean over elements). It is 0 where all are straight, when one step of Euler's method is exact.
 * @param path of the linear interpolant; its levels are the points of the integral
 * @throws Error for a path of another interpolant, and as `sample`
 */
export async function straightness(
  path: NoisePath,
  model: Model,
  shape: Shape,
  rng: RandomStream,
  options: Pick<SampleOptions, "labels" | "backend"> = {},
): Promise<number> {
  expectArguments("straightness", { path, model, shape, rng, options });
  checkStraight(path);
  const { labels, backend = backendOf(model) ?? defaultBackend() } = options;
  const noise = rng.normal(shape, { backend });
  const velocities: { readonly velocity: Tensor; readonly length: number }[] = [];
  let x = tidy(() => noise.mul(path.prior));
  const from = { x };
  try {
    for await (const step of sample(euler(path), model, shape, rng, { from, labels, backend })) {
      const length = path.levels[step.step - 1].t - path.levels[step.step].t;
      const before = x;
      velocities.push({ velocity: tidy(() => before.sub(step.x).mul(1 / length)), length });
      x = tidy(() => step.x.add(0));
      before.dispose();
    }
    const total = tidy(() => {
      const way = noise.sub(x);
      return velocities
        .map(({ velocity, length }) => way.sub(velocity).square().mean().mul(length))
        .reduce((a, b) => a.add(b));
    });
    const value = await total.item();
    total.dispose();
    return value;
  } finally {
    for (const tensor of [x, noise, ...velocities.map(({ velocity }) => velocity)]) tensor.dispose();
  }
}

/** How far a level of the linear interpolant may be from 1 − t and t: a path's first has a little signal for solvers to divide by. */
const NEAR = 2 ** -18;

/** @throws Error unless each level has the signal 1 − t and the noise t */
function checkStraight({ levels }: NoisePath): void {
  const other = levels.find(({ t, signal, noise }) => !(Math.abs(signal - (1 - t)) + Math.abs(noise - t) <= NEAR));
  if (other)
    throw new Error(
      `straightness: path has signal ${other.signal} and noise ${other.noise} at t = ${other.t}, want 1 − t and t: flowPath()`,
    );
}

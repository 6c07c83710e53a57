// Mixtures of Gaussians on a line under noise, in float64 on the host: their denoiser, and where the probability-flow ODE leads.
import {
  type DiscretePath,
  discretePath,
  fromAlphaBars,
  type Model,
  type NoiseLevel,
  type NoiseSource,
  type PathOptions,
  type Sampler,
  sample,
  sigmaOf,
} from "@pkg/diffusion";
import { cpu, type Tensor, tensor } from "@pkg/tensor";

export interface Part {
  readonly weight: number;
  readonly mean: number;
  readonly variance: number;
}

const backend = cpu({ precision: "float64" });

/** From the noisiest level to the data: `steps` steps even in log σ from 12 to 0.15, and one to the data. */
function evenPath(steps: number): DiscretePath {
  return pathOfSigmas(
    Array.from({ length: steps + 1 }, (_, k) => sigmaAt(steps - k, steps)),
    { prediction: "data" },
  );
}

/** All steps of a schedule that has these σ, falling: every solver takes such a path. */
export function pathOfSigmas(sigmas: readonly number[], options: PathOptions = {}): DiscretePath {
  return discretePath(fromAlphaBars(sigmas.toReversed().map((sigma) => 1 / (1 + sigma ** 2))), options);
}

/** σ of a step, and between two steps as the path has it. */
function sigmaAt(t: number, steps: number): number {
  return 0.15 * (12 / 0.15) ** (t / steps);
}

/** E[x₀ | x₀ + σ ε = y]. */
function denoise(parts: readonly Part[], y: number, sigma: number): number {
  let [total, mean] = [0, 0];
  for (const part of parts) {
    const variance = part.variance + sigma ** 2;
    const density = (part.weight * Math.exp((-0.5 * (y - part.mean) ** 2) / variance)) / Math.sqrt(variance);
    total += density;
    mean += density * (part.mean + (part.variance / variance) * (y - part.mean));
  }
  return mean / total;
}

/** The exact denoiser as a model on `evenPath(steps)`. */
function exactModel(parts: readonly Part[], steps: number): Model {
  return {
    forward(x, [t]: readonly number[]) {
      const sigma = sigmaAt(t, steps);
      const y = x.mul(Math.hypot(1, sigma));
      const components = parts.map(({ weight, mean, variance }) => {
        const total = variance + sigma ** 2;
        const density = y
          .sub(mean)
          .square()
          .mul(-0.5 / total)
          .exp()
          .mul(weight / Math.sqrt(total));
        return {
          density,
          data: y
            .sub(mean)
            .mul(variance / total)
            .add(mean),
        };
      });
      const sum = (of: (component: (typeof components)[0]) => Tensor) => components.map(of).reduce((a, b) => a.add(b));
      return sum(({ density, data }) => density.mul(data)).div(sum(({ density }) => density));
    },
  };
}

/** y = x / signal at each level of the path, where the flow starts from y at the first: RK4 over log σ, eight steps per step. */
function flow(parts: readonly Part[], { levels }: DiscretePath, start: number): number[] {
  const found = [start];
  let y = start;
  const noisy = levels.filter(({ noise }) => noise > 0).map(sigmaOf);
  for (let k = 0; k + 1 < noisy.length; k++) {
    const h = Math.log(noisy[k + 1] / noisy[k]) / 8;
    for (let part = 0; part < 8; part++) {
      const at = (share: number) => noisy[k] * Math.exp(h * (part + share));
      const slope = (y: number, share: number) => y - denoise(parts, y, at(share));
      const k1 = slope(y, 0);
      const k2 = slope(y + (h / 2) * k1, 1 / 2);
      const k3 = slope(y + (h / 2) * k2, 1 / 2);
      const k4 = slope(y + h * k3, 1);
      y += (h / 6) * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    found.push(y);
  }
  return found;
}

/** Where runs start, in y. */
const STARTS = [-11, -3, 0.4, 7, 15];
/** How many steps are begun on the exact solution, so that methods that look back remember what it would have left them. */
const BEGUN = 4;

/** The root mean square of the errors at the last level with noise, of runs that begin with the exact flow and go on with the sampler. */
export async function flowError(
  of: (path: DiscretePath) => Sampler,
  parts: readonly Part[],
  steps: number,
): Promise<number> {
  const path = evenPath(steps);
  const flows = STARTS.map((start) => flow(parts, path, start));
  const exact = (index: number) =>
    tensor(
      flows.map((ys) => path.levels[index].signal * ys[index]),
      { backend, shape: [STARTS.length, 1] },
    );
  const model = exactModel(parts, steps);
  const sampler = of(path);
  let memory: readonly Tensor[] = [];
  const rng: NoiseSource = { normal: () => expectNoDraw() };
  for (let step = 0; step < BEGUN; step++) {
    const options = { from: { x: exact(step), step, memory }, until: step + 1 };
    for await (const done of sample(sampler, model, [STARTS.length, 1], rng, options)) memory = done.memory;
  }
  const from = { x: exact(BEGUN), step: BEGUN, memory };
  const last = path.levels[steps].signal;
  let ends: ArrayLike<number> = [];
  for await (const { x } of sample(sampler, model, [STARTS.length, 1], rng, { from, until: steps }))
    ends = await x.data();
  return Math.sqrt(flows.reduce((sum, ys, k) => sum + (ends[k] - last * ys[steps]) ** 2, 0) / STARTS.length);
}

function expectNoDraw(): never {
  throw new Error("a solver of the ODE drew noise");
}

/**
 * How far the variance at the last level with noise is from the marginal's, for data from N(0, variance). A sampler is linear in its start
 * and its draws: sample 0 starts at a standard deviation without noise, sample k at 0 with 1 as its k-th draw alone.
 */
export async function varianceBias(
  of: (path: DiscretePath) => Sampler,
  variance: number,
  steps: number,
): Promise<number> {
  const path = evenPath(steps);
  const batch = 2 * path.levels.length; // at most two draws per step
  const unit = (at: number) =>
    tensor(
      Float64Array.from({ length: batch }, (_, k) => Number(k === at)),
      { backend, shape: [batch, 1] },
    );
  let draws = 0;
  const oneAtATime: NoiseSource = { normal: () => unit(++draws) };
  const total = ({ signal, noise }: NoiseLevel) => signal ** 2 * variance + noise ** 2;
  const last = path.levels[steps];
  const from = { x: unit(0).mul(Math.sqrt(total(path.levels[0]))) };
  const model = exactModel([{ weight: 1, mean: 0, variance }], steps);
  let ends: ArrayLike<number> = [];
  for await (const { x } of sample(of(path), model, [batch, 1], oneAtATime, { from, until: steps }))
    ends = await x.data();
  const found = Array.from(ends).reduce((sum, x) => sum + x * x, 0);
  return Math.abs(found - total(last));
}

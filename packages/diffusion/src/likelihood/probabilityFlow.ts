// The probability-flow ODE of a path, which moves densities as the diffusion does, solved adaptively: drawing samples and encoding data.

import { backendOf, type Conditioning } from "@pkg/nn";
import { type Backend, defaultBackend, type Shape, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../forward/level.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { spoilt } from "../model/modelOutput.ts";
import { checkBatch } from "../objective/perSample.ts";
import { readData } from "../readData.ts";
import type { NoiseSource } from "../sampling/sampler.ts";
import { dormandPrince, type OdeOptions } from "./dormandPrince.ts";

/**
 * dy/d log σ = y − D(y; σ) in y = x / signal, whose densities at every σ are those of x₀ + σ ε: Song et al. 2021, eq. 13, in the form of
 * Karras et al. 2022, eq. 1, which is one for all paths. At log σ it is smooth however small σ is.
 */
export interface ProbabilityFlow {
  /** The path's first level. */
  readonly noisiest: NoiseLevel;
  /** The path's last level that has noise. */
  readonly cleanest: NoiseLevel;
  /** y − D(y; σ); NaN for a sample whose prediction has an element that is NaN or infinite, clipped or not. */
  slope(y: Tensor, logSigma: number): Tensor;
}

/** The tolerance of the ODE, and the labels of the samples. */
export interface FlowOptions extends OdeOptions, Pick<Conditioning, "labels"> {}

/** The probability-flow ODE of a path and a model, in ln σ. @throws Error for a path without noise */
export function probabilityFlow(
  path: NoisePath,
  model: Model,
  options: Pick<Conditioning, "labels"> = {},
): ProbabilityFlow {
  expectArguments("probabilityFlow", { path, model, options });
  const { labels } = options;
  const noisy = path.levels.filter(({ noise }) => noise > 0);
  const [noisiest, cleanest] = [noisy[0], noisy[noisy.length - 1]];
  if (noisy.length < 2)
    throw new Error(`probabilityFlow: ${noisy.length} levels with noise, want at least two to go between`);
  return {
    noisiest,
    cleanest,
    slope(y, logSigma) {
      const level = path.at(Math.exp(logSigma));
      const x = y.mul(level.signal);
      const predicted = model.forward(x, new Array<number>(x.shape[0]).fill(level.t), { labels });
      // A clip would make a good slope of an output that is not finite.
      return spoilt(y.sub(path.denoise(predicted, x, level)), [predicted]);
    },
  };
}

/** Where a flow stands after a step; its tensors live until the next is asked for. */
export interface FlowStep {
  /** In the path's scale at `level`. */
  readonly x: Tensor;
  /** The estimate of x₀ there. */
  readonly denoised: Tensor;
  /** The level that it reached. */
  readonly level: NoiseLevel;
  /** Steps accepted so far. */
  readonly step: number;
  /** Steps tried and refused so far. */
  readonly refused: number;
  /** Calls of the model so far. */
  readonly evaluations: number;
}

/** The options of `sampleFlow`. */
export interface SampleFlowOptions extends FlowOptions {
  /** What to start from at the first level, instead of noise drawn from rng. */
  readonly from?: Tensor;
  /** Where to compute. Default: where the model's parameters are. */
  readonly backend?: Backend;
}

/**
 * Draws samples by the probability-flow ODE with steps of Dormand and Prince's method that keep to a tolerance (Song et al. 2021,
 * section 4.3: RK45 with 1e-5). Of the path it takes the ends alone; when it ends at the data, the last step is x̂₀.
 * `finalSample` waits for the last x.
 * @param shape [batch, ...]
 * @throws Error for tolerances ≤ 0, when maxSteps don't do, and when the model's output is not finite
 */
export async function* sampleFlow(
  path: NoisePath,
  model: Model,
  shape: Shape,
  rng: NoiseSource,
  options: SampleFlowOptions = {},
): AsyncGenerator<FlowStep, void, void> {
  expectArguments("sampleFlow", { path, model, shape, rng, options });
  const { from, backend = from?.backend ?? backendOf(model) ?? defaultBackend(), labels, ...others } = options;
  if (!backend) throw new Error("sampleFlow: the model has no parameters to tell its backend, want the backend option");
  if (from && `${from.shape}` !== `${shape}`)
    throw new Error(`sampleFlow: from has shape [${from.shape}], want [${shape}]`);
  const flow = probabilityFlow(path, model, { labels });
  const scale = (from ? 1 : path.prior) / flow.noisiest.signal;
  const y = tidy(() => (from ?? rng.normal(shape, { backend })).mul(scale));
  const end = path.levels[path.levels.length - 1];
  for await (const step of walk(path, flow, y, { from: flow.noisiest, to: flow.cleanest, options: others })) {
    yield step;
    if (step.level !== flow.cleanest || end.noise > 0) continue;
    step.x.dispose();
    yield { ...step, x: step.denoised, level: end };
  }
}

/**
 * The same ODE from data to noise: the last x is what `sampleFlow` would make these data of, and near N(0, prior² I).
 * @param x0 [batch, ...], taken to stand at the path's last level with noise, x = signal · x₀; at the first one in the end
 * @throws Error as `sampleFlow`, and for data that are not finite
 */
export async function* encodeFlow(
  path: NoisePath,
  model: Model,
  x0: Tensor,
  options: FlowOptions = {},
): AsyncGenerator<FlowStep, void, void> {
  expectArguments("encodeFlow", { path, model, x0, options });
  const { labels, ...others } = options;
  checkBatch("encodeFlow", x0);
  await readData("encodeFlow", x0);
  const flow = probabilityFlow(path, model, { labels });
  yield* walk(path, flow, x0.detach(), { from: flow.cleanest, to: flow.noisiest, options: others });
}

/** The flow in errors. */
export const NAMES = { time: "log σ", source: "the model's output" };

async function* walk(
  path: NoisePath,
  flow: ProbabilityFlow,
  y: Tensor,
  { from, to, options }: { readonly from: NoiseLevel; readonly to: NoiseLevel; readonly options: OdeOptions },
): AsyncGenerator<FlowStep, void, void> {
  const [start, end] = [from, to].map((level) => Math.log(sigmaOf(level)));
  const field = (t: number, [state]: readonly Tensor[]) => [flow.slope(state, t)];
  try {
    for await (const { t, state, slope, ...counts } of dormandPrince(field, [y], start, end, options, NAMES)) {
      const level = t === end ? to : path.at(Math.exp(t));
      const { x, denoised } = tidy(() => ({ x: state[0].mul(level.signal), denoised: state[0].sub(slope[0]) }));
      yield { x, denoised, level, ...counts };
      if (t !== end) for (const tensor of [x, denoised]) tensor.dispose();
      else state[0].dispose();
    }
  } finally {
    y.dispose();
  }
}

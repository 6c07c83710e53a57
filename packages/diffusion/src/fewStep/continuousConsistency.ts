// Consistency training and distillation in continuous time (sCM): along a trajectory, the output's derivative by time is to be 0.

import { jvp, type RandomStream, type Tensor } from "@pkg/tensor";
import { expectKind } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { asColumn, checkPredicted, sumPerSample } from "../objective/perSample.ts";
import { type TrigFlowOptions, trigBatch } from "./trigFlow.ts";

/** What the trajectory is, and how the tangent is kept in bounds. */
export interface ContinuousConsistencyOptions extends TrigFlowOptions {
  /** The teacher's F, trained by `trigFlowLoss`: distillation. Default: none, training, along the pair's own velocity. */
  readonly teacher?: Model;
  /** r, in [0, 1]: the weight of the part with dF/dt, which the paper raises from 0 to 1 in 10,000 updates. Default 1. */
  readonly warmup?: number;
  /** c of the normalised tangent g / (‖g‖ + c), or false for g itself. Default 0.1. */
  readonly normalise?: number | false;
}

/**
 * E‖F(x_t / σ_d, t) − sg(F + g)‖² with the tangent g = −cos² t (σ_d F − dx_t/dt) − r cos t sin t (x_t + σ_d dF/dt), which for r = 1 is
 * cos t df/dt of f = cos t x_t − sin t σ_d F (Lu & Song 2025, "Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models",
 * section 4 and algorithm 1). dF/dt is one jvp with tangents (cos t sin t dx_t/dt / σ_d, cos t sin t). g is divided by its norm plus c;
 * here the norm is the root of the sum of squares over √d, so that c means the same for any number of elements.
 *
 * The paper's adaptive weighting by a second network, e^w(t), is left out: its minimum is the same.
 * @param network F: forward(x, t), both differentiable; f is `trigDenoiser(network)`
 * @param x0 [batch, ...], of standard deviation σ_d
 * @param rng draws times, z, and the network's dropout masks
 * @returns [], the mean of g² over batch and elements: 0 for an exact consistency function of the teacher
 * @throws Error for options out of range and times that do not fit; ShapeError when a prediction or the noise is not of x0's shape
 * @example
 * ```ts
 * import { continuousConsistency, type Model } from "@pkg/diffusion";
 * import { cpu, randomStream, Tensor } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const half = (t: unknown) => (t instanceof Tensor ? t.mul(0.5).unsqueeze(1) : null) as Tensor;
 * // Data that are N(0, σ_d²), as the noise is: nothing moves along the flow, and f is x.
 * const flow: Model = { forward: (x) => x.mul(0) };
 * const exact: Model = { forward: (x, t) => x.mul(half(t).sin().div(half(t).cos())).neg() };
 * const x0 = rng.normal([64, 2], { backend, std: 0.5 });
 * const loss = (network: Model) => continuousConsistency(network, x0, rng, { teacher: flow }).item();
 * console.log((await loss(exact)) < 1e-8, (await loss(flow)) > 0.01); // true true
 * ```
 */
export function continuousConsistency(
  network: Model,
  x0: Tensor,
  rng: RandomStream,
  options: ContinuousConsistencyOptions = {},
): Tensor {
  const name = "continuousConsistency";
  const { x, t, cos, sin, velocity: ofPair, sigmaData } = trigBatch(name, network, x0, rng, options);
  const { labels, teacher, warmup = 1, normalise = 0.1 } = options;
  if (teacher !== undefined) expectKind(name, "model", teacher, "teacher");
  if (!(warmup >= 0 && warmup <= 1)) throw new Error(`${name}: warmup is ${warmup}, want a number in [0, 1]`);
  if (normalise !== false && !(normalise > 0 && Number.isFinite(normalise)))
    throw new Error(`${name}: normalise is ${normalise}, want a positive number or false`);
  const scaled = x.mul(1 / sigmaData);
  const velocity = teacher ? teacher.forward(scaled, t, { labels }).mul(sigmaData).detach() : ofPair;
  checkPredicted(name, velocity, x0);
  const product = cos.mul(sin);
  const { value, tangent } = jvp(
    (at, time) => network.forward(at, time, { labels, rng }),
    [scaled, t],
    [velocity.mul(product).mul(1 / sigmaData), product.reshape(t.shape)],
  );
  checkPredicted(name, value, x0);
  const ofTime = x.mul(product).add(tangent.mul(sigmaData));
  const g = cos
    .square()
    .mul(velocity.sub(value.mul(sigmaData)))
    .sub(ofTime.mul(warmup))
    .detach();
  const target = value.add(normalise === false ? g : normalised(g, normalise)).detach();
  return value.sub(target).square().mean();
}

/** g / (‖g‖ / √d + c). */
function normalised(g: Tensor, c: number): Tensor {
  const size = sumPerSample(g.square())
    .mul(g.shape[0] / g.size)
    .sqrt();
  return g.div(asColumn(g, size.add(c)));
}

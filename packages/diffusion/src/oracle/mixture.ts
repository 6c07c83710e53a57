// Mixtures of Gaussians, which stay such under noise: the oracle behind the others.

import { ShapeError, type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectKind } from "../arguments.ts";
import { bracket } from "../model/score.ts";
import {
  type Component,
  covarianceOfMixture,
  drawMixture,
  type MixtureParts,
  meanOfMixture,
  readMixture,
} from "./components.ts";
import type { Noisings, Oracle } from "./oracle.ts";
import { checkLevels, isTensors, type Levels, scalesOnDevice, scalesOnHost } from "./scales.ts";

/** A mixture of Gaussians: an oracle that also tells its components apart. */
export interface MixtureOracle extends Oracle {
  /** log p(k | x), the best classifier of the components: [batch, ...shape] → [batch, components] */
  logPosterior(x: Tensor, levels?: Noisings): Tensor;
}

/**
 * p = Σ_k w_k N(μ_k, Σ_k). Under noise it is Σ_k w_k N(a μ_k, C_k) with C_k = a² Σ_k + b² I, a the signal and b the noise. With z_k = x − a μ_k,
 * u_k = C_k⁻¹ z_k and the responsibilities r_k = softmax_k(log w_k + log N(x; a μ_k, C_k)):
 *
 *     ∇ log q = −Σ r_k u_k          E[x₀ | x] = Σ r_k (μ_k + a Σ_k u_k)          E[ε | x] = b Σ r_k u_k
 *     tr ∇² log q = Σ r_k (‖u_k + ∇ log q‖² − tr C_k⁻¹)
 *
 * Sums of exponentials are taken from the largest on, so far away from all components the nearest remains, as far as the backend can
 * hold ‖z‖² / C (3e38 in float32).
 * @throws Error naming the part that is out of range; ShapeError for one of a wrong length. From methods: ShapeError unless x is
 * [batch, ...shape]; Error for a number of levels that is neither one nor the batch, for one that is not finite or below 0, and
 * where a component has no width (variance 0 without noise)
 * @example
 * ```ts
 * import { mixtureOracle } from "@pkg/diffusion";
 * import { cpu, randomStream, tensor } from "@pkg/tensor";
 *
 * const oracle = mixtureOracle({ means: [[-2], [2]], variances: [0.25, 0.25] });
 * const backend = cpu({ precision: "float64" });
 * const x = tensor([[0], [1]], { backend });
 * const noising = { signal: 0.8, noise: 0.6 };
 * console.log(await oracle.denoise(x, noising).array()); // [[0], [1.76335…]]
 * console.log(oracle.covariance()[0][0]); // 4.25
 * console.log(oracle.sample(5, randomStream(0), { backend }).shape); // [5, 1]
 * ```
 */
export function mixtureOracle(parts: MixtureParts): MixtureOracle {
  expectKind("mixtureOracle", "mixture", parts, "parts");
  return mixture("mixtureOracle", parts);
}

/** `mixtureOracle`, with errors under another name. */
export function mixture(name: string, parts: MixtureParts): MixtureOracle {
  const { components, shape } = readMixture(name, parts);
  const at = (x: Tensor, levels: Noisings = { signal: 1, noise: 0 }): View => {
    if (x.rank === 0 || bracket(x.shape.slice(1)) !== bracket(shape))
      throw new ShapeError(`${name}: x is ${bracket(x.shape)}, want [batch, ${shape.join(", ")}]`);
    return view(components, x, checkLevels(name, levels, x, components));
  };
  return {
    shape,
    mean: meanOfMixture(components),
    covariance: () => covarianceOfMixture(components),
    logDensity: (x, levels) => tidy(() => at(x, levels).logits.logSumExp(1)),
    logPosterior: (x, levels) => tidy(() => at(x, levels).logits.logSoftmax(1)),
    score: (x, levels) =>
      tidy(() => {
        const { average, u } = at(x, levels);
        return average(u).neg();
      }),
    divergence: (x, levels) =>
      tidy(() => {
        const { average, u, precisions, logits } = at(x, levels);
        const away = u.sub(average(u).reshape([x.shape[0], 1, -1]));
        return away.square().sum(2).sub(precisions).mul(logits.softmax(1)).sum(1);
      }),
    denoise: (x, levels) =>
      tidy(() => {
        const { average, estimates } = at(x, levels);
        return average(estimates());
      }),
    predictNoise: (x, levels) =>
      tidy(() => {
        const { average, u, noises } = at(x, levels);
        return average(u.mul(noises));
      }),
    sample: (count, rng, { backend } = {}) =>
      tensor(drawMixture(components, count, rng), { backend, shape: [count, ...shape] }),
  };
}

/** Samples seen from the components, in the letters of `mixtureOracle`; n is 1 or the batch. */
interface View {
  /** log w_k + log N(x; a μ_k, C_k), [batch, components] */
  readonly logits: Tensor;
  /** C_k⁻¹ z_k, [batch, components, d] */
  readonly u: Tensor;
  /** tr C_k⁻¹, [n, components] */
  readonly precisions: Tensor;
  /** b, [n, 1, 1] */
  readonly noises: Tensor;
  /** μ_k + a Σ_k u_k, [batch, components, d] */
  estimates(): Tensor;
  /** Σ r_k y_k in the shape of x, of y [batch, components, d] */
  average(y: Tensor): Tensor;
}

function view(components: readonly Component[], x: Tensor, levels: Levels): View {
  const { backend } = x;
  const [count, d] = [components.length, components[0].mean.length];
  const { variances, signals, noises, constants, precisions, gains } = isTensors(levels)
    ? scalesOnDevice(components, x, levels)
    : scalesOnHost(components, x, levels);
  const { turn, turnBack } = axesOf(components, d, x);
  const means = tensor(Float64Array.from(components.flatMap(({ mean }) => [...mean])), {
    backend,
    shape: [1, count, d],
  });
  const z = turn(x.reshape([x.shape[0], 1, d]).sub(means.mul(signals)));
  const turned = z.div(variances); // u in the axes of its component
  const logits = z.mul(turned).sum(2).mul(-0.5).add(constants);
  return {
    logits,
    u: turnBack(turned),
    precisions,
    noises,
    estimates: () => means.add(turnBack(turned.mul(gains()))),
    average: (y) => y.mul(logits.softmax(1).unsqueeze(2)).sum(1).reshape(x.shape),
  };
}

/** To and from the axes of the components, of [batch, components, d]. */
function axesOf(
  components: readonly Component[],
  d: number,
  { backend }: Tensor,
): { turn: (y: Tensor) => Tensor; turnBack: (y: Tensor) => Tensor } {
  if (components.every(({ axes }) => axes === null)) return { turn: (y) => y, turnBack: (y) => y };
  const rows = components.flatMap(({ axes }) =>
    Array.from({ length: d * d }, (_, i) => axes?.[Math.floor(i / d)][i % d] ?? Number(i % (d + 1) === 0)),
  );
  const vectors = tensor(Float64Array.from(rows), { backend, shape: [components.length, d, d] });
  const times = (y: Tensor, matrices: Tensor) => y.permute([1, 0, 2]).matmul(matrices).permute([1, 0, 2]);
  return { turn: (y) => times(y, vectors), turnBack: (y) => times(y, vectors.transpose()) };
}

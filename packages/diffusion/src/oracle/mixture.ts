// Mixtures of Gaussians, which stay such under noise: the oracle behind the others.

import { ShapeError, type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectKind } from "../arguments.ts";
import { bracket } from "../model/score.ts";
import {
  along,
  type Component,
  covarianceOfMixture,
  drawMixture,
  type MixtureParts,
  meanOfMixture,
  readMixture,
} from "./components.ts";
import type { Noising, Oracle } from "./oracle.ts";

/** A mixture of Gaussians: an oracle that also tells its components apart. */
export interface MixtureOracle extends Oracle {
  /** log p(k | x), the best classifier of the components: [batch, ...shape] → [batch, components] */
  logPosterior(x: Tensor, levels?: Noising | readonly Noising[]): Tensor;
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
  const at = (x: Tensor, levels: Noising | readonly Noising[] = { signal: 1, noise: 0 }): View => {
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

function view(components: readonly Component[], x: Tensor, levels: readonly Noising[]): View {
  const { backend } = x;
  const [n, count, d] = [levels.length, components.length, components[0].mean.length];
  // Where every component is as wide in all directions, one number stands for d.
  const width = components.every(({ spread }) => spread.length === 1) ? 1 : d;
  const repeats = d / width;
  /** A table [n, components, width] in float64. */
  const table = (value: (variance: number, level: Noising) => number) =>
    levels.map((level) =>
      components.map(({ spread }) => Float64Array.from({ length: width }, (_, i) => value(along(spread, i), level))),
    );
  const spread = (rows: readonly (readonly Float64Array[])[]) =>
    tensor(Float64Array.from(rows.flatMap((row) => row.flatMap((values) => [...values]))), {
      backend,
      shape: [n, count, width],
    });
  const perComponent = (value: (variances: Float64Array, component: Component) => number) =>
    tensor(
      variances.map((row) => row.map((values, k) => value(values, components[k]))),
      { backend },
    );
  const perLevel = (value: (level: Noising) => number) => tensor(levels.map(value), { backend, shape: [n, 1, 1] });

  const variances = table(widthOf);
  const { turn, turnBack } = axesOf(components, d, x);
  const means = tensor(Float64Array.from(components.flatMap(({ mean }) => [...mean])), {
    backend,
    shape: [1, count, d],
  });
  const z = turn(x.reshape([x.shape[0], 1, d]).sub(means.mul(perLevel(({ signal }) => signal))));
  const turned = z.div(spread(variances)); // u in the axes of its component
  const constants = perComponent((values, { weight }) => {
    const logDeterminant = repeats * values.reduce((sum, variance) => sum + Math.log(variance), 0);
    return Math.log(weight) - 0.5 * (logDeterminant + d * Math.log(2 * Math.PI));
  });
  const logits = z.mul(turned).sum(2).mul(-0.5).add(constants);
  return {
    logits,
    u: turnBack(turned),
    precisions: perComponent((values) => repeats * values.reduce((sum, variance) => sum + 1 / variance, 0)),
    noises: perLevel(({ noise }) => noise),
    estimates: () => means.add(turnBack(turned.mul(spread(table((variance, { signal }) => signal * variance))))),
    average: (y) => y.mul(logits.softmax(1).unsqueeze(2)).sum(1).reshape(x.shape),
  };
}

function widthOf(variance: number, { signal, noise }: Noising): number {
  return signal ** 2 * variance + noise ** 2;
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

/** The least positive number that float32 has all its digits for. */
const LEAST_VARIANCE = 2 ** -126;

function checkLevels(
  name: string,
  given: Noising | readonly Noising[],
  { shape: [batch] }: Tensor,
  components: readonly Component[],
): readonly Noising[] {
  const levels = "signal" in given ? [given] : given;
  if (levels.length !== 1 && levels.length !== batch)
    throw new Error(`${name}: ${levels.length} levels for a batch of ${batch}, want one, or one a sample`);
  for (const level of levels) {
    for (const [what, value] of [["signal", level.signal] as const, ["noise", level.noise] as const])
      if (!(value >= 0 && Number.isFinite(value))) throw new Error(`${name}: ${what} is ${value}, want a number ≥ 0`);
    const thin = components.findIndex(({ spread }) =>
      spread.some((variance) => widthOf(variance, level) < LEAST_VARIANCE),
    );
    if (thin !== -1)
      throw new Error(
        `${name}: component ${thin} has no width at signal ${level.signal} and noise ${level.noise}, want noise or a variance above 0`,
      );
  }
  return levels;
}

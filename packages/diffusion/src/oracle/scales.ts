// What a mixture's components are scaled by at noise levels: from numbers in float64, or from tensors of them on the device.

import { checkTimes } from "@pkg/nn";
import { Tensor, tensor } from "@pkg/tensor";
import { along, type Component } from "./components.ts";
import type { Noising, Noisings, NoisingTensors } from "./oracle.ts";

/** Levels that were checked. */
export type Levels = readonly Noising[] | NoisingTensors;

/** In the letters of `mixtureOracle`; n is 1 or the batch, and `width` 1 where every component is as wide in all directions. */
export interface Scales {
  /** The eigenvalues of C_k, [n, components, width] */
  readonly variances: Tensor;
  /** a, [n, 1, 1] */
  readonly signals: Tensor;
  /** b, [n, 1, 1] */
  readonly noises: Tensor;
  /** log w_k − ½ log det C_k − ½ d log 2π, [n, components] */
  readonly constants: Tensor;
  /** tr C_k⁻¹, [n, components] */
  readonly precisions: Tensor;
  /** a times the eigenvalues of Σ_k, [n, components, width] */
  gains(): Tensor;
}

export function isTensors(levels: Levels | Noisings): levels is NoisingTensors {
  return "signal" in levels && levels.signal instanceof Tensor;
}

export function scalesOnHost(
  components: readonly Component[],
  { backend }: Tensor,
  levels: readonly Noising[],
): Scales {
  const [n, count] = [levels.length, components.length];
  const { width, repeats, d } = widths(components);
  /** A table [n, components, width] in float64. */
  const table = (value: (variance: number, level: Noising) => number) =>
    levels.map((level) =>
      components.map(({ spread }) => Float64Array.from({ length: width }, (_, i) => value(along(spread, i), level))),
    );
  const uploaded = (rows: readonly (readonly Float64Array[])[]) =>
    tensor(Float64Array.from(rows.flatMap((row) => row.flatMap((values) => [...values]))), {
      backend,
      shape: [n, count, width],
    });
  const perLevel = (value: (level: Noising) => number) => tensor(levels.map(value), { backend, shape: [n, 1, 1] });
  const variances = table(widthOf);
  const perComponent = (value: (variances: Float64Array, component: Component) => number) =>
    tensor(
      variances.map((row) => row.map((values, k) => value(values, components[k]))),
      { backend },
    );
  return {
    variances: uploaded(variances),
    signals: perLevel(({ signal }) => signal),
    noises: perLevel(({ noise }) => noise),
    constants: perComponent((values, { weight }) => {
      const logDeterminant = repeats * values.reduce((sum, variance) => sum + Math.log(variance), 0);
      return Math.log(weight) - 0.5 * (logDeterminant + d * Math.log(2 * Math.PI));
    }),
    precisions: perComponent((values) => repeats * values.reduce((sum, variance) => sum + 1 / variance, 0)),
    gains: () => uploaded(table((variance, { signal }) => signal * variance)),
  };
}

/** The same on the device, so that it can be differentiated by the levels. */
export function scalesOnDevice(components: readonly Component[], x: Tensor, { signal, noise }: NoisingTensors): Scales {
  const { backend, shape } = x;
  const count = components.length;
  const { width, repeats, d } = widths(components);
  const [signals, noises] = [signal, noise].map((values) => values.reshape([shape[0], 1, 1]));
  const spreads = tensor(
    Float64Array.from(components.flatMap(({ spread }) => Array.from({ length: width }, (_, i) => along(spread, i)))),
    { backend, shape: [1, count, width] },
  );
  const logWeights = tensor(
    components.map(({ weight }) => Math.log(weight) - 0.5 * d * Math.log(2 * Math.PI)),
    { backend, shape: [1, count] },
  );
  const variances = signals.square().mul(spreads).add(noises.square());
  return {
    variances,
    signals,
    noises,
    constants: variances
      .log()
      .sum(2)
      .mul(-0.5 * repeats)
      .add(logWeights),
    precisions: variances.pow(-1).sum(2).mul(repeats),
    gains: () => signals.mul(spreads),
  };
}

/** How many numbers stand for a component's d eigenvalues, and how often each. */
function widths(components: readonly Component[]): { width: number; repeats: number; d: number } {
  const d = components[0].mean.length;
  const width = components.every(({ spread }) => spread.length === 1) ? 1 : d;
  return { width, repeats: d / width, d };
}

function widthOf(variance: number, { signal, noise }: Noising): number {
  return signal ** 2 * variance + noise ** 2;
}

/** The least positive number that float32 has all its digits for. */
const LEAST_VARIANCE = 2 ** -126;

/** @throws Error for levels of another number, out of range, or where a component has no width */
export function checkLevels(name: string, given: Noisings, x: Tensor, components: readonly Component[]): Levels {
  const [batch] = x.shape;
  if (isTensors(given)) {
    for (const part of ["signal", "noise"] as const)
      checkTimes(name, given[part], x, { what: part, dtypes: ["float32"] });
    return given;
  }
  const levels = "signal" in given ? [given] : given;
  if (levels.length !== 1 && levels.length !== batch)
    throw new Error(`${name}: ${levels.length} levels for a batch of ${batch}, want one, or one per sample`);
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

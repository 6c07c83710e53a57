// Group normalisation followed by SiLU, and its gradient: both fused. The second order is composed.

import { type CaseInput, defineOp, float32, type NdArray, type Op } from "../../op.ts";
import { contiguousLayout, formatShape, type Shape, ShapeError, type Spec, sameShape, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { groupNormGradWasm, groupNormWasm } from "./wasm.ts";
import { groupNormGradWebgpu, groupNormWebgpu } from "./webgpu.ts";

export interface GroupNormAttrs {
  readonly groups: number;
  /** Added to the variance. */
  readonly epsilon: number;
  readonly activation: "none" | "silu";
}

/**
 * activation((x − mean) / √(variance + ε) · scale + bias), with the mean and variance of each sample's group of channels.
 * Inputs x [batch, ...spatial, channels], scale and bias [channels]. Outputs y, and for the gradient the statistics
 * [batch, groups, 3]: the group's first element, the mean minus that, and 1 / √(variance + ε).
 */
export const groupNorm: Op<GroupNormAttrs> = defineOp<GroupNormAttrs>({
  name: "groupNorm",
  infer([x, scale, bias], { groups }) {
    checkNorm("groupNorm", x, scale, bias, groups);
    return [float32(x.shape), float32([x.shape[0], groups, 3])];
  },
  cpu([y, statistics], [x, scale, bias], { groups, epsilon, activation }) {
    const { channels, groupOf, normal, mean, rstd } = normalise(x, groups, epsilon);
    const [read, gain, shift] = [x, scale, bias].map(elementReader);
    for (const [i, value] of normal.entries()) {
      const z = value * gain(i % channels) + shift(i % channels);
      y.data[y.offset + i] = activation === "silu" ? z / (1 + Math.exp(-z)) : z;
    }
    for (let i = normal.length - 1; i >= 0; i--) {
      const group = groupOf(i);
      statistics.data.set([read(i), mean[group] - read(i), rstd[group]], statistics.offset + group * 3);
    }
  },
  webgpu: groupNormWebgpu,
  wasm: groupNormWasm,
  auxiliary: 1,
  vjp([g], [x, scale, bias], [, statistics], attrs) {
    const [dx, dscale, dbias] = g.apply(groupNormGrad, [g, x, scale, bias, statistics.detach()], attrs);
    return [dx, dscale, dbias];
  },
  saves: { inputs: [0, 1, 2], outputs: [1] },
  cheap: true,
  cases: [
    { inputs: normInputs([2, 3, 4, 8]), attrs: { groups: 2, epsilon: 1e-5, activation: "silu" } },
    { inputs: normInputs([3, 5, 6]), attrs: { groups: 3, epsilon: 1e-5, activation: "none" } },
    { inputs: normInputs([2, 7, 8], [999, 1001]), attrs: { groups: 2, epsilon: 1e-5, activation: "silu" } },
    { inputs: normInputs([5, 12]), attrs: { groups: 1, epsilon: 1e-3, activation: "silu" } },
    { inputs: normInputs([1, 2050, 4]), attrs: { groups: 1, epsilon: 1e-5, activation: "silu" } },
  ],
  errors: [
    {
      inputs: normInputs([2, 3, 8]),
      attrs: { groups: 3, epsilon: 1e-5, activation: "none" },
      error: "groupNorm: 3 groups of [2, 3, 8] with scale [8] and bias [8]",
    },
  ],
  tolerance: { relL2: 5e-6 },
});

/**
 * The gradient of groupNorm: inputs g, x, scale, bias and its statistics; outputs dx, dscale, dbias. The statistics say nothing
 * that x does not: they spare a reading of it, and the derivative with respect to them is none.
 */
export const groupNormGrad: Op<GroupNormAttrs> = defineOp<GroupNormAttrs>({
  name: "groupNormGrad",
  infer([g, x, scale, bias, statistics], { groups }) {
    checkNorm("groupNormGrad", x, scale, bias, groups);
    if (!sameShape(g.shape, x.shape) || !sameShape(statistics.shape, [x.shape[0], groups, 3])) {
      throw new ShapeError(
        `groupNormGrad: cotangent ${formatShape(g.shape)} and statistics ${formatShape(statistics.shape)} for ${formatShape(x.shape)}, want the shape of x and [batch, groups, 3]`,
      );
    }
    return [float32(x.shape), float32(scale.shape), float32(bias.shape)];
  },
  cpu([dx, dscale, dbias], [g, x, scale, bias], { groups, epsilon, activation }) {
    const { channels, groupOf, normal, rstd } = normalise(x, groups, epsilon);
    const [cotangent, gain, shift] = [g, scale, bias].map(elementReader);
    const count = normal.length / rstd.length;
    const dz = normal.map((value, i) => {
      if (activation === "none") return cotangent(i);
      const z = value * gain(i % channels) + shift(i % channels);
      const s = 1 / (1 + Math.exp(-z));
      return cotangent(i) * s * (1 + z * (1 - s));
    });
    const means = [new Float64Array(rstd.length), new Float64Array(rstd.length)];
    const sums = [new Float64Array(channels), new Float64Array(channels)];
    for (const [i, value] of dz.entries()) {
      const c = i % channels;
      sums[0][c] += value * normal[i];
      sums[1][c] += value;
      means[0][groupOf(i)] += (value * gain(c)) / count;
      means[1][groupOf(i)] += (value * gain(c) * normal[i]) / count;
    }
    for (const [i, value] of dz.entries()) {
      const group = groupOf(i);
      const centred = value * gain(i % channels) - means[0][group] - normal[i] * means[1][group];
      dx.data[dx.offset + i] = rstd[group] * centred;
    }
    dscale.data.set(sums[0], dscale.offset);
    dbias.data.set(sums[1], dbias.offset);
  },
  webgpu: groupNormGradWebgpu,
  wasm: groupNormGradWasm,
  composed([g, x, scale, bias], { groups, epsilon, activation }) {
    const [batch, channels] = [x.shape[0], x.shape[x.rank - 1]];
    const grouped = [batch, -1, groups, channels / groups];
    const mean = (value: Tensor) => value.mean([1, 3], { keepAxes: true });
    const [gain, shift] = [scale, bias].map((value) => value.reshape([groups, channels / groups]));
    // Twice, because the first mean, if it is large, is rounded to more than a deviation's last digits.
    const roughly = x.reshape(grouped).sub(mean(x.reshape(grouped)));
    const centred = roughly.sub(mean(roughly));
    const rstd = mean(centred.square()).add(epsilon).rsqrt();
    const normal = centred.mul(rstd);
    const z = normal.mul(gain).add(shift);
    const s = z.sigmoid();
    const dy = g.reshape(grouped);
    const dz = activation === "silu" ? dy.mul(s).mul(z.mul(s.affine(-1, 1)).add(1)) : dy;
    const dnormal = dz.mul(gain);
    const dx = rstd.mul(dnormal.sub(mean(dnormal)).sub(normal.mul(mean(dnormal.mul(normal)))));
    const perChannel = (value: Tensor) => value.sum([0, 1]).reshape(scale.shape);
    return [dx.reshape(x.shape), perChannel(dz.mul(normal)), perChannel(dz)];
  },
  cases: [
    gradCase([2, 3, 4, 8], { groups: 2, epsilon: 1e-5, activation: "silu" }),
    gradCase([3, 5, 6], { groups: 3, epsilon: 1e-5, activation: "none" }),
    gradCase([2, 7, 8], { groups: 2, epsilon: 1e-5, activation: "silu" }, [999, 1001]),
    gradCase([300, 4], { groups: 1, epsilon: 1e-3, activation: "silu" }),
    gradCase([1, 2050, 4], { groups: 1, epsilon: 1e-5, activation: "silu" }),
  ],
  errors: [
    {
      inputs: [[2, 3, 8], [2, 4, 8], [8], [8], [2, 2, 3]],
      attrs: { groups: 2, epsilon: 1e-5, activation: "none" },
      error: "groupNormGrad: cotangent [2, 3, 8]",
    },
  ],
  tolerance: { relL2: 2e-5 },
});

function normInputs(shape: Shape, range?: readonly [number, number]): CaseInput[] {
  const channels = shape.slice(-1);
  return [{ shape, range }, { shape: channels, range: [0.5, 1.5] }, { shape: channels }];
}

/** Operands of the gradient, with the statistics that the drawn x has. */
function gradCase(shape: Shape, attrs: GroupNormAttrs, range?: readonly [number, number]) {
  const values: CaseInput["values"] = ([, x]) => {
    const { groupOf, mean, rstd } = normalise(
      { data: Float64Array.from(x), dtype: "float32", ...contiguousLayout(shape) },
      attrs.groups,
      attrs.epsilon,
    );
    return Array.from(mean).flatMap((value, group) => {
      const first = x[x.findIndex((_, i) => groupOf(i) === group)];
      return [first, value - first, rstd[group]];
    });
  };
  return { inputs: [shape, ...normInputs(shape, range), { shape: [shape[0], attrs.groups, 3], values }], attrs };
}

function checkNorm(name: string, x: Spec, scale: Spec, bias: Spec, groups: number): void {
  const channels = x.shape.slice(-1);
  const fits = x.shape.length >= 2 && sameShape(scale.shape, channels) && sameShape(bias.shape, channels);
  if (!fits || !(Number.isInteger(groups) && groups > 0 && channels[0] % groups === 0)) {
    const given = `${formatShape(x.shape)} with scale ${formatShape(scale.shape)} and bias ${formatShape(bias.shape)}`;
    throw new ShapeError(
      `${name}: ${groups} groups of ${given}, want [batch, ..., channels], scale and bias [channels], and groups that divide them`,
    );
  }
}

/** What the host's rules share: each element less its group's mean and over its deviation. */
function normalise(x: NdArray, groups: number, epsilon: number) {
  const size = sizeOf(x.shape);
  const channels = x.shape[x.shape.length - 1];
  const samples = x.shape[0] * groups;
  const count = size / samples;
  const groupOf = (i: number) =>
    Math.floor(i / (count * groups)) * groups + Math.floor((i % channels) / (channels / groups));
  const read = elementReader(x);
  const mean = new Float64Array(samples);
  const variance = new Float64Array(samples);
  for (let i = 0; i < size; i++) mean[groupOf(i)] += read(i) / count;
  for (let i = 0; i < size; i++) variance[groupOf(i)] += (read(i) - mean[groupOf(i)]) ** 2 / count;
  const rstd = variance.map((value) => 1 / Math.sqrt(value + epsilon));
  const normal = Float64Array.from({ length: size }, (_, i) => (read(i) - mean[groupOf(i)]) * rstd[groupOf(i)]);
  return { channels, groupOf, normal, mean, rstd };
}

// Group normalisation and its gradient on WebGPU.

import strange from "@pkg/kernels/functions/strange.wgsl";
import applyKernel from "@pkg/kernels/normalisation/group_norm.wgsl";
import gradKernel from "@pkg/kernels/normalisation/group_norm_grad.wgsl";
import meansKernel from "@pkg/kernels/normalisation/group_norm_grad_means.wgsl";
import parametersKernel from "@pkg/kernels/normalisation/group_norm_grad_parameters.wgsl";
import sumsKernel from "@pkg/kernels/normalisation/group_norm_grad_sums.wgsl";
import mergeKernel from "@pkg/kernels/normalisation/group_norm_merge.wgsl";
import statisticsKernel from "@pkg/kernels/normalisation/group_norm_statistics.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { type Shape, sizeOf } from "../../shape.ts";
import { folding } from "../reduce/folding.ts";
import { sumPass } from "../reduce/webgpu.ts";
import type { GroupNormAttrs } from "./groupNorm.ts";

const ACTIVATION = { none: "return z;", silu: "return z / (1.0 + exp(-z));" };
const SLOPE = {
  none: "return Vector(1.0);",
  silu: "let s = 1.0 / (1.0 + exp(-z)); return s * (1.0 + z * (1.0 - s));",
};

export const groupNormWebgpu: WebgpuRule<GroupNormAttrs> = { calls: groupNormCalls };

export const groupNormGradWebgpu: WebgpuRule<GroupNormAttrs> = { calls: groupNormGradCalls };

/** The statistics of each group, merged from several shares of it where there are few groups, then a pass over the elements. */
function groupNormCalls(call: GpuCall<GroupNormAttrs>): KernelCall[] {
  const [x, scale, bias] = call.inputs;
  const [y, statistics] = call.outputs;
  const { groups, activation } = call.attrs;
  const { Vector, pixels, channels, depth } = extents(x.shape, groups);
  const size = x.shape[0] * pixels * channels;
  return [
    ...statisticsCalls(call, statistics),
    {
      kernel: applyKernel,
      constants: { Vector, activation: ACTIVATION[activation] },
      params: { size, sample: pixels * channels, channels, depth },
      bindings: [x, scale, bias, statistics, y],
      grid: { threads: size },
    },
  ];
}

/** Sums of each channel, from these the means of each group and the parameters' gradients, and last dx. */
function groupNormGradCalls({
  inputs: [g, x, scale, bias, statistics],
  outputs: [dx, dscale, dbias],
  attrs: { groups, activation },
  target: { profile },
  temporary,
}: GpuCall<GroupNormAttrs>): KernelCall[] {
  const [batch, samples] = [x.shape[0], x.shape[0] * groups];
  const { Vector, width, pixels, channels, depth } = extents(x.shape, groups);
  const size = batch * pixels * channels;
  const isVector = width === 4;
  const summed = folding(sumsKernel, profile, {
    outputs: batch * channels,
    length: pixels,
    across: channels,
    isVector,
  });
  const { shares } = summed;
  const sums = temporary(2 * batch * shares * channels * width);
  const means = temporary(2 * samples);
  const perGroup = { outputs: samples, length: shares * depth * width, across: 1, isVector: false };
  const averaged = folding(meansKernel, profile, perGroup);
  // As if of vectors: eight neighbours read 32 bytes, a memory sector, and leave many lanes for what may be many rows.
  const added = { outputs: channels * width, across: channels * width, isVector: true };
  const rows = batch * shares;
  const isLong = folding(parametersKernel, profile, { ...added, length: rows }).shares > 1;
  const shortened = isLong ? sumPass({ outer: 2, reduced: rows, inner: channels * width }) : null;
  const remaining = shortened?.chunks ?? rows;
  const remainder = shortened ? temporary(2 * remaining * channels * width) : sums;
  const parameters = folding(parametersKernel, profile, { ...added, length: remaining });
  return [
    {
      kernel: sumsKernel,
      constants: { Vector, WORKGROUP: summed.WORKGROUP, slope: SLOPE[activation] },
      params: {
        batch,
        pixels,
        channels,
        depth,
        chunk: summed.chunk,
        shares,
        blocks: summed.blocks,
        lanes: summed.lanes,
      },
      bindings: [g, x, scale, bias, statistics, sums],
      grid: { workgroups: summed.blocks * shares },
    },
    {
      kernel: meansKernel,
      constants: { WORKGROUP: averaged.WORKGROUP },
      params: { samples, groups, shares, depth: depth * width, count: pixels * depth * width, lanes: averaged.lanes },
      bindings: [sums, scale, means],
      grid: { workgroups: averaged.blocks },
    },
    ...(shortened ? [{ ...shortened.call, bindings: [sums, remainder] }] : []),
    {
      kernel: parametersKernel,
      constants: { WORKGROUP: parameters.WORKGROUP },
      params: { rows: remaining, channels: channels * width, lanes: parameters.lanes },
      bindings: [remainder, dscale, dbias],
      grid: { workgroups: parameters.blocks },
    },
    {
      kernel: gradKernel,
      constants: { Vector, slope: SLOPE[activation] },
      params: { size, sample: pixels * channels, channels, depth },
      bindings: [g, x, scale, bias, statistics, means, dx],
      grid: { threads: size },
    },
  ];
}

function statisticsCalls(
  { inputs: [x], attrs: { groups, epsilon }, target, temporary }: GpuCall<GroupNormAttrs>,
  statistics: View,
): KernelCall[] {
  const { Vector, width, pixels, channels, depth } = extents(x.shape, groups);
  const samples = x.shape[0] * groups;
  const length = pixels * depth;
  const fold = folding(statisticsKernel, target.profile, {
    outputs: samples,
    length,
    across: 1,
    isVector: width === 4,
  });
  const { WORKGROUP, lanes, blocks, chunk, shares } = fold;
  const partial = shares === 1 ? statistics : temporary(samples * shares * 3);
  const calls: KernelCall[] = [
    {
      kernel: statisticsKernel,
      library: strange,
      constants: {
        Vector,
        WIDTH: `${width}.0`,
        WORKGROUP,
        ...(width === 4 ? {} : { first_of: "return v;", sum_of: "return v;" }),
      },
      params: { samples, groups, pixels, channels, depth, chunk, shares, blocks, lanes, epsilon },
      bindings: [x, partial],
      grid: { workgroups: blocks * shares },
    },
  ];
  if (shares > 1) {
    calls.push({
      kernel: mergeKernel,
      library: strange,
      params: { samples, count: length * width, chunk: chunk * width, shares, epsilon },
      bindings: [partial, statistics],
      grid: { threads: samples },
    });
  }
  return calls;
}

/** x as [batch, pixels, channels], channels counted in vectors of four where a group is made of such. */
function extents(shape: Shape, groups: number) {
  const all = shape[shape.length - 1];
  const width = (all / groups) % 4 === 0 ? 4 : 1;
  const [pixels, channels, depth] = [sizeOf(shape.slice(1, -1)), all / width, all / groups / width];
  return { Vector: width === 4 ? "vec4<f32>" : "f32", width, pixels, channels, depth };
}

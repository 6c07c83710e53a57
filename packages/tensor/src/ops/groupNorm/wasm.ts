// Group normalisation and its gradient in WebAssembly: sums of channels, statistics of groups, then a pass over the pixels.

import { grainOf, type WasmCall, type WasmOperands, type WasmRule } from "../../backends/wasm/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { GroupNormAttrs } from "./groupNorm.ts";

/** Channels that a kernel sums at once, and numbers a channel that the passes over pixels read. */
const WIDTH = 16;
const PLANES = 4;

export const groupNormWasm: WasmRule<GroupNormAttrs> = { calls: groupNormCalls };

export const groupNormGradWasm: WasmRule<GroupNormAttrs> = { calls: groupNormGradCalls };

function groupNormCalls({ inputs, outputs, attrs, temporary }: WasmOperands<GroupNormAttrs>): WasmCall[] {
  const [x, scale, bias] = inputs;
  const [y, statistics] = outputs;
  const { groups, epsilon, activation } = attrs;
  const { batch, pixels, channels, depth, sumRows } = extents(x, groups);
  const sums = temporary(2 * batch * channels);
  const planes = temporary(PLANES * batch * channels);
  const silu = Number(activation === "silu");
  return [
    { kernel: "norm_sums", ...sumRows, args: { sums, x, pixels, channels, depth } },
    {
      kernel: "norm_statistics",
      rows: batch * groups,
      grain: grainOf(depth, 8),
      args: { statistics, sums, x, pixels, channels, depth, epsilon },
    },
    planesOf(planes, statistics, scale, batch, channels, depth),
    {
      kernel: "norm_apply",
      rows: batch * pixels,
      grain: grainOf(channels, 2),
      args: { out: y, planes, x, bias, pixels, channels, silu },
    },
  ];
}

function groupNormGradCalls({ inputs, outputs, attrs, temporary }: WasmOperands<GroupNormAttrs>): WasmCall[] {
  const [g, x, scale, bias, statistics] = inputs;
  const [dx, dscale, dbias] = outputs;
  const { groups, activation } = attrs;
  const { batch, pixels, channels, depth, sumRows } = extents(x, groups);
  const sums = temporary(2 * batch * channels);
  const planes = temporary(PLANES * batch * channels);
  const silu = Number(activation === "silu");
  return [
    planesOf(planes, statistics, scale, batch, channels, depth),
    { kernel: "norm_grad_sums", ...sumRows, args: { sums, planes, g, x, bias, pixels, channels, silu } },
    {
      kernel: "norm_grad_parameters",
      rows: channels,
      grain: grainOf(batch, 4),
      args: { dscale, dbias, sums, batch, channels },
    },
    {
      kernel: "norm_grad_means",
      rows: batch,
      grain: grainOf(channels, 8),
      args: { sums, scale, pixels, channels, depth },
    },
    {
      kernel: "norm_grad",
      rows: batch * pixels,
      grain: grainOf(channels, 3),
      args: { dx, means: sums, planes, g, x, bias, pixels, channels, silu },
    },
  ];
}

function planesOf(
  planes: Temporary,
  statistics: View,
  scale: View,
  batch: number,
  channels: number,
  depth: number,
): WasmCall {
  return {
    kernel: "norm_planes",
    rows: batch,
    grain: grainOf(channels, 8),
    args: { planes, statistics, scale, channels, depth },
  };
}

function extents({ shape }: View, groups: number) {
  const [batch, channels] = [shape[0], shape[shape.length - 1]];
  const pixels = sizeOf(shape.slice(1, -1));
  const sumRows = { rows: batch * Math.ceil(channels / WIDTH), grain: grainOf(pixels * WIDTH, 2) };
  return { batch, pixels, channels, depth: channels / groups, sumRows };
}

// Attention and its gradient on WebGPU: tiles with online softmax on GPUs, whole matrices of scores elsewhere.

import tiledGradKernel from "@pkg/kernels/attention/attention_grad_tiled.wgsl";
import tiledKernel from "@pkg/kernels/attention/attention_tiled.wgsl";
import strange from "@pkg/kernels/functions/strange.wgsl";
import blockLibrary from "@pkg/kernels/products/blocks.wgsl";
import type { GpuCall, GpuTarget, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { collapse, isContiguous, type Layout, sizeOf } from "../../shape.ts";
import type { AttentionAttrs } from "./attention.ts";
import { attentionByProducts, attentionGradByProducts } from "./products.ts";

const MAX_QUADS = 4; // more would not fit into registers

/** The rows of a workgroup, and the tiled kernels' constants. */
interface Tile {
  readonly rows: number;
  readonly constants: Readonly<Record<string, string>>;
}

export const attentionWebgpu: WebgpuRule<AttentionAttrs> = { calls: attentionCalls, takes: readsInPlace };

/** All inputs but the last two, of one number per query. */
export const attentionGradWebgpu: WebgpuRule<AttentionAttrs> = {
  calls: attentionGradCalls,
  takes: (input, index) => index < 4 && readsInPlace(input),
};

function attentionCalls(call: GpuCall<AttentionAttrs>): KernelCall[] {
  const { inputs, outputs, attrs, target } = call;
  const [q, , v] = inputs;
  const [queries, depth] = q.shape.slice(-2);
  const [keys, width] = v.shape.slice(-2);
  const samples = sizeOf(q.shape.slice(0, -2));
  const tile = tileFor(target, inputs, width);
  if (!tile) return attentionByProducts(call);
  const { strides, ...shared } = addresses(inputs);
  const [q_strides, k_strides, v_strides] = strides;
  const blocks = Math.ceil(queries / tile.rows);
  const sizes = { blocks, samples, queries, keys, depth: depth / 4, width: width / 4 };
  return [
    {
      kernel: tiledKernel,
      library: blockLibrary + strange,
      constants: tile.constants,
      params: { ...sizes, scale: attrs.scale * Math.LOG2E, ...shared, q_strides, k_strides, v_strides },
      bindings: [...inputs, ...outputs],
      grid: { workgroups: blocks * samples },
    },
  ];
}

function attentionGradCalls(call: GpuCall<AttentionAttrs>): KernelCall[] {
  const [g, q, k, v] = call.inputs;
  const [dq, dk, dv] = call.outputs;
  const tile = tileFor(call.target, [g, q, k, v], Math.max(q.shape[q.shape.length - 1], v.shape[v.shape.length - 1]));
  if (!tile) return attentionGradByProducts(call);
  const unused = call.temporary(1);
  return [gradCall(call, tile, [k, v, q, g], [dk, dv], true), gradCall(call, tile, [q, g, k, v], [dq, unused], false)];
}

/** Gradients of the operands a (and b) of the rows [a, b] from those of the columns [c, d]. */
function gradCall(
  { inputs: [, , , , delta, lse], attrs: { scale } }: GpuCall<AttentionAttrs>,
  tile: Tile,
  operands: readonly View[],
  outputs: readonly (View | Temporary)[],
  rowsAreKeys: boolean,
): KernelCall {
  const [a, , , d] = operands;
  const [rows, depth] = a.shape.slice(-2);
  const [columns, width] = d.shape.slice(-2);
  const samples = sizeOf(a.shape.slice(0, -2));
  const { strides, ...shared } = addresses(operands);
  const [a_strides, b_strides, c_strides, d_strides] = strides;
  const blocks = Math.ceil(rows / tile.rows);
  const sizes = { blocks, samples, rows, columns, depth: depth / 4, width: width / 4 };
  return {
    kernel: tiledGradKernel,
    library: blockLibrary,
    constants: { ROWS_ARE_KEYS: rowsAreKeys, ...tile.constants },
    params: { ...sizes, scale, ...shared, a_strides, b_strides, c_strides, d_strides },
    bindings: [...operands, delta, lse, ...outputs],
    grid: { workgroups: blocks * samples },
  };
}

/** Whether the kernels read a layout as it is: rows of contiguous elements that start at quads, up to four axes before them. */
function readsInPlace(layout: Layout): boolean {
  const { shape, strides, offset } = layout;
  const last = shape.length - 1;
  const isAligned = offset % 4 === 0 && shape[last] % 4 === 0 && strides[last] === 1;
  const inQuads = shape.every((n, k) => n === 1 || k === last || strides[k] % 4 === 0);
  return (isAligned && inQuads && shape.length <= 6) || (isContiguous(layout) && offset === 0);
}

/** Where the tiled kernels find each operand's samples and rows, in quads. */
function addresses(operands: readonly View[]) {
  const four = (values: readonly number[]) => Array.from({ length: 4 }, (_, k) => (values[k] ?? 0) / 4);
  const leading = collapse(
    operands.map(({ shape, strides }) => ({ shape: shape.slice(0, -2), strides: strides.slice(0, -2), offset: 0 })),
  );
  const offsets = operands.map(({ offset }) => offset);
  const rows = operands.map(({ strides }) => strides[strides.length - 2]);
  return {
    offsets: four(offsets),
    row_strides: four(rows),
    batch: Array.from({ length: 4 }, (_, k) => leading[0].shape[k] ?? 1),
    strides: leading.map(({ strides }) => four(strides)),
  };
}

/**
 * The tiled kernels' constants; null on software adapters, and for rows that are no whole quads or too long for registers.
 * The fastest of those tried on an H100.
 * @param held how many elements of each row of the result a workgroup sums up
 */
function tileFor({ profile }: GpuTarget, operands: readonly View[], held: number): Tile | null {
  const lengths = operands.map(({ shape }) => shape[shape.length - 1]);
  const [across, down] = held <= 64 ? [8, 16] : [16, 8];
  const quads = Math.ceil(held / (4 * across));
  if (profile === "direct" || !lengths.every((n) => n % 4 === 0) || quads > MAX_QUADS) return null;
  const step = [4, 2, 1].find((n) => lengths.every((length) => length % (4 * n) === 0));
  const constants = { ACROSS: `${across}u`, DOWN: `${down}u`, QUADS: `${quads}u`, STEP: `${step}u` };
  return { rows: 4 * down, constants };
}

// The WebAssembly calls of convolutions by Winograd's F(2 × 2, 3 × 3), which takes 4/9 of the products.

import { grainOf, type WasmCall, type WasmOperands } from "../../backends/wasm/rule.ts";
import type { View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";

/** A convolution of 3 × 3 taps and stride 1. */
export interface Winograd {
  readonly image: View;
  readonly weight: View;
  readonly out: View;
  /** From a pixel of the result to the image's under the first tap, y before x. */
  readonly shift: readonly number[];
  /** Where in the weight the first tap is, and from one tap down, tap across, channel and output channel to the next. */
  readonly start: number;
  readonly strides: readonly [number, number, number, number];
}

const FREQUENCIES = 16;
/** Transformed numbers of a frequency that stay in the second cache, and tiles whose products do. */
const BLOCK = 4096;
const MAX_TILES = 64;
/** Below these the transforms cost what the products spare. */
const MIN_CHANNELS = 16;
const MIN_TILES = 64;
/** Pixels of the tiles that must be there: odd sizes leave some out. */
const MIN_SHARE = 0.8;
const MAX_CHANNELS = 2048;
const MIN_BLOCKS = 8;
/** Channels of both kinds in a block of the weight's cotangent, and such blocks. */
const GRAD_CHANNELS = 64;
const GRAD_BLOCKS = 16;
/** Tiles that are summed at a time, times the channels: as many as fit into scratch. */
const GRAD_DEPTH = 8192;

/** Whether it is the faster way. */
export function suitsWinograd({ image, out }: Pick<Winograd, "image" | "out">): boolean {
  const [channels, outChannels] = [image.shape[3], out.shape[3]];
  const { count } = tilesOf(out);
  const isFilled = sizeOf(out.shape.slice(0, 3)) >= MIN_SHARE * 4 * count;
  const isLarge = Math.min(channels, outChannels) >= MIN_CHANNELS && count >= MIN_TILES;
  return isFilled && isLarge && channels <= MAX_CHANNELS;
}

export function winogradCalls(
  { image, weight, out, shift, start, strides }: Winograd,
  temporary: WasmOperands<unknown>["temporary"],
): WasmCall[] {
  const [channels, n] = [image.shape[3], out.shape[3]];
  const { count, down, across } = tilesOf(out);
  const allPanels = Math.ceil(n / 8);
  const block = Math.min(MAX_TILES, Math.max(4, 4 * Math.floor(BLOCK / (16 * Math.ceil(channels / 4)))));
  const blocks = Math.ceil(count / block);
  const panelBlocks = Math.min(Math.ceil(MIN_BLOCKS / blocks), Math.ceil(allPanels / 4));
  const panels = Math.ceil(allPanels / panelBlocks);
  const table = [
    ...[channels, n, out.shape[1], out.shape[2], image.shape[1], image.shape[2]],
    ...[...shift, ...image.strides.slice(0, 3), count, down, across],
    ...[block, panels, panelBlocks, ...strides, start],
  ];
  const packed = temporary(FREQUENCIES * allPanels * 8 * channels);
  return [
    {
      kernel: "winograd_weights",
      rows: allPanels * channels,
      grain: grainOf(8 * FREQUENCIES),
      args: { packed, table, w: weight },
    },
    {
      kernel: "winograd",
      rows: blocks * panelBlocks,
      grain: Math.ceil(2 ** 19 / (FREQUENCIES * block * channels * panels * 8)),
      args: { out, table, image, packed },
    },
  ];
}

/** The weight's cotangent out [3, 3, channels, n] of an image and the result's cotangent g, from the same shift. */
export function winogradGradCalls(
  {
    image,
    g,
    out,
    shift,
  }: { readonly image: View; readonly g: View; readonly out: View; readonly shift: readonly number[] },
  temporary: WasmOperands<unknown>["temporary"],
): WasmCall[] {
  const [channels, n] = [image.shape[3], g.shape[3]];
  const { count, down, across } = tilesOf(g);
  const rows = 4 * Math.ceil(channels / Math.ceil(channels / GRAD_CHANNELS) / 4);
  const panels = Math.ceil(n / Math.ceil(n / GRAD_CHANNELS) / 8);
  const [rowBlocks, panelBlocks] = [Math.ceil(channels / rows), Math.ceil(n / (8 * panels))];
  const depth = 4 * Math.floor(GRAD_DEPTH / (rows + 8 * panels) / 4);
  const wanted = Math.min(Math.ceil(GRAD_BLOCKS / (rowBlocks * panelBlocks)), Math.floor(count / MIN_TILES));
  const share = Math.ceil(count / Math.max(1, wanted));
  const shares = Math.ceil(count / share);
  const table = [
    ...[channels, n, g.shape[1], g.shape[2], image.shape[1], image.shape[2]],
    ...[...shift, ...image.strides.slice(0, 3), count, down, across],
    ...[0, panels, panelBlocks, 0, 0, 0, 0, 0],
    ...[share, shares, rows, rowBlocks, depth],
  ];
  const sums = temporary(shares * FREQUENCIES * channels * n);
  return [
    {
      kernel: "winograd_grad",
      rows: shares * rowBlocks * panelBlocks,
      grain: Math.ceil(2 ** 19 / (FREQUENCIES * share * rows * panels * 8)),
      args: { sums, table, image, g },
    },
    {
      kernel: "winograd_grad_taps",
      rows: channels,
      grain: grainOf(n * FREQUENCIES * shares, 2),
      args: { out, table, sums },
    },
  ];
}

/** Tiles of 2 × 2 pixels that cover an image. */
function tilesOf({ shape }: View) {
  const [down, across] = [Math.ceil(shape[1] / 2), Math.ceil(shape[2] / 2)];
  return { count: sizeOf([shape[0], down, across]), down, across };
}

// Convolutions in WebAssembly: implicit GEMM, whose left side is gathered from an image, or Winograd.

import type { WasmCall, WasmOperands, WasmRule } from "../../backends/wasm/rule.ts";
import type { View } from "../../op.ts";
import { type Layout, type Shape, sizeOf } from "../../shape.ts";
import { elementwisePass } from "../elementwise/wasm.ts";
import { addingUp, type Blocking, blocking, packedSize, packing, type Strides } from "../matmul/wasm.ts";
import type { ConvAttrs, InputAttrs, WeightAttrs } from "./convShape.ts";
import { suitsWinograd, winogradCalls, winogradGradCalls } from "./winograd.ts";

/** Which pixel of an image lies under a tap of a walked pixel: (pixel · scale + shift + tap · step) / spread. */
interface Gather {
  readonly image: View;
  readonly walked: Shape;
  readonly taps: readonly [number, number];
  readonly scale: readonly number[];
  readonly shift: readonly number[];
  readonly step: readonly number[];
  /** Input dilation: the distance between pixels of the image, with zeros in between. */
  readonly spread: readonly number[];
}

/** Bytes of the page of zeros that stands for pixels outside of an image. */
const ZERO_BYTES = 65536;

export const convWasm: WasmRule<ConvAttrs> = { calls: convCalls, takes: hasContiguousChannels };

export const convInputWasm: WasmRule<InputAttrs> = { calls: inputCalls, takes: hasContiguousChannels };

/** Its terms are the pixels, and its rows the taps and channels. */
export const convWeightWasm: WasmRule<WeightAttrs> = { calls: weightCalls, takes: hasContiguousChannels };

function convCalls(operands: WasmOperands<ConvAttrs>): WasmCall[] | null {
  const calls = plainCalls(operands);
  const [, , bias] = operands.inputs;
  return calls && bias ? [...calls, elementwisePass([operands.outputs[0], bias], operands.outputs[0], "add")] : calls;
}

/** Without the bias. */
function plainCalls({ inputs: [x, w], outputs: [out], attrs, temporary }: WasmOperands<ConvAttrs>): WasmCall[] | null {
  const [kh, kw, channels, outChannels] = w.shape;
  if (attrs.groups !== 1 || !takes(channels)) return null;
  const gather = forward(x, out.shape, [kh, kw], attrs);
  if (isPlain(w, attrs) && suitsWinograd({ image: x, out })) {
    const tap = channels * outChannels;
    const strides = [3 * tap, tap, outChannels, 1] as const;
    return winogradCalls({ image: x, weight: w, out, shift: gather.shift, start: 0, strides }, temporary);
  }
  return gathered(gather, w, out, { row: 1, term: outChannels }, temporary);
}

/** The same on the gradient, dilated by the stride, under the taps in reverse. */
function inputCalls({ inputs: [g, w], outputs: [out], attrs, temporary }: WasmOperands<InputAttrs>): WasmCall[] | null {
  const [kh, kw, channels, outChannels] = w.shape;
  const { stride, padding, dilation, groups } = attrs;
  const gather: Gather = {
    image: g,
    walked: out.shape,
    taps: [kh, kw],
    scale: [1, 1],
    shift: padding.map(([before]) => before),
    step: dilation.map((n) => -n),
    spread: stride,
  };
  if (groups !== 1 || !takes(outChannels)) return null;
  const tap = channels * outChannels;
  if (isPlain(w, attrs) && suitsWinograd({ image: g, out })) {
    // With the taps in order again the first is two pixels before, and the last of the weight.
    const shift = gather.shift.map((n) => n - 2);
    const strides = [-3 * tap, -tap, 1, outChannels] as const;
    return winogradCalls({ image: g, weight: w, out, shift, start: 8 * tap, strides }, temporary);
  }
  return gathered(gather, w, out, { row: outChannels, term: 1, run: outChannels, runStride: tap }, temporary);
}

/** A product whose terms are the pixels, and its rows the taps and channels. */
function weightCalls({
  inputs: [x, g],
  outputs: [out],
  attrs,
  temporary,
}: WasmOperands<WeightAttrs>): WasmCall[] | null {
  const [kh, kw, channels, n] = out.shape;
  const k = sizeOf(g.shape.slice(0, 3));
  if (attrs.groups !== 1 || !takes(channels) || k === 0) return null;
  const gather = forward(x, g.shape, [kh, kw], attrs);
  if (isPlain(out, attrs) && suitsWinograd({ image: x, out: g })) {
    return winogradGradCalls({ image: x, g, out, shift: gather.shift }, temporary);
  }
  const product = { batches: 1, m: kh * kw * channels, n, k };
  const cut = blocking(product);
  const packed = temporary(packedSize(product));
  const into = cut.shares > 1 ? temporary(cut.shares * sizeOf(out.shape)) : out;
  const calls = [
    packing(packed, g, product, { row: 1, term: n }),
    {
      kernel: "conv_weight",
      rows: cut.blocks,
      grain: cut.grain,
      args: { out: into, table: table(gather, n, cut), image: x, packed },
    },
  ];
  return cut.shares > 1 ? [...calls, addingUp(out, into, sizeOf(out.shape), cut.shares)] : calls;
}

/** A sum over taps and channels of an image: both the convolution and its input's cotangent. */
function gathered(
  gather: Gather,
  w: View,
  out: View,
  strides: Strides,
  temporary: WasmOperands<unknown>["temporary"],
): WasmCall[] {
  const [m, n] = [sizeOf(gather.walked.slice(0, 3)), out.shape[3]];
  const product = { batches: 1, m, n, k: gather.taps[0] * gather.taps[1] * gather.image.shape[3] };
  const cut = blocking(product, { mayShare: false });
  const packed = temporary(packedSize(product));
  return [
    packing(packed, w, product, strides),
    {
      kernel: "conv",
      rows: cut.blocks,
      grain: cut.grain,
      args: { out, table: table(gather, n, cut), image: gather.image, packed },
    },
  ];
}

function forward(
  image: View,
  walked: Shape,
  taps: readonly [number, number],
  { stride, padding, dilation }: ConvAttrs,
): Gather {
  const shift = padding.map(([before]) => -before);
  return { image, walked, taps, scale: stride, shift, step: dilation, spread: [1, 1] };
}

/** Whether it has 3 × 3 taps that walk pixel by pixel. */
function isPlain({ shape: [kh, kw] }: View, { stride, dilation }: ConvAttrs): boolean {
  return kh === 3 && kw === 3 && [...stride, ...dilation].every((n) => n === 1);
}

function takes(channels: number): boolean {
  return channels > 0 && 4 * channels <= ZERO_BYTES - 64;
}

function table({ image, walked, taps, scale, shift, step, spread }: Gather, n: number, cut: Blocking): number[] {
  const [batch, height, width] = walked;
  const { rows, rowBlocks, panels, panelBlocks, shares, share } = cut;
  return [
    ...[0, n, 0, 0, 0, rows, rowBlocks, panels, panelBlocks, shares, share],
    ...[batch * height * width, height, width, image.shape[3], ...taps, image.shape[1], image.shape[2]],
    ...[...scale, ...shift, ...step, ...spread, ...image.strides.slice(0, 3)],
  ];
}

/** The kernels find pixels of images and biases by strides; only the channels have to be neighbours. */
function hasContiguousChannels({ shape, strides }: Layout, index: number): boolean {
  return index !== 1 && (strides[3] === 1 || shape[3] === 1);
}

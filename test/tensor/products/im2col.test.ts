// Convolutions with few channels on one side: their values by either profile's kernels, and when GPUs take this way.
import { type Backend, type Shape, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GpuCall, KernelCall, WebgpuRule } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import { backward, forward } from "../../../packages/tensor/src/ops/conv/convGather.ts";
import {
  type ConvAttrs,
  convAttrs,
  convShape,
  type InputAttrs,
  type WeightAttrs,
} from "../../../packages/tensor/src/ops/conv/convShape.ts";
import { narrowGradient, narrowImage, narrowResult } from "../../../packages/tensor/src/ops/conv/im2col.ts";
import { inputCalls, weightCalls } from "../../../packages/tensor/src/ops/conv/webgpu.ts";
import { conv2d, conv2dInput, conv2dWeight } from "../../../packages/tensor/src/ops/index.ts";
import { contiguousLayout } from "../../../packages/tensor/src/shape.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { deviation } from "../ops/checkCase.ts";
import type { AnyOp } from "../ops/derived.ts";

const taps = ([kh, kw]: Shape) => [kh, kw] as const;

describe.skipIf(!gpuAvailable).each(["direct", "tiled"] as const)("on webgpu with %s kernels", (profile) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await webgpu({ poison: true, profile });
  });
  afterAll(() => backend.dispose());

  test.each([{ options: { padding: 1 } }, { options: { padding: [1, 0], stride: [2, 3], dilation: [1, 2] } }] as const)(
    "all three ways agree with float64 under $options",
    async ({ options }) => {
      for (const few of [1, 3]) {
        const attrs = convAttrs([], [], options);
        const [x, wide, w, back] = [
          [2, 9, 11, few],
          [2, 9, 11, 20],
          [3, 3, few, 20],
          [3, 3, 20, few],
        ];
        const [y, narrow] = [convShape("conv2d", x, w, attrs), convShape("conv2d", wide, back, attrs)];
        const check = async <Attrs>(
          op: AnyOp,
          calls: WebgpuRule<Attrs>["calls"],
          shapes: readonly Shape[],
          given: Attrs,
        ) =>
          expect(
            await deviation({ ...op, webgpu: { ...op.webgpu, calls } }, shapes, given, backend),
          ).toBeLessThanOrEqual(1);

        const toFew = ({ inputs: [image, weight, bias], ...call }: GpuCall<ConvAttrs>) =>
          narrowResult(call, forward(image, narrow, attrs), weight, taps(back), false, bias);
        await check(conv2d, toFew, [wide, back], attrs);
        await check(conv2d, toFew, [wide, back, narrow], attrs);
        const backToFew = ({ inputs: [g, weight], ...call }: GpuCall<InputAttrs>) =>
          narrowResult(call, backward(g, x, attrs), weight, taps(w), true, undefined);
        const inputAttrs: InputAttrs = { ...attrs, inputShape: x };
        await check(conv2dInput, backToFew, [y, w], inputAttrs);
        const weightAttrs: WeightAttrs = { ...attrs, kernelSize: [3, 3] };
        const fromFew = ({ inputs: [image, g], ...call }: GpuCall<WeightAttrs>) =>
          narrowImage(call, forward(image, y, attrs), g, taps(w));
        await check(conv2dWeight, fromFew, [x, y], weightAttrs);
        const fromWide = ({ inputs: [image, g], ...call }: GpuCall<WeightAttrs>) =>
          narrowGradient(call, image, backward(g, wide, attrs), taps(back));
        await check(conv2dWeight, fromWide, [wide, narrow], weightAttrs);
      }
    },
  );
});

describe("a GPU goes this way", () => {
  const target = { profile: "tiled", workgroupMemory: 49152, maxInvocations: 1024 } as const;
  const attrs = convAttrs([], [], { padding: 1 });
  const call = <Attrs>(op: AnyOp, shapes: readonly Shape[], given: Attrs): GpuCall<Attrs> => {
    const view = (shape: Shape) => ({ ...contiguousLayout(shape), dtype: "float32" as const });
    const inputs = shapes.map(view);
    const outputs = op.infer(inputs, given).map(({ shape }) => view(shape));
    return { inputs, outputs, attrs: given, target, temporary: (size) => ({ temporary: 0, size }) };
  };
  const isNarrow = (calls: readonly KernelCall[]) =>
    calls.some(({ kernel }) => /under the taps|the taps leave/.test(kernel.split("\n", 1)[0]));
  const gradients = (batch: number, side: number, channels: number, outChannels: number) => {
    const [x, y] = [channels, outChannels].map((n) => [batch, side, side, n]);
    const w = [3, 3, channels, outChannels];
    return {
      weight: isNarrow(weightCalls(call(conv2dWeight, [x, y], { ...attrs, kernelSize: [3, 3] as const }))),
      input: isNarrow(inputCalls(call(conv2dInput, [y, w], { ...attrs, inputShape: x }))),
    };
  };

  test("for the gradients of the first and last convolution of a batch of images", () => {
    expect(gradients(128, 32, 3, 128)).toEqual({ weight: true, input: true });
    expect(gradients(128, 32, 128, 3)).toEqual({ weight: true, input: false });
  });

  test("and not for many channels, nor where another dispatch costs more than it saves", () => {
    expect(gradients(128, 32, 128, 128)).toEqual({ weight: false, input: false });
    expect(gradients(1, 8, 3, 4)).toEqual({ weight: false, input: false });
  });
});

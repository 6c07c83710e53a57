// Products by subgroup matrices, which no machine of the tests has: the kernel compiles for every kind of them on Dawn's null backend,
// and computes what it should on SwiftShader, with each thread playing its whole subgroup's matrices.
import { type Backend, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import { matrixUnit } from "../../../packages/tensor/src/backends/webgpu/device/device.ts";
import { specialise } from "../../../packages/tensor/src/backends/webgpu/kernels/specialise.ts";
import type { GpuCall, GpuTarget, KernelCall } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import { decodeFloat16, encodeFloat16 } from "../../../packages/tensor/src/host/halfFloat.ts";
import type { Case } from "../../../packages/tensor/src/op.ts";
import { convAttrs, convShape } from "../../../packages/tensor/src/ops/conv/convShape.ts";
import { conv2d, conv2dInput, conv2dWeight, matmul } from "../../../packages/tensor/src/ops/index.ts";
import { reader } from "../../../packages/tensor/src/ops/matmul/tiles.ts";
import { contiguousLayout } from "../../../packages/tensor/src/shape.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { exact } from "../ops/checkCase.ts";
import { type AnyOp, compare, drawInputs, place, runOp } from "../ops/derived.ts";

const full = process.env.TWEEDIE_FULL === "1";

type Unit = NonNullable<GpuTarget["matrix"]>;

/** NVIDIA's and AMD's, NVIDIA's, Apple's, and Intel's. */
const UNITS: readonly Unit[] = [
  [16, 16, 16],
  [16, 8, 16],
  [8, 8, 8],
  [8, 16, 16],
].map(([m, n, k]) => ({ m, n, k, subgroup: 32 }));

const attrs = convAttrs([], [], { padding: 1 });
const strided = convAttrs([], [], { padding: [1, 0], stride: [2, 1], dilation: [1, 2] });
const image = [2, 7, 9, 20];
const weight = [3, 3, 20, 24];
const [y, sparse] = [attrs, strided].map((some) => convShape("conv2d", image, weight, some));

/** Over the edges of tiles of 64 × 64 × 32, in quads and not, with and without biases, in several products and shares. */
const cases: readonly { readonly name: string; readonly op: AnyOp; readonly given: Case<unknown> }[] = [
  {
    name: "matmul",
    op: matmul,
    given: {
      inputs: [
        [67, 36],
        [36, 68],
      ],
    },
  },
  {
    name: "matmul of odd sizes",
    op: matmul,
    given: {
      inputs: [
        [65, 33],
        [33, 67],
      ],
    },
  },
  {
    name: "matmul with a bias",
    op: matmul,
    given: {
      inputs: [
        [3, 9, 20],
        [3, 20, 8],
        [3, 9, 8],
      ],
    },
  },
  {
    name: "matmul in shares",
    op: matmul,
    given: {
      inputs: [
        [5, 2100],
        [2100, 6],
        [5, 6],
      ],
    },
  },
  { name: "conv2d", op: conv2d, given: { inputs: [image, weight, y], attrs } },
  { name: "conv2d with a stride", op: conv2d, given: { inputs: [image, weight], attrs: strided } },
  { name: "conv2dInput", op: conv2dInput, given: { inputs: [y, weight], attrs: { ...attrs, inputShape: image } } },
  { name: "conv2dWeight", op: conv2dWeight, given: { inputs: [image, y], attrs: { ...attrs, kernelSize: [3, 3] } } },
  {
    name: "conv2dWeight with a stride",
    op: conv2dWeight,
    given: { inputs: [image, sparse], attrs: { ...strided, kernelSize: [3, 3] } },
  },
];
const isMatrixKernel = ({ kernel }: KernelCall) => kernel.includes("subgroupMatrixMultiplyAccumulate");

/** The kernel with its matrices as arrays that every thread holds whole, in float32, on operands of two halves in a word. */
function played(call: KernelCall, { m, n, k }: Unit): KernelCall {
  if (!isMatrixKernel(call)) return call;
  const { constants = {} } = call;
  const loaded = (tile: string, step: string, rows: number, columns: number, isTransposed: boolean): string => {
    const at = isTransposed ? `at + c * ${step} + r` : `at + r * ${step} + c`;
    const loops = `for (var r = 0u; r < ${rows}u; r++) { for (var c = 0u; c < ${columns}u; c++)`;
    return `var x: array<f32, ${rows * columns}>; ${loops} { x[r * ${columns}u + c] = ${tile}[${at}]; } } return x;`;
  };
  const outer = `for (var i = 0u; i < ${m}u; i++) { for (var j = 0u; j < ${n}u; j++)`;
  const term = `total[i * ${n}u + j] += x[i * ${k}u + l] * y[l * ${n}u + j];`;
  return {
    ...call,
    kernel: call.kernel.replace(/^(enable|diagnostic).*\n/gm, ""),
    constants: {
      ...constants,
      ...reader("A", "a4", "a", !("A" in constants), true),
      ...reader("B", "b4", "b", !("B" in constants), true),
      Half: "f32",
      Left: `array<f32, ${m * k}>`,
      Right: `array<f32, ${k * n}>`,
      Sum: `array<f32, ${m * n}>`,
      load_left: loaded("a_tile", "A_STEP", m, k, constants.A_IS_TRANSPOSED === true),
      load_right: loaded("b_tile", "B_STEP", k, n, constants.B_IS_TRANSPOSED === true),
      multiply: `var total = sum; ${outer} { for (var l = 0u; l < ${k}u; l++) { ${term} } } } return total;`,
      store: `${outer} { c_tile[at + i * ${n}u + j] = sum[i * ${n}u + j]; } }`,
    },
  };
}

describe.skipIf(!gpuAvailable)("played on the adapter of the tests", () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await webgpu({ poison: true, profile: "tiled" });
  });
  afterAll(() => backend.dispose());

  // Few threads, as each does the work of all.
  const [unit, small] = [UNITS[1], UNITS[2]].map((one) => ({ ...one, subgroup: 4 }));
  const runs = cases.flatMap((given) =>
    // Larger matrices take SwiftShader long to compile.
    (full || given.name === "conv2d" ? [unit, small] : [small]).map((matrix) => ({ ...given, matrix, k: matrix.k })),
  );

  test.each(runs)(
    "$name by matrices of k = $k is that of rounded operands within float32's tolerance",
    async ({ op, given, matrix }) => {
      const found: KernelCall[] = [];
      const playing = (call: GpuCall<unknown>) => {
        const target = { ...call.target, half: true, matrix, workgroupMemory: 16384 };
        const calls = op.webgpu?.calls({ ...call, target }) ?? [];
        found.push(...calls.filter(isMatrixKernel));
        return calls.map((one) => played(one, matrix));
      };
      const drawn = drawInputs(given, 1);
      const near = drawn.map(({ input, values }, k) => ({
        input,
        values: k < 2 ? [...decodeFloat16(encodeFloat16(Float32Array.from(values)))] : values,
      }));
      const absolute = near.map(({ input, values }) => ({ input, values: values.map(Math.abs) }));
      const [reference] = runOp(op, place(near, exact), given.attrs, exact);
      const [magnitudes] = runOp(op, place(absolute, exact), given.attrs, exact);
      const shapes = drawn.map(({ input }) => input.shape);
      for (const layout of ["rows", "strided"] as const) {
        const [result] = runOp(
          { ...op, webgpu: { ...op.webgpu, calls: playing } },
          place(drawn, backend, layout),
          given.attrs,
          backend,
        );
        const { relative, message } = await compare(op.tolerance, result, reference, magnitudes, shapes);
        expect(relative, message).toBeLessThanOrEqual(1);
      }
      expect(found).toHaveLength(2);
    },
  );
});

// Dawn aborts the process when one of these is collected while something made from it is alive.
const instances: GPU[] = [];

test.each(UNITS)(
  "the kernel compiles for matrices of $m × $n × $k on Dawn's null backend without a message",
  async (matrix) => {
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    instances.push(gpu);
    const adapter = await gpu.requestAdapter();
    if (!adapter) throw new Error("no null adapter");
    const device = await adapter.requestDevice({
      requiredFeatures: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[], // newer than the types
    });
    // Its memory holds the smaller tile only; the other's text is checked.
    const texts = [16384, 49152].map((workgroupMemory) => {
      const target: GpuTarget = { profile: "tiled", workgroupMemory, maxInvocations: 256, half: true, matrix };
      const large = {
        inputs: [
          [4096, 64],
          [64, 2304],
        ],
      };
      const every = [...cases, { op: matmul as AnyOp, given: large }].flatMap(({ op, given }) =>
        callsOf(op, given, target),
      );
      return new Set(
        every
          .filter(isMatrixKernel)
          .map(({ kernel, constants = {}, library }) => specialise(kernel, constants, library)),
      );
    });
    const [small, all] = texts;
    expect(small.size).toBeGreaterThan(5);
    expect([...all].some((code) => code.includes("TILE_M = 128u"))).toBe(true);
    for (const code of new Set([...small, ...all])) {
      const module = device.createShaderModule({ code });
      expect((await module.getCompilationInfo()).messages).toEqual([]);
      if (small.has(code)) await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    }
    device.destroy();
  },
);

/** With inputs in rows, and with the first two transposed as far as the op takes them so. */
function callsOf(op: AnyOp, given: Case<unknown>, target: GpuTarget): readonly KernelCall[] {
  const views = drawInputs(given, 1).map(({ input: { shape } }) => ({
    ...contiguousLayout(shape),
    dtype: "float32" as const,
  }));
  const outputs = op.infer(views, given.attrs).map((spec) => ({ ...spec, ...contiguousLayout(spec.shape) }));
  const turned = views.map((view, k) => {
    const [rows] = view.shape.slice(-2);
    return op === matmul && k < 2 && view.shape.length === 2 ? { ...view, strides: [1, rows] } : view;
  });
  const temporary = (size: number) => ({ temporary: 0, size });
  return [views, turned].flatMap(
    (inputs) => op.webgpu?.calls({ inputs, outputs, attrs: given.attrs, target, temporary }) ?? [],
  );
}

describe("the matrices that are taken", () => {
  const features = new Set(["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"]);
  const config = (M: number, N: number, K: number, componentType = "f16", resultComponentType = "f32") => ({
    M,
    N,
    K,
    componentType,
    resultComponentType,
  });
  const configs = [
    config(8, 8, 8),
    config(16, 16, 16, "f16", "f16"),
    config(16, 8, 16),
    config(16, 16, 32, "i8", "i32"),
  ];
  const adapterInfo = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: configs };

  test("are the largest of halves with sums in float32", () => {
    expect(matrixUnit(features, adapterInfo)).toEqual({ m: 16, n: 8, k: 16, subgroup: 32 });
  });

  test("are none without the features, for subgroups of several sizes, and where there is no such pair", () => {
    for (const name of features) {
      expect(matrixUnit(new Set([...features].filter((other) => other !== name)), adapterInfo)).toBeUndefined();
    }
    expect(matrixUnit(features, { ...adapterInfo, subgroupMinSize: 8 })).toBeUndefined();
    expect(matrixUnit(features, { ...adapterInfo, subgroupMatrixConfigs: [configs[1]] })).toBeUndefined();
    expect(matrixUnit(features, {})).toBeUndefined();
  });
});

// What only the WebGPU backend can get wrong: order of uploads, folded dispatches, faults and losses of the device.
import {
  cpu,
  DeviceLostError,
  OutOfMemoryError,
  ones,
  tensor,
  tidy,
  ValidationError,
  valueAndGrad,
  webgpu,
  zeros,
} from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { findAdapter } from "../../../packages/tensor/src/backends/webgpu/device/device.ts";
import { paramsLayout, writeParams } from "../../../packages/tensor/src/backends/webgpu/kernels/params.ts";
import { specialise } from "../../../packages/tensor/src/backends/webgpu/kernels/specialise.ts";
import { sizeClass } from "../../../packages/tensor/src/backends/webgpu/memory/pool.ts";
import { defineOp, float32 } from "../../../packages/tensor/src/op.ts";
import { dropout } from "../../../packages/tensor/src/ops/index.ts";
import { apply } from "../../../packages/tensor/src/tensor.ts";
import { gpuAvailable } from "../../setup/gpu.ts";

describe.skipIf(!gpuAvailable)("the device", () => {
  test("a buffer that is reused by an upload still had its old value for what was queued before", async () => {
    const backend = await webgpu();
    const results = Array.from({ length: 50 }, (_, k) => {
      const x = tensor([k, k, k], { backend });
      const y = x.add(1);
      x.dispose();
      return y;
    });
    for (const [k, y] of results.entries()) expect(await y.array()).toEqual([k + 1, k + 1, k + 1]);
    backend.dispose();
  });

  test("a tensor of more than 65,535 workgroups is computed to its last element", async () => {
    const backend = await webgpu();
    const size = 65536 * 256 + 5;
    const y = ones([size], { backend }).contiguous().add(1);
    const tail = await y.slice([size - 3]).data();
    expect([...tail]).toEqual([2, 2, 2]);
    expect(await y.slice([65535 * 256 - 1, 65535 * 256 + 2]).array()).toEqual([2, 2, 2]);
    backend.dispose();
  });

  test("a tensor past WebGPU's default limit of 128 MiB a binding is computed to its last element", async ({
    skip,
  }) => {
    const backend = await webgpu();
    const size = 2 ** 25 + 8;
    try {
      const x = ones([size], { backend }).contiguous();
      const y = x.add(1).mul(x);
      expect([...(await y.slice([size - 2]).data())]).toEqual([2, 2]);
      expect([...(await y.slice([null, null, 2 ** 24]).data())]).toEqual([2, 2, 2]);
      expect(await y.sum().item()).toBe(2 * size);
    } catch (error) {
      if (error instanceof OutOfMemoryError) skip(error.message);
      throw error;
    } finally {
      backend.dispose();
    }
  });

  test("a kernel that the device refuses is a ValidationError that names the op", async () => {
    const backend = await webgpu();
    const broken = defineOp({
      name: "broken",
      infer: () => [float32([1])],
      cpu: () => {},
      webgpu: {
        calls: ({ outputs: [out] }) => [
          {
            kernel:
              "@group(0) @binding(1) var<storage, read_write> out: array<f32>;\n@compute @workgroup_size(1) fn main() { out[0] = nonsense; }",
            bindings: [out],
            grid: { threads: 1 },
          },
        ],
      },
      wasm: null,
      cases: [{ inputs: [] }],
      tolerance: {},
    });
    const [y] = apply(broken, [], undefined, backend);
    const reading = y.data();
    await expect(reading).rejects.toThrow(ValidationError);
    const again = apply(broken, [], undefined, backend)[0].data();
    await expect(again).rejects.toThrow(/broken/);
    expect(await ones([2], { backend }).add(1).array()).toEqual([2, 2]);
    backend.dispose();
  });

  test("after a loss every call is a DeviceLostError, and a new backend works", async () => {
    const backend = await webgpu();
    const x = ones([4], { backend }).contiguous();
    backend.dispose();
    expect(() => x.add(1)).toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(backend.settled()).rejects.toThrow("the backend is disposed, want a new backend");
    const next = await webgpu();
    expect(await ones([1], { backend: next }).add(1).array()).toEqual([2]);
    next.dispose();
  });

  test("reading while more is queued gives the value at that moment", async () => {
    const backend = await webgpu();
    const x = zeros([3], { backend }).contiguous();
    const first = x.data();
    x.assign(x.add(1));
    expect([...(await first)]).toEqual([0, 0, 0]);
    expect([...(await x.data())]).toEqual([1, 1, 1]);
    backend.dispose();
  });

  test("a repeated step creates no buffers, bind groups or pipelines, and is handed over at once", async () => {
    const backend = await webgpu();
    const w = tensor([0.1, -0.2, 0.3], { backend });
    const step = async (k: number) => {
      const loss = tidy(() => {
        const x = tensor([k, 1, 2], { backend });
        const { value, grads } = valueAndGrad(() => x.mul(w).tanh().square().mean(), [w]);
        w.assign(w.sub(grads[0].mul(0.01)));
        return value;
      });
      await loss.item();
      loss.dispose();
    };
    for (let k = 0; k < 4; k++) await step(k);
    const before = backend.counters();
    for (let k = 0; k < 5; k++) await step(k);
    const after = backend.counters();
    expect(after.dispatches - before.dispatches).toBeGreaterThan(5 * 5);
    expect({ ...after, dispatches: 0 }).toEqual({
      ...before,
      dispatches: 0,
      uploads: before.uploads + 5,
      submits: before.submits + 5,
    });
    backend.dispose();
  });

  test("an op that ran on one tensor twice runs on two of the same layout", async () => {
    const backend = await webgpu();
    const [x, y] = [tensor([1, 2, 3], { backend }), tensor([4, 5, 6], { backend })];
    expect(await x.mul(x).array()).toEqual([1, 4, 9]);
    expect(await x.mul(y).array()).toEqual([4, 10, 18]);
    expect(await y.sub(x).array()).toEqual([3, 3, 3]);
    expect(await y.sub(y).array()).toEqual([0, 0, 0]);
    backend.dispose();
  });

  test("an op with other attributes than before computes with those, also where they change at each step", async () => {
    const backend = await webgpu();
    const x = ones([1000], { backend }).contiguous();
    const draw = { key: [1, 2] as const, index: 3 };
    for (const rate of [0.1, 0.75]) {
      expect(await x.add(rate).data()).toEqual(new Float32Array(1000).fill(Math.fround(1 + rate)));
      const [dropped, wanted] = [x, ones([1000], { backend: cpu() })].map(
        (ones) => apply(dropout, [ones], { ...draw, rate }, ones.backend)[0],
      );
      expect(await dropped.data()).toEqual(await wanted.data());
    }
    backend.dispose();
  });

  test("an op whose perStep rule says other than its kernel gets is refused", async () => {
    const backend = await webgpu();
    const lying = { ...dropout, perStep: () => ({ scale: 7 }) };
    expect(() => apply(lying, [ones([4], { backend })], { key: [1, 2], index: 0, rate: 0.5 }, backend)).toThrow(
      "dropout: perStep gives scale = 7, and the kernel got 2, want the same",
    );
    backend.dispose();
  });

  test("timers and other promises have their turn while a result is awaited", async () => {
    const backend = await webgpu();
    const x = ones([768, 768], { backend }).contiguous();
    let isDone = false;
    let [timers, turns] = [0, 0];
    const timer = setInterval(() => timers++, 1);
    const turn = () => setImmediate(() => turns++ < 1e6 && !isDone && turn());
    turn();
    await tidy(() => x.matmul(x)).data(); // a second of SwiftShader's
    isDone = true;
    clearInterval(timer);
    expect(timers).toBeGreaterThan(10);
    expect(turns).toBeGreaterThan(10);
    backend.dispose();
  });

  test("the name tells the adapter", async () => {
    const backend = await webgpu();
    expect(backend.name).toMatch(/^webgpu: .+\(.+\)$/);
    expect(cpu().name).toBe("cpu: float32");
    backend.dispose();
  });
});

describe("specialising a kernel", () => {
  const kernel =
    "// y = f(x)\nconst SIZE = 4u;\nconst SLOPE: f32 = 0.5;\nalias T = f32;\nfn f(x: T) -> T { return x; }\n";

  test("rewrites constants, types and one-line functions", () => {
    expect(specialise(kernel, { SIZE: "8u", SLOPE: 2, T: "u32", f: "return x * x;" })).toBe(
      "// y = f(x)\nconst SIZE = 8u;\nconst SLOPE: f32 = 2;\nalias T = u32;\nfn f(x: T) -> T { return x * x; }\n",
    );
  });

  test("joins a kernel to a library: the longer declaration counts, and of two one-line ones the kernel's", () => {
    const user =
      "const N = 2u;\nfn zero() -> u32 { return params.zero; }\nfn twice(x: f32) -> f32 { return x; }\nstruct S { a: f32 }\n";
    const library =
      "const N = 1u;\nfn zero() -> u32 { return 0u; }\nfn twice(x: f32) -> f32 {\n  return 2.0 * x;\n}\nstruct S {\n  a: f32, // of it\n}\n";
    expect(specialise(user, { N: "3u" }, library)).toBe(
      "const N = 3u;\nfn zero() -> u32 { return params.zero; }\n\nfn twice(x: f32) -> f32 {\n  return 2.0 * x;\n}\nstruct S {\n  a: f32, // of it\n}\n",
    );
  });

  test("refuses texts that declare one function differently, or twice at length", () => {
    const long = "fn f(x: f32) -> f32 {\n  return x;\n}\n";
    expect(() => specialise("fn f(y: f32) -> f32 { return y; }\n", {}, long)).toThrow(
      "specialise: fn f(x: f32) -> f32 and fn f(y: f32) -> f32, want one declaration",
    );
    expect(() => specialise(long, {}, long)).toThrow("specialise: two declarations of f on several lines, want one");
  });

  test("refuses a name that the kernel does not declare", () => {
    expect(() => specialise(kernel, { WIDTH: 1 })).toThrow(
      'no one-line const, alias or fn WIDTH in "// y = f(x)", want one of SIZE, SLOPE, T, f',
    );
  });
});

describe("packing parameters", () => {
  const wgsl =
    "struct Params {\n  size: u32,\n  offset: vec2<u32>,\n  scale: f32, // of x\n  axes: array<vec4<i32>, 2>,\n}\n";

  test("follows WGSL's alignment", () => {
    const layout = paramsLayout(wgsl);
    expect(layout?.fields.map(({ name, offset, count }) => [name, offset, count])).toEqual([
      ["size", 0, 1],
      ["offset", 8, 2],
      ["scale", 16, 1],
      ["axes", 32, 8],
    ]);
    expect(layout?.bytes).toBe(64);
  });

  test("refuses missing, unknown and wrongly sized parameters", () => {
    const layout = paramsLayout(wgsl);
    if (!layout) throw new Error("no layout");
    const target = new DataView(new ArrayBuffer(64));
    const good = { size: 1, offset: [1, 2], scale: 0.5, axes: [1, 2, 3, 4, 5, 6, 7, 8] };
    expect(() => writeParams(target, 0, layout, good)).not.toThrow();
    expect(target.getFloat32(16, true)).toBe(0.5);
    expect(() => writeParams(target, 0, layout, { size: 1 })).toThrow(
      "params: got size, want size, offset, scale, axes",
    );
    expect(() => writeParams(target, 0, layout, { ...good, extra: 1 })).toThrow("params: got");
    expect(() => writeParams(target, 0, layout, { ...good, offset: [1] })).toThrow(
      "params: 1 numbers for offset, want 2",
    );
  });
});

test.skipIf(!gpuAvailable)(
  "a tensor may be as large as the device's largest binding, which is no size class",
  async () => {
    const adapter = await findAdapter();
    if (typeof adapter === "string") throw new Error(adapter);
    const bytes = 150_000_000;
    const device = await adapter.requestDevice({
      requiredLimits: { maxStorageBufferBindingSize: bytes, maxBufferSize: bytes + 2 },
    });
    const backend = await webgpu({ device });
    const last = new Float32Array(bytes / 4).with(-1, 5);
    expect(await tensor(last, { backend }).slice([-1]).item()).toBe(5);
    expect(() => tensor(new Float32Array(bytes / 4 + 1), { backend })).toThrow(
      `tensor: one buffer of ${bytes + 4} bytes, and this device takes at most ${bytes}`,
    );
    backend.dispose();
  },
);

test("size classes waste at most an eighth", () => {
  for (let bytes = 1; bytes < 1e6; bytes += 997) {
    const size = sizeClass(bytes);
    expect(size % 32).toBe(0);
    expect(size).toBeGreaterThanOrEqual(bytes);
    if (bytes > 256) expect(size / bytes).toBeLessThanOrEqual(1.125);
  }
});

test.each([
  ["precision", "float16", "float32 or mixed"],
  ["capture", "no", "true or false"],
])("a %s that is %s is refused before a device is asked for", async (option, value, wanted) => {
  await expect(webgpu({ [option]: value })).rejects.toThrow(`webgpu: ${option} is "${value}", want ${wanted}`);
});

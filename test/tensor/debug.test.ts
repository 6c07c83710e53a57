// Finding the op that makes NaN, and the op at which two backends differ.
import {
  type Backend,
  cpu,
  detectNonFinite,
  grad,
  numericsReport,
  ones,
  type Tensor,
  tensor,
  webgpu,
  zeros,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defineOp, float32 } from "../../packages/tensor/src/op.ts";
import { apply } from "../../packages/tensor/src/tensor.ts";
import { openers } from "../setup/backends.ts";
import { gpuAvailable } from "../setup/gpu.ts";

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test("what is finite runs as without", async () => {
      const x = tensor([1, 4], { backend });
      const before = backend.memory().buffers;
      const y = await detectNonFinite(() => x.sqrt().add(1));
      expect(await y.array()).toEqual([2, 3]);
      y.dispose();
      expect(backend.memory().buffers).toBeLessThanOrEqual(before + 1); // √x itself waits for the collector
    });

    test("the first op that makes NaN or infinity is named, with its place and its inputs", async () => {
      const x = tensor(
        [
          [1, -4, 9],
          [0, 16, -1],
        ],
        { backend },
      );
      const f = () => {
        const root = x.add(0).sqrt();
        return root.mul(root.transpose().contiguous().reshape([2, 3])).log();
      };
      await expect(detectNonFinite(f)).rejects.toThrow(
        new Error(
          "detectNonFinite: op 2, sqrt of [2, 3], makes, as output 0, 2 NaN or infinite of 6 elements [2, 3], want finite ones",
        ),
      );
    });

    test("a mask's −∞ and a padding's are meant; what they become is not", async () => {
      const x = tensor([1, 2, 3, 4], { backend, shape: [1, 2, 2, 1] });
      const q = x.reshape([2, 2]);
      const mask = tensor([1, 0, 1, 1], { backend, shape: [2, 2] }).cast("bool");
      await detectNonFinite(() => q.attention(q, q, { mask }).add(x.maxPool(2, { padding: 1 }).reshape([4, 1]).sum()));
      const hidden = () => mask.where(q, Number.NEGATIVE_INFINITY);
      await expect(detectNonFinite(() => hidden().sub(hidden()))).rejects.toThrow(
        "sub of [2, 2], [2, 2], makes, as output 0, 1 NaN",
      );
      await expect(detectNonFinite(() => q.sub(q).log().maximum(0))).rejects.toThrow(
        "log of [2, 2], makes, as output 0, 4 NaN",
      );
    });

    test("one that an op is handed from outside is told apart", async () => {
      const bias = tensor([0, Number.NaN, Number.POSITIVE_INFINITY], { backend });
      await expect(detectNonFinite(() => ones([2, 3], { backend }).contiguous().add(bias))).rejects.toThrow(
        "expand, is handed, as input 0, 2 NaN or infinite of 3 elements [3], want finite ones",
      );
    });

    test("it is found in a gradient whose function is finite", async () => {
      const x = zeros([3], { backend });
      await expect(detectNonFinite(() => grad((v) => v.sqrt().sum(), [x]))).rejects.toThrow(
        /op \d+, div of \[3\], \[3\], makes, as output 0, 3 NaN or infinite of 3 elements/,
      );
      await expect(detectNonFinite(() => grad((v) => v.norm(), [x]))).resolves.not.toBeNull();
    });

    test("an async function may read results in between, and afterwards nobody looks", async () => {
      const x = tensor([0], { backend });
      const infinite = () => x.log();
      await expect(
        detectNonFinite(async () => {
          await x.add(1).data();
          return infinite();
        }),
      ).rejects.toThrow("op 2, log of [1]");
      await expect(detectNonFinite(() => Promise.reject(new Error("f failed")))).rejects.toThrow("f failed");
      const before = backend.memory().buffers;
      const y = infinite();
      expect(backend.memory().buffers).toBe(before + 1); // a count would be another
      y.dispose();
    });

    test("of tasks that run side by side, each is told of its own ops, whichever begins or ends first", async () => {
      const [good, bad] = [tensor([1, 4], { backend }), tensor([1, -4], { backend })];
      const slowly = (x: Tensor, turns: number) => async () => {
        for (let k = 0; k < turns; k++) await x.add(k).data();
        return x.sqrt();
      };
      const outcomes = await Promise.allSettled([
        detectNonFinite(slowly(good, 3)),
        detectNonFinite(slowly(bad, 1)),
        slowly(bad, 2)(),
        detectNonFinite(slowly(good, 0)),
        detectNonFinite(slowly(bad, 2)),
        detectNonFinite(slowly(good, 2)),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual([
        "fulfilled",
        "rejected",
        "fulfilled",
        "fulfilled",
        "rejected",
        "fulfilled",
      ]);
      for (const [k, op] of [
        [1, 2],
        [4, 3],
      ]) {
        expect((outcomes[k] as PromiseRejectedResult).reason.message).toBe(
          `detectNonFinite: op ${op}, sqrt of [2], makes, as output 0, 1 NaN or infinite of 2 elements [2], want finite ones`,
        );
      }
      const before = backend.memory().buffers;
      const y = bad.log();
      expect(backend.memory().buffers).toBe(before + 1); // nobody looks any more
      y.dispose();
    });

    test("an op that overwrites its input is not taken for one that was handed NaN", async () => {
      const spoil = defineOp({
        name: "spoil",
        infer: ([x]) => [x],
        cpu: ([out]) => void out.data.fill(Number.NaN, out.offset, out.offset + 2),
        webgpu: {
          calls: ({ outputs: [out] }) => [
            {
              kernel:
                "@group(0) @binding(1) var<storage, read_write> out: array<u32>;\n@compute @workgroup_size(2) fn main(@builtin(local_invocation_index) i: u32) { out[i] = 0x7fc00000u; }",
              bindings: [out],
              grid: { threads: 1 },
            },
          ],
        },
        wasm: null,
        inPlace: [0],
        cases: [{ inputs: [[2]] }],
        tolerance: {},
      });
      const x = tensor([1, 2], { backend });
      await expect(detectNonFinite(() => apply(spoil, [x], undefined, backend))).rejects.toThrow(
        "op 1, spoil of [2], makes, as output 0, 2 NaN",
      );
    });
  });
}

describe("comparing two backends", () => {
  const [exact, rounded] = [cpu({ precision: "float64" }), cpu()];
  /** A small network and its gradient. */
  const f = (backend: Backend) => {
    const x = tensor(
      [
        [0.5, -1],
        [2, 0.1],
      ],
      { backend },
    );
    const w = tensor(
      [
        [0.3, -0.7, 0.2],
        [1.1, 0.4, -0.9],
      ],
      { backend },
    );
    return grad((v) => x.matmul(v).silu().square().mean(), [w]);
  };

  test("equal backends differ nowhere, float32 from float64 by its rounding", async () => {
    const same = await numericsReport(f, rounded, rounded);
    expect(same.slice(0, 3).map(({ op }) => op)).toEqual(["matmul", "silu", "square"]);
    expect(same.length).toBeGreaterThan(8);
    expect(same.every(({ distance }) => distance === 0)).toBe(true);
    const rows = await numericsReport(f, exact, rounded);
    expect(rows.map(({ op }) => op)).toEqual(same.map(({ op }) => op));
    for (const { distance } of rows) expect(distance).toBeLessThan(1e-6);
    expect(rows.some(({ distance }) => distance > 0)).toBe(true);
  });

  test("the op that differs is where the distance jumps", async () => {
    const rough = defineOp({
      name: "rough",
      infer: ([x]) => [float32(x.shape)],
      // As good as exact in float32, off by a thousandth in float64.
      cpu: ([out], [x]) => {
        const scale = out.data instanceof Float32Array ? 1 : 1.001;
        for (let i = 0; i < 2; i++) out.data[out.offset + i] = scale * x.data[x.offset + i];
      },
      webgpu: { calls: () => [] },
      wasm: null,
      cases: [{ inputs: [[2]] }],
      tolerance: {},
    });
    const rows = await numericsReport(
      (backend) => apply(rough, [tensor([0.1, 0.2], { backend }).exp()], undefined, backend)[0].log(),
      exact,
      rounded,
    );
    expect(rows.map(({ index, op, shape }) => ({ index, op, shape }))).toEqual([
      { index: 0, op: "exp", shape: [2] },
      { index: 1, op: "rough", shape: [2] },
      { index: 2, op: "log", shape: [2] },
    ]);
    expect(rows[0].distance).toBeLessThan(1e-7);
    expect(rows[1].distance).toBeGreaterThan(9e-4);
  });

  test("what other tasks run between the two runs is none of the report", async () => {
    const others = async () => {
      for (let k = 0; k < 20; k++)
        await ones([2], { backend: k % 2 ? exact : rounded })
          .exp()
          .data();
    };
    const alone = await numericsReport(f, exact, rounded);
    const [rows] = await Promise.all([numericsReport(f, exact, rounded), others(), others()]);
    expect(rows).toEqual(alone);
  });

  test("runs of different ops are refused", async () => {
    const either = (backend: Backend) => {
      const x = ones([2], { backend });
      return backend === exact ? x.exp() : x.log();
    };
    await expect(numericsReport(either, exact, rounded)).rejects.toThrow(
      "numericsReport: op 1 is exp with output 0 [2] on cpu: float64 and op 1 is log with output 0 [2] on cpu: float32, want the same ops in the same order",
    );
    await expect(numericsReport(async () => {}, exact, rounded)).rejects.toThrow("numericsReport: f is async");
  });

  test.skipIf(!gpuAvailable)("a GPU is near the reference at every op", async () => {
    const gpu = await webgpu();
    for (const { distance } of await numericsReport(f, exact, gpu)) expect(distance).toBeLessThan(1e-5);
    gpu.dispose();
  });
});

// Contractions in every tile and in shares, long sums, what is chosen for which product, and Tensor.matmul and conv2d.
import { type Backend, cpu, grad, type Shape, ShapeError, type Tensor, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { GpuTarget } from "../../../packages/tensor/src/backends/webgpu/rule.ts";
import { convAttrs, convShape } from "../../../packages/tensor/src/ops/conv/convShape.ts";
import { convCalls, inputCalls, weightCalls } from "../../../packages/tensor/src/ops/conv/webgpu.ts";
import { conv2d, conv2dInput, conv2dWeight, matmul } from "../../../packages/tensor/src/ops/index.ts";
import type { Product } from "../../../packages/tensor/src/ops/matmul/product.ts";
import { chooseTiling, TILES, type Tile, type Tiling } from "../../../packages/tensor/src/ops/matmul/tiles.ts";
import { matmulCalls } from "../../../packages/tensor/src/ops/matmul/webgpu.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { deviation, exact } from "../ops/checkCase.ts";
import { type AnyOp, distance, drawInputs, place } from "../ops/derived.ts";

const [largest, smallest] = [TILES[0], TILES[TILES.length - 1]];

describe.skipIf(!gpuAvailable).each(["direct", "tiled"] as const)("on webgpu with %s kernels", (profile) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await webgpu({ poison: true, profile });
  });
  afterAll(() => backend.dispose());

  test("the error of sums of thousands of products grows with the root of their number", async () => {
    expect(
      await deviation(
        matmul,
        [
          [5, 9000],
          [9000, 3],
        ],
        undefined,
        backend,
      ),
    ).toBeLessThanOrEqual(1);
    const attrs = convAttrs([], [], { padding: 1 });
    const pixels = [
      [3, 40, 41, 4],
      [3, 40, 41, 4],
    ];
    expect(await deviation(conv2dWeight, pixels, { ...attrs, kernelSize: [3, 3] }, backend)).toBeLessThanOrEqual(1);
    const channels = [
      [1, 2, 3, 700],
      [3, 3, 700, 5],
    ];
    expect(await deviation(conv2d, channels, attrs, backend)).toBeLessThanOrEqual(1);
  });

  test("heads that are axes of a view are multiplied in place", async () => {
    const [q, k] = place(
      drawInputs(
        {
          inputs: [
            [2, 5, 3, 8],
            [2, 7, 3, 8],
          ],
        },
        1,
      ),
      backend,
    ).map((x) => x.permute([0, 2, 1, 3]));
    expect(matmul.webgpu?.takes?.(q.layout, 0, undefined)).toBe(true);
    const [scores, apart] = [q.matmul(k.transpose()), q.contiguous().matmul(k.contiguous().transpose().contiguous())];
    expect(scores.shape).toEqual([2, 3, 5, 7]);
    expect(await scores.data()).toEqual(await apart.data());
  });

  if (profile === "direct") return;

  /** A tile's whole range of sums at once, and in shares of two tiles. */
  const tilings = (tile: Tile, tiles: number): Tiling[] => [
    { tile, shares: 1, share: tiles },
    { tile, shares: Math.ceil(tiles / 2), share: 2 },
  ];

  test.each(TILES)("a product in tiles of $tileM × $tileN × $tileK reaches over their edges", async (tile) => {
    const shapes = [
      [tile.tileM + 1, 3 * tile.tileK - 3],
      [3 * tile.tileK - 3, tile.tileN + 3],
    ];
    for (const tiling of tilings(tile, 3)) {
      const op: AnyOp = { ...matmul, webgpu: { ...matmul.webgpu, calls: (call) => matmulCalls(call, tiling) } };
      expect(await deviation(op, shapes, undefined, backend)).toBeLessThanOrEqual(1);
      const withBias = [...shapes, [shapes[0][0], shapes[1][1]]];
      expect(await deviation(op, withBias, undefined, backend)).toBeLessThanOrEqual(1);
    }
  });

  test.each([largest, smallest])(
    "convolutions in tiles of $tileM × $tileN × $tileK reach over their edges",
    async (tile) => {
      const [channels, outChannels] = [tile.tileK + 4, tile.tileN + 4];
      const [x, w] = [
        [2, 5, 13, channels],
        [3, 3, channels, outChannels],
      ];
      const attrs = convAttrs(x, w, { padding: 1 });
      for (const tiling of tilings(tile, 18)) {
        const op: AnyOp = { ...conv2d, webgpu: { ...conv2d.webgpu, calls: (call) => convCalls(call, tiling) } };
        expect(await deviation(op, [x, w], attrs, backend)).toBeLessThanOrEqual(1);
        expect(await deviation(op, [x, w, convShape("conv2d", x, w, attrs)], attrs, backend)).toBeLessThanOrEqual(1);
      }
      // Four classes of pixels, which meet one, two, two and four of nine taps; the first have fewer sums than there are shares.
      const strided = { ...attrs, stride: [2, 2], inputShape: [3, 17, 23, tile.tileN + 4] } as const;
      const back = [3, 3, strided.inputShape[3], channels];
      const gradient = convShape("conv2d", strided.inputShape, back, strided);
      for (const tiling of tilings(tile, 8)) {
        const op: AnyOp = {
          ...conv2dInput,
          webgpu: { ...conv2dInput.webgpu, calls: (call) => inputCalls(call, tiling) },
        };
        expect(await deviation(op, [gradient, back], strided, backend)).toBeLessThanOrEqual(1);
      }
      // So many pixels that their addresses take several pages.
      const [image, kernel] = [
        [3, 14, 15, tile.tileM + 4],
        [1, 2, tile.tileM + 4, outChannels],
      ];
      const y = convShape("conv2d", image, kernel, attrs);
      const tiles = Math.ceil((y[0] * y[1] * y[2]) / tile.tileK);
      const half = Math.ceil(tiles / 2);
      for (const tiling of [
        { tile, shares: 1, share: tiles },
        { tile, shares: 2, share: half },
      ]) {
        const op: AnyOp = {
          ...conv2dWeight,
          webgpu: { ...conv2dWeight.webgpu, calls: (call) => weightCalls(call, tiling) },
        };
        expect(await deviation(op, [image, y], { ...attrs, kernelSize: [1, 2] }, backend)).toBeLessThanOrEqual(1);
      }
    },
  );
});

describe("what is chosen", () => {
  const h100: GpuTarget = { profile: "tiled", workgroupMemory: 49152, maxInvocations: 1024 };
  const product = (m: number, k: number, n: number): Product => ({ batches: 1, m, k, n, runs: 1 });
  const workgroups = ({ m, n }: Product, { tile, shares }: Tiling) =>
    shares * Math.ceil(m / tile.tileM) * Math.ceil(n / tile.tileN);

  test("a large product takes the largest tiles, whole", () => {
    expect(chooseTiling(product(4096, 4096, 4096), h100)).toMatchObject({
      tile: { tileM: 128, tileN: 128 },
      shares: 1,
    });
  });

  test("a small product of long sums is cut into shares that fill the GPU", () => {
    const small = product(256, 32768, 256);
    const tiling = chooseTiling(small, h100);
    expect(tiling && workgroups(small, tiling)).toBeGreaterThanOrEqual(128);
  });

  test("the shares cover the sum, and none is empty", () => {
    for (const k of [1, 300, 2048, 5000, 131072]) {
      const tiling = chooseTiling(product(144, k, 128), h100);
      const tiles = Math.ceil(k / (tiling?.tile.tileK ?? 1));
      expect(tiling && tiling.shares * tiling.share).toBeGreaterThanOrEqual(tiles);
      expect(tiling && (tiling.shares - 1) * tiling.share).toBeLessThan(tiles);
    }
  });

  test("tiles that a device cannot hold are not taken, and software adapters take none", () => {
    const little: GpuTarget = { profile: "tiled", workgroupMemory: 16384, maxInvocations: 128 };
    expect(chooseTiling(product(4096, 4096, 4096), little)).toMatchObject({ tile: { tileM: 128, tileN: 64 } });
    expect(chooseTiling(product(64, 64, 64), { ...h100, workgroupMemory: 1024 })).toBeNull();
    expect(chooseTiling(product(64, 64, 64), { ...h100, profile: "direct" })).toBeNull();
  });

  test("the threads of every tile can load it, and share it as the kernels divide them", () => {
    for (const { tileM, tileN, tileK, threadM, threadN } of TILES) {
      const [rows, columns] = [tileM / threadM, tileN / threadN];
      expect(rows * columns).toBeGreaterThanOrEqual(((tileM + tileN) * tileK) / 16);
      expect(rows * columns).toBeGreaterThanOrEqual(Math.min(tileM, 2 * tileK));
      expect([rows % 4, columns % 8, tileK % 4]).toEqual([0, 0, 0]);
    }
  });
});

describe("Tensor.conv2d", () => {
  const backend = cpu();
  const draw = (...shapes: Shape[]): Tensor[] => place(drawInputs({ inputs: shapes }, 1), backend);

  test("takes a number or a pair, and pads as said", () => {
    const [x, w] = draw([2, 9, 8, 3], [3, 2, 3, 4]);
    expect(x.conv2d(w).shape).toEqual([2, 7, 7, 4]);
    expect(x.conv2d(w, { stride: [2, 1], padding: [1, 0] }).shape).toEqual([2, 5, 7, 4]);
    expect(
      x.conv2d(w, {
        padding: [
          [2, 0],
          [0, 3],
        ],
        dilation: 2,
      }).shape,
    ).toEqual([2, 7, 9, 4]);
    expect(x.conv2d(w, { padding: "same" }).shape).toEqual([2, 9, 8, 4]);
    expect(x.conv2d(w, { padding: "same", stride: 2 }).shape).toEqual([2, 5, 4, 4]);
  });

  test("adds a bias of any shape that broadcasts, as matmul does", async () => {
    const shapes = [[2, 5, 4, 3], [3, 3, 3, 8], [8], [2, 1, 1, 8]];
    const [x, w, bias, perImage] = place(drawInputs({ inputs: shapes }, 1), exact);
    const [pixel, rows] = [w.slice(1, 1), x.reshape([10, 4, 3])];
    const [y, z] = [x.conv2d(w, { padding: 1 }), rows.matmul(pixel)];
    const images = [bias, perImage, y].map((b) => [x.conv2d(w, { padding: 1, bias: b }), y.add(b)]);
    const products = [bias, z.slice([0, 1]), z].map((b) => [rows.matmul(pixel, { bias: b }), z.add(b)]);
    for (const [found, sum] of [...images, ...products]) expect(await distance([found], [sum])).toBeLessThan(1e-14);
    expect(() => x.conv2d(w, { bias: x })).toThrow(ShapeError);
    expect(() => rows.matmul(pixel, { bias: x })).toThrow(ShapeError);
  });

  test("reads row-major operands where they are, in all directions", () => {
    const [x, w, part] = draw([2, 5, 4, 3], [3, 3, 3, 8], [2, 3, 3, 3, 8]);
    const runs = vi.spyOn(backend, "run");
    grad(() => x.conv2d(w).square().sum(), [x, w]);
    x.conv2d(part.slice(1));
    const names = runs.mock.calls.map(([op]) => op.name);
    runs.mockRestore();
    expect(names.filter((name) => name.startsWith("conv"))).toEqual([
      "conv2d",
      "conv2dInput",
      "conv2dWeight",
      "conv2d",
    ]);
    // What is copied is a part that begins where the device cannot bind it; the host reads from anywhere.
    expect(names.filter((name) => name === "copy")).toHaveLength(backend.name.startsWith("cpu") ? 0 : 1);
  });

  test("of a delta is the kernel, turned round", async () => {
    const [w] = draw([3, 3, 1, 1]);
    const [delta] = place(
      drawInputs({ inputs: [{ shape: [1, 3, 3, 1], values: [0, 0, 0, 0, 1, 0, 0, 0, 0] }] }, 1),
      backend,
    );
    const turned = w.flip([0, 1]).reshape([1, 3, 3, 1]);
    expect(await delta.conv2d(w, { padding: 1 }).data()).toEqual(await turned.data());
  });

  test("of single pixels is a product of channels, with the same gradients", async () => {
    const [x, w] = draw([2, 3, 4, 5], [1, 1, 5, 6]);
    const attrs = convAttrs(x.shape, w.shape, {});
    const losses = [() => x.conv2d(w), () => x.apply(conv2d, [x, w], attrs)[0]].map((f) => () => f().square().sum());
    const [product, direct] = losses.map((f) => grad(f, [x, w]));
    for (const [k, g] of product.entries()) expect(await g.data()).toEqual(await direct[k].data());
  });

  test("names both shapes when they do not fit", () => {
    const [x, w, pixel] = draw([2, 4, 4, 3], [3, 3, 4, 8], [1, 1, 4, 8]);
    expect(() => x.conv2d(w)).toThrow(ShapeError);
    expect(() => x.conv2d(w)).toThrow("conv2d: [2, 4, 4, 3] ∗ [3, 3, 4, 8]");
    expect(() => x.conv2d(pixel)).toThrow("conv2d: [2, 4, 4, 3] ∗ [1, 1, 4, 8]");
    expect(() => x.conv2d(w.reshape([9, 4, 8]))).toThrow("conv2d: [2, 4, 4, 3] ∗ [9, 4, 8]");
    expect(() => x.conv2d(w.slice(null, null, [0, 3]), { stride: 0 })).toThrow("stride [0, 0]");
  });
});

// Options of the U-Net that published models use: each against a computation of its own, and refused where it is impossible.
import {
  attentionBlock,
  conv2d,
  fourierEmbedding,
  loadStateDict,
  parameters,
  residualBlock,
  stateDict,
  type UnetConfig,
  unet,
} from "@pkg/nn";
import { jvp, randomStream, type Tensor, tensor, zeros } from "@pkg/tensor";
import { expect, test } from "vitest";
import { away, exact, listed, random, stir } from "./layers/layers.ts";

const init = (seed = 0) => ({ backend: exact, rng: randomStream(seed) });
const CONFIG: UnetConfig = { inChannels: 2, channels: 8, multipliers: [1, 2], blocks: 1, attentionLevels: [1] };

function moved(options: Partial<UnetConfig> = {}) {
  const model = unet({ ...CONFIG, ...options }, init());
  stir(model);
  return model;
}

const x = random([2, 4, 6, 2], 1);

test("a residual block resamples between norm1 and conv1 and in its skip, has its ε, and scales its sum", async () => {
  const told = random([2, 5], 2);
  for (const resample of ["down", "up", undefined] as const) {
    const block = residualBlock(4, 8, {
      ...init(),
      embeddingChannels: 5,
      resample,
      epsilon: 0.5,
      scale: 0.7,
      groups: 2,
    });
    stir(block);
    const input = random([2, 4, 4, 4], 3);
    const resized = (y: Tensor) => (resample === undefined ? y : resample === "down" ? meansOfFour(y) : repeated(y));
    const norm = (y: Tensor, { scale, bias }: { scale: Tensor; bias: Tensor }) =>
      y.groupNorm(scale, bias, { groups: 2, epsilon: 0.5 }).silu();
    const time = block.time.forward(told).reshape([2, 1, 1, 8]);
    const first = resized(norm(input, block.norm1)).conv2d(block.conv1.weight, { padding: 1 }).add(block.conv1.bias);
    const second = norm(first.add(time), block.norm2).conv2d(block.conv2.weight, { padding: 1 }).add(block.conv2.bias);
    const skip = block.skip?.forward(resized(input)) ?? input;
    const y = block.forward(input, told);
    expect(y.shape).toEqual([2, ...{ down: [2, 2], up: [8, 8], none: [4, 4] }[resample ?? "none"], 8]);
    expect(await away(y, [...(await skip.add(second).mul(0.7).data())])).toBeLessThan(1e-12);
  }
});

const meansOfFour = (y: Tensor) => {
  const at = (i: number, j: number) => y.slice(null, [i, y.shape[1], 2], [j, y.shape[2], 2]);
  return at(0, 0).add(at(0, 1)).add(at(1, 0)).add(at(1, 1)).div(4);
};
const repeated = (y: Tensor) => {
  const [batch, height, width, channels] = y.shape;
  return y
    .reshape([batch, height, 1, width, 1, channels])
    .expand([batch, height, 2, width, 2, channels])
    .reshape([batch, 2 * height, 2 * width, channels]);
};

test("an attention block has its ε, and scales its sum", async () => {
  const block = attentionBlock(8, { ...init(), heads: 2, groups: 2, epsilon: 0.5, scale: 0.7 });
  stir(block);
  const input = random([1, 2, 3, 8], 1);
  const n = input.groupNorm(block.norm.scale, block.norm.bias, { groups: 2, epsilon: 0.5 }).reshape([6, 8]);
  const qkv = block.qkv.forward(n);
  const heads = [0, 1].map((head) => {
    const part = (k: number) => qkv.slice(null, [8 * k + 4 * head, 8 * k + 4 * head + 4]);
    return part(0).matmul(part(1).transpose()).div(2).softmax().matmul(part(2));
  });
  const out = heads
    .map((head, k) => head.matmul(block.out.weight.slice([4 * k, 4 * k + 4])))
    .reduce((a, b) => a.add(b));
  const wanted = out
    .add(block.out.bias ?? 0)
    .reshape(input.shape)
    .add(input)
    .mul(0.7);
  expect(await away(block.forward(input), [...(await wanted.data())])).toBeLessThan(1e-12);
});

test("a convolution padded after halves from the first pixel on", async () => {
  const layer = conv2d(1, 1, { ...init(), stride: 2, padding: "after" });
  const image = random([1, 4, 4, 1], 1);
  const pixels = (await listed<number[][][][]>(image))[0].map((row) => row.map(([value]) => value));
  const taps = (await listed<number[][][][]>(layer.weight)).map((row) => row.map(([[tap]]) => tap));
  const bias = await layer.bias.item();
  const at = (r: number, c: number) =>
    taps.flat().reduce((sum, tap, k) => {
      const [y, across] = [2 * r + Math.floor(k / 3), 2 * c + (k % 3)];
      return sum + tap * (pixels[y]?.[across] ?? 0);
    }, bias);
  expect(await away(layer.forward(image), [at(0, 0), at(0, 1), at(1, 0), at(1, 1)])).toBeLessThan(1e-12);
});

test.each(["sinFirst", "cosFirst"] as const)(
  "Fourier features, %s, are sines and cosines of 2π f t, or of ln t",
  async (order) => {
    const f = [0.3, -2, 11];
    const times = [0.01, 0.5, 40];
    const frequencies = tensor(Float64Array.from(f), { backend: exact });
    for (const log of [false, true]) {
      const rows = times.map((time) => {
        const angles = f.map((one) => 2 * Math.PI * one * (log ? Math.log(time) : time));
        const halves = [angles.map(Math.sin), angles.map(Math.cos)];
        return order === "sinFirst" ? halves : halves.reverse();
      });
      expect(await away(fourierEmbedding(times, frequencies, { log, order }), rows)).toBeLessThan(1e-9);
      const asTensor = tensor(Float64Array.from(times), { backend: exact });
      expect(await away(fourierEmbedding(asTensor, frequencies, { log, order }), rows)).toBeLessThan(1e-9);
    }
    expect(() => fourierEmbedding([0.1, 0], frequencies, { log: true })).toThrow(
      "fourierEmbedding: times[1] is 0, want positive numbers for their logarithms",
    );
  },
);

test("a U-Net with Fourier features keeps their frequencies, trains all else, and has a slope in time", async () => {
  const model = unet({ ...CONFIG, fourier: { scale: 0.5, log: true }, timeChannels: 12 }, init());
  expect(stateDict(model).get("frequencies")?.shape).toEqual([6]);
  expect(parameters(model)).not.toContain(model.frequencies);
  expect(parameters(model)).toContain(model.time1.weight);
  stir(model);
  const at = (t: number[]) => tensor(Float64Array.from(t), { backend: exact });
  expect(await away(model.forward(x, [0.3, 2]), [...(await model.forward(x, at([0.3, 2])).data())])).toBe(0);
  const { tangent } = jvp((t) => model.forward(x, t), [at([0.3, 2])], [at([1, 1])]);
  const h = 1e-6;
  const slope = model
    .forward(x, at([0.3 + h, 2 + h]))
    .sub(model.forward(x, at([0.3 - h, 2 - h])))
    .div(2 * h);
  expect(await away(tangent, [...(await slope.data())])).toBeLessThan(1e-6);
});

test("heads of some channels are as many as a level holds", async () => {
  const [model, same, other] = [
    moved({ headChannels: 4, middleAttention: false }),
    moved({ heads: 4, middleAttention: false }),
    moved({ middleAttention: false }),
  ];
  const wanted = [...(await model.forward(x, [1, 2]).data())];
  expect(await away(same.forward(x, [1, 2]), wanted)).toBe(0);
  expect(await away(other.forward(x, [1, 2]), wanted)).toBeGreaterThan(1e-6);
});

test("without attention in the middle the network is one whose attention there adds nothing", async () => {
  const [without, other] = [moved({ middleAttention: false }), moved()];
  expect([...stateDict(without).keys()].filter((name) => name.startsWith("middle.0.attention"))).toEqual([]);
  const state = new Map(stateDict(other));
  for (const [name, value] of stateDict(without)) state.set(name, value);
  for (const name of ["middle.0.attention.out.weight", "middle.0.attention.out.bias"])
    state.set(name, zeros(state.get(name)?.shape ?? [], { backend: exact }));
  loadStateDict(other, state);
  expect(await away(other.forward(x, [1, 2]), [...(await without.forward(x, [1, 2]).data())])).toBe(0);
});

test("a U-Net whose blocks resample holds blocks there, and gives images of the same size", async () => {
  const model = moved({ downsampling: "residual", upsampling: "residual" });
  expect(stateDict(model).get("down.0.resample.conv1.weight")?.shape).toEqual([3, 3, 8, 8]);
  expect(stateDict(model).get("up.0.resample.time.weight")?.shape).toEqual([32, 16]);
  expect(model.forward(x, [1, 2]).shape).toEqual(x.shape);
  expect(moved({ downsamplePadding: 0 }).forward(x, [1, 2]).shape).toEqual(x.shape);
});

test.each<[string, Partial<UnetConfig>]>([
  ["ε of the norms", { epsilon: 0.5 }],
  ["the scale of sums", { residualScale: Math.SQRT1_2 }],
  ["one-sided padding", { downsamplePadding: 0 }],
])("%s reaches every part of the network, and its default keeps the bits", async (_, option) => {
  const wanted = [...(await moved().forward(x, [1, 2]).data())];
  const defaults: Partial<UnetConfig> = { epsilon: 1e-5, residualScale: 1, downsamplePadding: 1, timeChannels: 8 };
  expect(await away(moved(defaults).forward(x, [1, 2]), wanted)).toBe(0);
  expect(await away(moved(option).forward(x, [1, 2]), wanted)).toBeGreaterThan(1e-3);
});

test("what is impossible is refused by name", () => {
  const make = (options: object) => () => unet({ ...CONFIG, ...options }, init());
  expect(make({ headChannels: 5 })).toThrow("unet: headChannels is 5, want a divisor of the 16 channels of level 1");
  expect(make({ headChannels: 4, heads: 2 })).toThrow("unet: heads 2 and headChannels 4, want one of them");
  expect(make({ epsilon: 0 })).toThrow("unet: epsilon is 0, want a positive number");
  expect(make({ residualScale: Number.NaN })).toThrow("unet: residualScale is NaN, want a positive number");
  expect(make({ downsampling: "pool" })).toThrow("unet: downsampling is pool, want conv or residual");
  expect(make({ upsampling: "nearest" })).toThrow("unet: upsampling is nearest, want conv or residual");
  expect(make({ downsamplePadding: 2 })).toThrow("unet: downsamplePadding is 2, want 0 or 1");
  expect(make({ downsamplePadding: 0, downsampling: "residual" })).toThrow(
    "unet: downsamplePadding with downsampling residual, want it with conv alone",
  );
  expect(make({ timeChannels: 7 })).toThrow("unet: timeChannels is 7, want an even number");
  expect(make({ fourier: { scale: -1 } })).toThrow("unet: fourier: scale is -1, want a positive number");
  for (const [field, value] of [
    ["fourier", true],
    ["timeEmbedding", 3],
    ["numbers", []],
    ["dropout", "0.1"],
  ] as const)
    expect(make({ [field]: value })).toThrow(`unet: ${field} is `);
  expect(make({ numbers: { r: null } })).toThrow("unet: numbers.r is null, want an object of options");
  expect(make({ multipliers: undefined })).toThrow("unet: multipliers is undefined, want a list of numbers");
  expect(make({ attentionLevels: 1 })).toThrow("unet: attentionLevels is 1, want a list of numbers");
  expect(make({ fourier: {}, timeEmbedding: {} })).toThrow("unet: fourier and timeEmbedding, want one of them");
  const odd = random([2, 5, 6, 2], 1);
  for (const option of [{ upsampling: "residual" }, { downsampling: "residual" }, { downsamplePadding: 0 }] as const)
    expect(() => unet({ ...CONFIG, ...option }, init()).forward(odd, [1, 2])).toThrow(
      "unet: x of 5 × 6 with 2 levels, want multiples of 2",
    );
});

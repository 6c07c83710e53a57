// The diffusion transformer: what it computes, written out in plain lists; what it is told; derivatives by time; what it refuses.
import { adamW, type Dit, type DitConfig, dit, parameters, type SwiGlu, sinusoidalEmbedding, stateDict } from "@pkg/nn";
import { type Backend, capture, grad, jvp, randomStream, type Tensor, tensor, tidy, zeros } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";
import { affine, away, exact, listed, random, stir } from "./layers/layers.ts";
import { writtenAttention } from "./layers/writtenAttention.ts";

const CONFIG: DitConfig = { inChannels: 2, patch: 2, channels: 8, depth: 2, heads: 2, classes: 3, timeChannels: 6 };
const init = (backend: Backend = exact) => ({ backend, rng: randomStream(0) });

/** A model whose zero maps have moved. */
function moved(config: DitConfig, backend: Backend = exact): Dit {
  const model = dit(config, init(backend));
  stir(model);
  return model;
}

const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const each = (rows: number[][], f: (x: number) => number) => rows.map((row) => row.map(f));

/** A norm without weights, then x (1 + scale) + shift. */
function adapted(rows: number[][], shift: number[], scale: number[]): number[][] {
  return rows.map((row) => {
    const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
    const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
    return row.map((x, k) => ((x - mean) / Math.sqrt(variance + 1e-6)) * (1 + scale[k]) + shift[k]);
  });
}

/** The network on one image in plain lists. */
async function written(model: Dit, config: DitConfig, image: number[][][], time: number, label: number | null) {
  const { patch, channels, heads, positions = "sinCos" } = config;
  const [rows, columns] = [image.length / patch, image[0].length / patch];
  const sines = await listed(sinusoidalEmbedding([time], config.timeChannels ?? 256, { backend: exact }));
  const timed = await affine(each(await affine(sines, model.time1), silu), model.time2);
  const classes = await listed(model.classes?.weight ?? zeros([1, channels], { backend: exact }));
  const told = [timed[0].map((x, k) => silu(x + classes[label ?? classes.length - 1][k]))];
  const parts = async (map: Dit["modulation"], count: number) => {
    const [all] = await affine(told, map);
    return Array.from({ length: count }, (_, k) => all.slice(k * channels, (k + 1) * channels));
  };
  const place = (n: number) => [n % columns, Math.floor(n / columns)];
  const quarter = channels / 4;
  const patches = Array.from({ length: rows * columns }, (_, n) => {
    const [c, r] = place(n);
    return image.slice(r * patch, (r + 1) * patch).flatMap((line) => line.slice(c * patch, (c + 1) * patch).flat());
  });
  let tokens = (await affine(patches, model.input)).map((row, n) =>
    row.map((x, k) => {
      if (positions === "rotary") return x;
      const angle = place(n)[Math.floor(k / (2 * quarter))] * 10_000 ** (-(k % quarter) / quarter);
      return x + (k % (2 * quarter) < quarter ? Math.sin(angle) : Math.cos(angle));
    }),
  );
  for (const block of model.blocks) {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = await parts(block.modulation, 6);
    const input = tensor([adapted(tokens, shift1, scale1)], { backend: exact });
    const [mixed] =
      positions === "rotary"
        ? ((await block.attention.forward(input, { rotary: { grid: [rows, columns] } }).array()) as number[][][])
        : await writtenAttention(block.attention, heads, input, input);
    tokens = tokens.map((row, n) => row.map((x, k) => x + gate1[k] * mixed[n][k]));
    const normed = adapted(tokens, shift2, scale2);
    const fed =
      "first" in block.feedForward
        ? await affine(each(await affine(normed, block.feedForward.first), gelu), block.feedForward.second)
        : await gated(block.feedForward, normed);
    tokens = tokens.map((row, n) => row.map((x, k) => x + gate2[k] * fed[n][k]));
  }
  const [shift, scale] = await parts(model.modulation, 2);
  const out = await affine(adapted(tokens, shift, scale), model.output);
  const depth = out[0].length / patch ** 2;
  return image.map((line, y) =>
    line.map((_, x) => {
      const at = ((y % patch) * patch + (x % patch)) * depth;
      return out[Math.floor(y / patch) * columns + Math.floor(x / patch)].slice(at, at + depth);
    }),
  );
}

async function gated({ gate, up, down }: SwiGlu, rows: number[][]) {
  const [open, value] = [await affine(rows, gate), await affine(rows, up)];
  return affine(
    open.map((row, n) => row.map((x, k) => silu(x) * value[n][k])),
    down,
  );
}

describe("the diffusion transformer", () => {
  test.each<Partial<DitConfig>>([
    {},
    { outChannels: 4, classes: undefined },
    { positions: "rotary", qkNorm: true, feedForward: "swiGlu" },
  ])("with %o computes what the paper's formulas do", async (options) => {
    const config = { ...CONFIG, ...options };
    const model = moved(config);
    const x = random([2, 4, 6, 2], 1);
    const images = await listed<number[][][][]>(x);
    const labels = config.classes === undefined ? undefined : [1, null];
    const y = model.forward(x, [3, 700], { labels });
    expect(y.shape).toEqual([2, 4, 6, config.outChannels ?? 2]);
    const wanted = [
      await written(model, config, images[0], 3, config.classes === undefined ? 0 : 1),
      await written(model, config, images[1], 700, null),
    ];
    expect(await away(y, wanted)).toBeLessThan(1e-10);
  });

  test("starts at zero, and each block as the identity", async () => {
    const model = dit(CONFIG, init());
    const x = random([1, 4, 4, 2], 1);
    expect(await model.forward(x, [3]).abs().max().item()).toBe(0);
    for (const { modulation } of [...model.blocks, model])
      for (const value of stateDict(modulation).values()) expect(await value.abs().max().item()).toBe(0);
  });

  test("holds its state under these names", () => {
    const names = [...stateDict(dit({ ...CONFIG, depth: 1, numbers: { r: {} } }, init())).keys()];
    const linears = (...paths: string[]) => paths.flatMap((path) => [`${path}.weight`, `${path}.bias`]);
    expect(names).toEqual([
      ...linears("time1", "time2", "numbers.r.first", "numbers.r.second"),
      "classes.weight",
      ...linears("input"),
      ...linears(...["q", "k", "v", "out"].map((map) => `blocks.0.attention.${map}`)),
      ...linears("blocks.0.feedForward.first", "blocks.0.feedForward.second", "blocks.0.modulation"),
      ...linears("modulation", "output"),
    ]);
  });

  test("every parameter gets a gradient once the zero maps have moved", async () => {
    const model = moved({ ...CONFIG, qkNorm: true });
    const x = random([2, 4, 4, 2], 1);
    const loss = () =>
      model
        .forward(x, [3, 700], { labels: [0, null] })
        .square()
        .mean();
    const names = [...stateDict(model).keys()];
    const still = [];
    for (const [k, g] of grad(loss, parameters(model)).entries())
      if ((await g.abs().max().item()) === 0) still.push(names[k]);
    // A bias of all keys adds the same to every score of a query.
    expect(still.filter((name) => !name.endsWith("attention.k.bias"))).toEqual([]);
  });

  test("dropout needs a stream, and draws from it", async () => {
    const model = moved({ ...CONFIG, dropout: 0.5 });
    const x = random([1, 4, 4, 2], 1);
    const whole = [...(await model.forward(x, [3]).data())];
    expect(await away(model.forward(x, [3]), whole)).toBe(0);
    const dropped = [...(await model.forward(x, [3], { rng: randomStream(1) }).data())];
    expect(await away(model.forward(x, [3], { rng: randomStream(1) }), dropped)).toBe(0);
    expect(await away(model.forward(x, [3]), dropped)).toBeGreaterThan(0.01);
  });

  test.each(openers)("on $name derivatives through time and r are those of float64", async ({ open, skip }) => {
    if (skip) return;
    const config: DitConfig = { ...CONFIG, numbers: { r: {} }, timeEmbedding: { scale: 1 } };
    const along = (backend: Backend) => {
      const model = moved(config, backend);
      const [x, t, r] = [random([2, 4, 4, 2], 1, backend), random([2], 2, backend), random([2], 3, backend)];
      const f = (...at: Tensor[]) => model.forward(x, at[0], { numbers: { r: at[1] } });
      return jvp(f, [t, r], [random([2], 4, backend), random([2], 5, backend)]).tangent;
    };
    const wanted = [...(await along(exact).data())];
    expect(Math.max(...wanted.map(Math.abs))).toBeGreaterThan(0.01);
    expect(await away(along(await open()), wanted)).toBeLessThan(1e-4);
  });

  test("a derivative through time is what differences say", async () => {
    const model = moved(CONFIG);
    const x = random([1, 4, 4, 2], 1);
    const at = (t: number) => model.forward(x, tensor(Float64Array.of(t), { backend: exact }));
    const { tangent } = jvp(
      (t) => model.forward(x, t),
      [tensor(Float64Array.of(0.3), { backend: exact })],
      [tensor(Float64Array.of(1), { backend: exact })],
    );
    const h = 1e-5;
    expect(
      await away(tangent, [
        ...(await at(0.3 + h)
          .sub(at(0.3 - h))
          .div(2 * h)
          .data()),
      ]),
    ).toBeLessThan(1e-8);
  });

  test.each(openers)("on $name a captured training step is a plain one, bit for bit", async ({ open, skip }) => {
    if (skip) return;
    const trained = async (how: "captured" | "plain") => {
      const backend = await open();
      const model = moved(CONFIG, backend);
      const optimizer = adamW(model, { lr: 1e-2 });
      const rng = randomStream(5);
      const step = () => {
        const x = rng.normal([2, 4, 4, 2], { backend });
        return optimizer.minimize(() =>
          model
            .forward(x, [1, 5], { labels: [0, null] })
            .sub(x)
            .square()
            .mean(),
        );
      };
      const run = how === "captured" ? capture(step) : step;
      const losses = [];
      for (let k = 0; k < 4; k++) losses.push(await tidy(run).item());
      return losses;
    };
    const losses = await trained("captured");
    expect(losses).toEqual(await trained("plain"));
    expect(losses[3]).not.toBe(losses[0]);
  });

  test("refuses what does not fit, naming it", () => {
    const make = (options: object) => () => dit({ ...CONFIG, ...options }, init());
    expect(make({ heads: 3 })).toThrow("dit: 3 heads of 8 channels, want a divisor");
    expect(make({ channels: 6 })).toThrow("dit: sinCos positions of 6 channels, want a multiple of 4");
    expect(make({ positions: "rotary", heads: 4 })).toThrow(
      "dit: rotary positions of 2 channels per head, want a multiple of 4",
    );
    expect(make({ positions: "learned" })).toThrow("dit: positions is learned, want sinCos or rotary");
    expect(make({ feedForward: "relu" })).toThrow("dit: feedForward is relu, want gelu or swiGlu");
    expect(make({ patch: 0 })).toThrow("dit: patch is 0, want a positive integer");
    expect(make({ depth: 1.5 })).toThrow("dit: depth is 1.5, want a positive integer");
    expect(make({ timeChannels: 5 })).toThrow("dit: timeChannels is 5, want an even number");
    for (const [field, value] of [
      ["fourier", true],
      ["timeEmbedding", 3],
      ["numbers", []],
      ["dropout", "0.1"],
    ] as const)
      expect(make({ [field]: value })).toThrow(`dit: ${field} is `);
    expect(make({ numbers: { r: null } })).toThrow("dit: numbers.r is null, want an object of options");
    expect(make({ dropout: 1 })).toThrow("dit: dropout is 1, want a rate in [0, 1)");
    const model = dit(CONFIG, init());
    const x = (...shape: number[]) => zeros(shape, { backend: exact });
    expect(() => model.forward(x(1, 4, 5, 2), [0])).toThrow(
      "dit: patches of 2 in images of 4 × 5, want a divisor of height and width",
    );
    expect(() => model.forward(x(1, 4, 4, 3), [0])).toThrow(
      "dit: x has shape [1, 4, 4, 3], want [batch, height, width, 2]",
    );
    expect(() => model.forward(x(1, 4, 4, 2), [0, 1])).toThrow("dit: 2 times for a batch of 1, want one per sample");
    expect(() => model.forward(x(1, 4, 4, 2), [0], { labels: [3] })).toThrow(
      "dit: label 3, want null or an integer in [0, 2]",
    );
  });
});

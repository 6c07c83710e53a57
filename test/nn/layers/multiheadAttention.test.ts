// Multi-head attention against its formula, written out head by head, with masks of every kind.
import { multiheadAttention, rotary, stateDict } from "@pkg/nn";
import { cpu, randomStream, tensor, zeros } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { away, exact, expectSlopes, listed, random, stir } from "./layers.ts";
import { type Sees, type Written, writtenAttention } from "./writtenAttention.ts";

const init = (seed = 0) => ({ backend: exact, rng: randomStream(seed) });
const [BATCH, QUERIES, KEYS, CHANNELS, HEADS] = [2, 4, 5, 6, 2];

const bools = (shape: readonly number[], of: (i: number) => boolean) =>
  tensor(
    Uint32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Number(of(i))),
    { backend: exact, shape, dtype: "bool" },
  );

describe("of tokens to each other", () => {
  const x = random([BATCH, QUERIES, CHANNELS], 1);

  test.each([{}, { bias: false }, { qkNorm: true }])("with %o is the formula, and has slopes", async (options) => {
    const layer = multiheadAttention(CHANNELS, { ...init(), heads: HEADS, ...options });
    const biases = options.bias === false ? [] : ["bias"];
    const linears = (name: string) => ["weight", ...biases].map((part) => `${name}.${part}`);
    const norms = options.qkNorm ? ["qNorm.scale", "kNorm.scale"] : [];
    expect([...stateDict(layer).keys()]).toEqual([...["q", "k", "v"].flatMap(linears), ...norms, ...linears("out")]);
    stir(layer);
    expect(await away(layer.forward(x), await writtenAttention(layer, HEADS, x, x))).toBeLessThan(1e-12);
    await expectSlopes((at) => layer.forward(at), [x]);
  });

  test("a causal one sees no key behind the query", async () => {
    const layer = multiheadAttention(CHANNELS, { ...init(), heads: HEADS });
    const sees: Sees = (_, __, i, j) => j <= i;
    expect(
      await away(layer.forward(x, { causal: true }), await writtenAttention(layer, HEADS, x, x, { sees })),
    ).toBeLessThan(1e-12);
    await expectSlopes((at) => layer.forward(at, { causal: true }), [x]);
  });

  test("rotary positions turn queries and keys", async () => {
    const layer = multiheadAttention(4, { ...init(), heads: 1 });
    const tokens = random([1, 3, 4], 2);
    const byHand = layer.out.forward(
      rotary(layer.q.forward(tokens)).attention(rotary(layer.k.forward(tokens)), layer.v.forward(tokens)),
    );
    expect(await away(layer.forward(tokens, { rotary: {} }), await byHand.array())).toBeLessThan(1e-12);
  });
});

describe("of tokens to a context", () => {
  const [x, context] = [random([BATCH, QUERIES, CHANNELS], 1), random([BATCH, KEYS, 3], 2)];
  const layer = multiheadAttention(CHANNELS, { ...init(), heads: HEADS, contextChannels: 3 });
  stir(layer);
  const by = (call: object, how: Written) => async () => {
    const y = layer.forward(x, { context, ...call });
    expect(await away(y, await writtenAttention(layer, HEADS, x, context, how))).toBeLessThan(1e-12);
    await expectSlopes((a, b) => layer.forward(a, { ...call, context: b }), [x, context]);
  };
  const odd = (i: number) => i % 3 !== 1;
  const padding = (i: number) => i % KEYS < (i < KEYS ? 3 : 4);
  const added = random([BATCH, HEADS, QUERIES, KEYS], 3);

  test("is the formula, and has slopes in both", by({}, {}));

  test(
    "a bool mask is true where a query sees a key",
    by({ mask: bools([QUERIES, KEYS], odd) }, { sees: (_, __, i, j) => odd(i * KEYS + j) }),
  );

  test(
    "a mask of keys hides padding",
    by({ keyMask: bools([BATCH, KEYS], padding) }, { sees: (b, _, __, j) => padding(b * KEYS + j) }),
  );

  test("a float mask is added to the scores, head by head, and has slopes", async () => {
    const values = await listed<number[][][][]>(added);
    const how: Written = { added: (b, h, i, j) => values[b][h][i][j] };
    expect(
      await away(layer.forward(x, { context, mask: added }), await writtenAttention(layer, HEADS, x, context, how)),
    ).toBeLessThan(1e-12);
    await expectSlopes((mask) => layer.forward(x, { context, mask }), [added]);
  });

  test("masks of all kinds together hide what any of them hides", async () => {
    const values = await listed<number[][][][]>(added);
    const call = { context, mask: added, keyMask: bools([BATCH, KEYS], padding), causal: true };
    const how: Written = {
      sees: (b, _, i, j) => j <= i && padding(b * KEYS + j),
      added: (b, h, i, j) => values[b][h][i][j],
    };
    expect(await away(layer.forward(x, call), await writtenAttention(layer, HEADS, x, context, how))).toBeLessThan(
      1e-12,
    );
    await expectSlopes((at) => layer.forward(at, call), [x]);
  });

  test("masks that do not fit are refused", () => {
    const of = (call: object) => () => layer.forward(x, { context, ...call });
    expect(of({ mask: bools([3, 5], odd) })).toThrow(
      /^multiheadAttention: mask is .*, want bool or float32 that broadcasts to \[2, 2, 4, 5\]$/,
    );
    expect(of({ keyMask: random([2, 5], 1) })).toThrow(
      /^multiheadAttention: keyMask is .*, want bool that broadcasts to \[2, 5\]$/,
    );
    expect(of({ context: random([2, 5, 4], 1) })).toThrow(
      /^multiheadAttention: context is .*, want \[batch, tokens, 3\]$/,
    );
    expect(of({ context: random([3, 5, 3], 1) })).toThrow(
      /^multiheadAttention: context is .*, want \[2 or 1, tokens, 3\]$/,
    );
    const elsewhere = { backend: cpu() };
    for (const [what, call] of Object.entries({
      context: { context: zeros([2, 5, 3], elsewhere) },
      mask: { mask: zeros([1, 1], elsewhere) },
      keyMask: { keyMask: zeros([2, 1], { ...elsewhere, dtype: "bool" }) },
    }))
      expect(of(call)).toThrow(
        new RegExp(`^multiheadAttention: ${what} is Tensor.*, want a tensor on x's backend, ${exact.name}$`),
      );
    expect(() => multiheadAttention(6, { ...init(), heads: 4 })).toThrow(
      "multiheadAttention: 4 heads of 6 channels, want a divisor",
    );
  });
});

test.each(openers)("on $name it is what it is in float64, masked and not", async ({ open, skip }) => {
  if (skip) return;
  const backend = await open();
  const make = (on: typeof backend) =>
    multiheadAttention(16, { backend: on, rng: randomStream(5), heads: 2, qkNorm: true });
  const [here, there] = [make(backend), make(exact)];
  for (const call of [{}, { causal: true }, { rotary: {} }]) {
    const wanted = await there.forward(random([2, 9, 16], 1), call).data();
    expect(await away(here.forward(random([2, 9, 16], 1, backend), call), [...wanted])).toBeLessThan(1e-5);
  }
});

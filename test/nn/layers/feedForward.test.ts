// The feed-forward layers of transformers, plain and gated, against their formulas.
import { type Activation, feedForward, stateDict, swiGlu } from "@pkg/nn";
import { randomStream } from "@pkg/tensor";
import { expect, test } from "vitest";
import { affine, away, exact, expectSlopes, listed, random, stir } from "./layers.ts";

const init = () => ({ backend: exact, rng: randomStream(0) });
const logistic = (x: number) => 1 / (1 + Math.exp(-x));

/** Φ(x) by the trapezoid rule from −9 on: no function of the library. */
function normalDistribution(x: number): number {
  const n = 40_000;
  const h = (x + 9) / n;
  let sum = 0;
  for (let k = 0; k <= n; k++) sum += Math.exp(-((-9 + k * h) ** 2) / 2) * (k === 0 || k === n ? 0.5 : 1);
  return (sum * h) / Math.sqrt(2 * Math.PI);
}

const FORMULAS: Record<Activation, (x: number) => number> = {
  gelu: (x) => x * normalDistribution(x),
  geluTanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x * logistic(x),
  relu: (x) => Math.max(x, 0),
};

test.each(Object.entries(FORMULAS))("feedForward is W₂ f(W₁ x + b₁) + b₂ with f = %s", async (activation, f) => {
  const layer = feedForward(3, { ...init(), hidden: 5, activation: activation as Activation });
  const x = random([4, 3], 1);
  const hidden = (await affine(await listed(x), layer.first)).map((row) => row.map(f));
  const wanted = await affine(hidden, layer.second);
  expect(await away(layer.forward(x), wanted)).toBeLessThan(1e-9);
  if (activation !== "relu") await expectSlopes((at) => layer.forward(at), [x]);
});

test.each([false, true])("swiGlu, bias %s, is W_down (silu(W_gate x) ∘ W_up x)", async (bias) => {
  const layer = swiGlu(3, { ...init(), hidden: 5, bias });
  const maps = ["gate", "up", "down"] as const;
  expect([...stateDict(layer).keys()]).toEqual(
    maps.flatMap((name) => [`${name}.weight`, ...(bias ? [`${name}.bias`] : [])]),
  );
  stir(layer);
  const x = random([4, 3], 1);
  const [gate, up] = [await affine(await listed(x), layer.gate), await affine(await listed(x), layer.up)];
  const hidden = gate.map((row, i) => row.map((v, k) => v * logistic(v) * up[i][k]));
  expect(await away(layer.forward(x), await affine(hidden, layer.down))).toBeLessThan(1e-12);
  await expectSlopes((at) => layer.forward(at), [x]);
});

test("hidden channels are four times as many, of swiGlu as many weights", () => {
  expect(feedForward(12, init()).first.weight.shape).toEqual([12, 48]);
  expect(swiGlu(12, init()).gate.weight.shape).toEqual([12, 32]);
});

test("another activation, and counts that are none, are refused", () => {
  const other = { ...init(), activation: "selu" as Activation };
  expect(() => feedForward(4, other)).toThrow("feedForward: activation is selu, want gelu, geluTanh, silu, relu");
  expect(() => swiGlu(4, { ...init(), hidden: 0 })).toThrow("swiGlu: hidden is 0, want a positive integer");
});

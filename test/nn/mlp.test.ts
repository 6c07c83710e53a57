// The multilayer perceptron: what it computes, what it knows besides x, and what it refuses.
import { type MlpConfig, mlp, parameterCount, sinusoidalEmbedding, stateDict } from "@pkg/nn";
import { concat, cpu, grad, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const init = (seed = 0) => ({ backend, rng: randomStream(seed) });

const apart = async (a: Tensor, b: Tensor) => {
  expect(a.shape).toEqual(b.shape);
  return a.sub(b).abs().max().item();
};

test.each(["silu", "softplus", "tanh"] as const)(
  "is W₃ f(W₂ f(W₁ x + b₁) + b₂) + b₃ with f = %s",
  async (activation) => {
    const model = mlp({ sizes: [2, 5, 4, 3], activation }, init());
    const x = randomStream(1).normal([6, 2], { backend });
    const layer = (input: Tensor, k: number) => model.layers[k].forward(input);
    const byHand = layer(layer(layer(x, 0)[activation](), 1)[activation](), 2);
    expect(await apart(model.forward(x), byHand)).toBe(0);
    expect(parameterCount(model)).toBe(2 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3);
    // A network without timeChannels does not see times.
    expect(await apart(model.forward(x, [0, 1, 2, 3, 4, 5]), byHand)).toBe(0);
  },
);

test("time and class stand beside x, and no class is a class of its own", async () => {
  const config: MlpConfig = { sizes: [2, 8, 2], timeChannels: 6, classes: 3, classChannels: 4 };
  const model = mlp(config, init());
  expect([...stateDict(model)].map(([path, { shape }]) => [path, shape])).toEqual([
    ["classes.weight", [4, 4]],
    ["layers.0.weight", [12, 8]],
    ["layers.0.bias", [8]],
    ["layers.1.weight", [8, 2]],
    ["layers.1.bias", [2]],
  ]);
  const x = randomStream(1).normal([2, 2], { backend });
  const times = [0, 500];
  const rows = tensor(Int32Array.of(1, 3), { backend });
  const classes = stateDict(model).get("classes.weight") ?? x;
  const input = concat([x, sinusoidalEmbedding(times, 6, { backend }), classes.gather(rows)], 1);
  const byHand = model.layers[1].forward(model.layers[0].forward(input).silu());
  expect(await apart(model.forward(x, times, { labels: [1, null] }), byHand)).toBe(0);
  expect(await apart(model.forward(x, times), model.forward(x, times, { labels: [null, null] }))).toBe(0);
});

test("every parameter has a gradient", async () => {
  const model = mlp({ sizes: [2, 4, 1], timeChannels: 2, classes: 2 }, init());
  const x = randomStream(1).normal([3, 2], { backend });
  const state = [...stateDict(model)];
  const grads = grad(
    () =>
      model
        .forward(x, [1, 2, 3], { labels: [0, 1, null] })
        .square()
        .sum(),
    state.map(([, value]) => value),
  );
  for (const [k, [path]] of state.entries()) expect(await grads[k].abs().max().item(), path).toBeGreaterThan(0);
});

test("what does not fit is refused", () => {
  const make = (config: MlpConfig) => () => mlp(config, init());
  expect(make({ sizes: [2] })).toThrow("mlp: sizes is [2], want two or more positive integers");
  expect(make({ sizes: [2, 0, 2] })).toThrow("mlp: sizes is [2, 0, 2], want two or more positive integers");
  expect(make({ sizes: [2, 2], timeChannels: 3 })).toThrow("mlp: timeChannels is 3, want an even number");
  expect(make({ sizes: [2, 2], classes: 0 })).toThrow("mlp: classes is 0, want a positive integer");
  const x = randomStream(1).normal([3, 2], { backend });
  const timed = mlp({ sizes: [2, 2], timeChannels: 2 }, init());
  expect(() => timed.forward(x)).toThrow("mlp: no times for a batch of 3, want one per sample");
  expect(() => timed.forward(x, [1])).toThrow("mlp: 1 times for a batch of 3, want one per sample");
  expect(() => timed.forward(x, [1, Number.NaN, 2])).toThrow("mlp: times[1] is NaN, want finite numbers");
  expect(() => timed.forward(x.slice(null, [0, 1]), [1, 2, 3])).toThrow("mlp: x has shape [3, 1], want [batch, 2]");
  expect(() => timed.forward(x, [1, 2, 3], { labels: [0, 0, 0] })).toThrow(
    "mlp: labels given to a model without classes",
  );
  const labelled = mlp({ sizes: [2, 2], classes: 2 }, init());
  expect(() => labelled.forward(x, [], { labels: [0] })).toThrow("mlp: 1 labels for a batch of 3, want one per sample");
  expect(() => labelled.forward(x, [], { labels: [0, 1, 2] })).toThrow(
    "mlp: label 2, want null or an integer in [0, 1]",
  );
  const missing = { labels: [0, 1, undefined as never] };
  expect(() => labelled.forward(x, [], missing)).toThrow("mlp: label undefined, want null or an integer in [0, 1]");
});

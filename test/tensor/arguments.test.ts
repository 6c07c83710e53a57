// Arguments of the wrong kind after the first: none gives an error from the depths, and none is passed by without a word.
import * as nn from "@pkg/nn";
import * as engine from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const { cpu, randomStream, tensor } = engine;
const backend = cpu();
const make = (values: engine.TensorValues, dtype?: engine.DType) => tensor(values, { backend, dtype });
const rng = randomStream(0);
const x = make([1, 2]);
const grid = make([[1]]);
const image = make([[[[1]]]]);

const wrong: Readonly<Record<string, unknown>> = {
  null: null,
  "a text": "x",
  true: true,
  "an empty object": {},
  "a function": () => 1,
  "a promise": Promise.resolve(1),
  "a tensor": x,
  "a backend": backend,
  "a list of texts": ["x"],
  "a typed array": new Float32Array(2),
};

type Call = readonly [name: string, f: (...all: never[]) => unknown, args: readonly unknown[]];

/** A method on a tensor and right arguments for it. */
const on = (self: object, name: string, ...args: unknown[]): Call => [
  `.${name}`,
  (...given) => (Reflect.get(self, name) as (...all: unknown[]) => unknown).apply(self, given),
  args,
];

/** Calls whose every argument is tried; the right ones are accepted. */
const calls: readonly Call[] = [
  on(x, "reshape", [2, 1]),
  on(x, "flatten", 0, 0),
  on(x, "permute", [0]),
  on(x, "transpose", 0, 0),
  on(x, "expand", [3, 2]),
  on(x, "unsqueeze", 0),
  on(x, "pad", [[1, 1]]),
  on(x, "split", 1, 0),
  on(x, "cast", "int32"),
  on(x, "affine", 1, 1),
  on(x, "lerp", x, 0.5),
  on(x, "clamp", 0, 1),
  on(x, "argmax", 0),
  on(x, "cumsum", 0),
  on(x, "softmax", 0),
  on(x, "scatterAdd", make([0, 1], "int32"), 2),
  on(image, "upsampleNearest", 2),
  ["crossEntropy", engine.crossEntropy, [grid, [0], {}]],
  ["dropout", engine.dropout, [x, 0.5, rng]],
  ["addNoise", engine.addNoise, [x, x, x, rng]],
  ["arange", engine.arange, [0, 3, { backend }]],
  ["full", engine.full, [[2], 1, { backend }]],
  [
    "emaStep",
    (...all) => engine.emaStep(...(all as unknown as Parameters<typeof engine.emaStep>)),
    [make([1]), x.slice([0, 1]), { weight: 0.5 }],
  ],
  ["onFailure", engine.onFailure, [() => undefined]],
  ["torchCudaStream", engine.torchCudaStream, [0, { multiprocessors: 108 }]],
  ["integers", rng.integers.bind(rng), [0, 2, [2], { backend }]],
  ["fanInUniform", nn.fanInUniform, [[2], 2, { rng, backend }]],
  ["ema", nn.ema, [{ w: x }, 0.9]],
];

const isDeep = (error: unknown) => ["TypeError", "RangeError", "ReferenceError"].includes((error as Error)?.name);

describe.each(calls)("%s", (name, f, args) => {
  test("takes what is right", () => {
    f(...(args as never[]));
  });

  test.each(args.map((_, k) => k))("argument %i", (k) => {
    for (const [what, value] of Object.entries(wrong)) {
      try {
        f(...(args.with(k, value) as never[]));
      } catch (error) {
        if (isDeep(error)) expect.fail(`${name} of ${what}: ${(error as Error).stack}`);
        expect(String(error)).toMatch(/, want |\(sum it\)/);
      }
    }
  });
});

/** Calls whose last argument is options: in their place nothing but an object of fields is taken. */
const withOptions: readonly Call[] = [
  ...["sum", "mean", "max", "min", "variance", "std", "norm", "logSumExp", "sort"].map((name) => on(x, name, 0, {})),
  on(x, "quantile", 0.5, 0, {}),
  on(x, "gelu", {}),
  on(grid, "matmul", grid, {}),
  on(grid, "attention", grid, grid, {}),
  on(grid, "layerNorm", make([1]), make([1]), {}),
  on(grid, "groupNorm", make([1]), make([1]), { groups: 1 }),
  on(image, "conv2d", image, {}),
  on(image, "maxPool", 1, {}),
  on(image, "averagePool", 1, {}),
  ["crossEntropy", engine.crossEntropy, [grid, [0], {}]],
  ["tensor", engine.tensor, [[1, 2], { backend }]],
  ["zeros", engine.zeros, [[2], { backend }]],
  ["normal", rng.normal.bind(rng), [[2], { backend }]],
  ["uniform", rng.uniform.bind(rng), [[2], { backend }]],
  ["bernoulli", rng.bernoulli.bind(rng), [0.5, [2], { backend }]],
  ["zeroInit", nn.zeroInit, [[2], { backend }]],
  ["groupNorm", nn.groupNorm, [4, { backend }]],
  ["sinusoidalEmbedding", nn.sinusoidalEmbedding, [[1], 2, { backend }]],
];

test.each(withOptions)("%s refuses what would be passed by in the place of its options", (_, f, args) => {
  f(...(args as never[]));
  for (const value of ["x", true, 3, () => 1, Promise.resolve({}), x, backend, [], new Float32Array(1)]) {
    expect(() => f(...(args.with(-1, value) as never[]))).toThrow(/: options is .*, want an object such as \{ /);
  }
});

test("what was meant is told", () => {
  const loose = x as unknown as Record<string, (...all: unknown[]) => unknown>;
  expect(() => loose.reshape(2, 1)).toThrow("reshape: shape is 2, want a list of integers, such as [2, 3]");
  expect(() => loose.sum(0, true)).toThrow("sum: options is true, want an object such as { keepAxes: true }");
  expect(() => loose.max(x)).toThrow("max: axes is Tensor(float32 [2] on cpu: float32), want an integer, or a list");
  expect(() => loose.cast("float16")).toThrow('cast: dtype is "float16", want float32, int32, uint32 or bool');
  expect(() => tensor([1], backend as never)).toThrow(
    "tensor: options is the backend cpu: float32, want an object such as { backend, dtype",
  );
  expect(() => tensor([1], { backend, dtype: "float64" as never })).toThrow('tensor: dtype is "float64", want float32');
  expect(() => loose.lerp(x)).toThrow("lerp: weight is undefined, want a number");
  expect(() => engine.full([2], undefined as never, { backend })).toThrow("full: value is undefined, want a number");
  expect(() => engine.grad((() => 1) as never, [x])).toThrow("grad: the function's result is 1, want a tensor");
  expect(() => engine.vjp((() => [x]) as never, [x])).toThrow(
    "vjp: the function's result is a list of 1, want a tensor",
  );
  expect(() => x.scatterAdd(make([0, 1], "int32"), 1.5)).toThrow("scatterAdd: rows 1.5, want an integer");
  expect(() => image.maxPool([1] as never)).toThrow("maxPool: window is a list of 1, want a number, or [down, across]");
});

// NaN and infinities: the table of rules in docs/numerics.md, row by row, and every op against the reference, on every backend.
import { readFileSync } from "node:fs";
import {
  type Backend,
  concat,
  cpu,
  crossEntropy,
  grad,
  type Shape,
  type Tensor,
  tensor,
  wasm,
  webgpu,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { allOps, exact } from "./checkCase.ts";
import { type AnyOp, drawInputs, generator, place, runOp } from "./derived.ts";

const [NAN, INF] = [Number.NaN, Number.POSITIVE_INFINITY];
const LARGEST = 3.4028234663852886e38;

/** Tensors of given numbers on the backend that is tested. */
type Make = (values: readonly number[], shape?: Shape) => Tensor;

/** What one row of the table promises, as numbers. */
interface Rule {
  /** The ops' names, as the table has them. */
  readonly ops: readonly string[];
  readonly what: string;
  readonly f: (make: Make) => Tensor;
  readonly want: readonly number[];
}

/** x, y, xʸ: C99's table (annex F.9.4.4), and some ordinary numbers. */
const powers: readonly (readonly [number, number, number])[] = [
  ...[0, 1, -1, 0.5, INF, -INF, NAN].map((x) => [x, 0, 1] as const),
  ...[2, -0.5, INF, -INF, NAN].map((y) => [1, y, 1] as const),
  ...[INF, -INF].map((y) => [-1, y, 1] as const),
  ...[1, 2, 0.5, INF].map((y) => [NAN, y, NAN] as const),
  ...[0, 0.5, 2, INF, -1].map((x) => [x, NAN, NAN] as const),
  ...[0.5, -0.5, 0].flatMap((x) => [[x, INF, 0] as const, [x, -INF, INF] as const]),
  ...[2, -2, INF, -INF].flatMap((x) => [[x, INF, INF] as const, [x, -INF, 0] as const]),
  [0, 3, 0],
  [-0, 3, -0],
  [-0, 2, 0],
  [-0, 0.5, 0],
  [0, -1, INF],
  [-0, -1, -INF],
  [-0, -2, INF],
  [-0, -0.5, INF],
  [INF, 0.5, INF],
  [INF, -0.5, 0],
  [-INF, 3, -INF],
  [-INF, 2, INF],
  [-INF, 0.5, INF],
  [-INF, -3, -0],
  [-INF, -2, 0],
  [-2, 0.5, NAN],
  [-2, -0.5, NAN],
  [-2, 3, -8],
  [-2, 2, 4],
  [-2, -1, -0.5],
  [-1, 16777215, -1],
  [-1, 16777216, 1],
  [2, 127, 2 ** 127],
  [2, 128, INF],
  [2, -125, 2 ** -125],
  [2, -200, 0],
  [-2, 129, -INF],
  [2 ** -140, -0.5, 2 ** 70],
  [LARGEST, 2, INF],
  [1e-30, 3, 0],
];
const [bases, exponents, values] = [0, 1, 2].map((k) => powers.map((row) => row[k]));

/** f'' at x. */
const second = (f: (x: Tensor) => Tensor, x: Tensor): Tensor =>
  grad((v) => grad((u) => f(u).sum(), [v])[0].sum(), [x])[0];

/** Rows of four equal numbers, as the tiled kernels read them. */
const rows = (values: readonly number[]): number[] => values.flatMap((v) => [v, v, v, v]);
const firsts = (values: readonly number[]): number[] => values.flatMap((v) => [v, 0, 0, 0]);
const counted = Array.from({ length: 80 }, (_, k) => k);

/** Four long rows: one with a NaN, one with ∞, one of −∞, and one with numbers and −∞. */
const long = Array.from({ length: 1200 }, (_, k) => {
  const row = Math.floor(k / 300);
  if (k === 200) return NAN;
  if (k === 500) return INF;
  return row === 2 || (row === 3 && k % 300 < 270) ? -INF : (k % 7) / 7;
});

const rules: readonly Rule[] = [
  {
    ops: ["maximum"],
    what: "is NaN if either is",
    f: (make) => make([NAN, 1, NAN, -INF, -INF, INF]).maximum(make([1, NAN, NAN, -LARGEST, -INF, 0])),
    want: [NAN, NAN, NAN, -LARGEST, -INF, INF],
  },
  {
    ops: ["minimum"],
    what: "is NaN if either is",
    f: (make) => make([NAN, 1, NAN, INF, INF, -INF]).minimum(make([1, NAN, NAN, LARGEST, INF, 0])),
    want: [NAN, NAN, NAN, LARGEST, INF, -INF],
  },
  {
    ops: ["clamp"],
    what: "keeps NaN and limits infinities",
    f: (make) => make([NAN, INF, -INF, 3]).clamp(-1, 2),
    want: [NAN, 2, -1, 2],
  },
  {
    ops: ["clamp"],
    what: "takes infinite bounds",
    f: (make) => make([NAN, INF, -INF, 3]).clamp(-INF, 2),
    want: [NAN, 2, -INF, 2],
  },
  { ops: ["relu"], what: "keeps NaN", f: (make) => make([NAN, INF, -INF, -1]).relu(), want: [NAN, INF, 0, 0] },
  { ops: ["sign"], what: "keeps NaN", f: (make) => make([NAN, INF, -INF]).sign(), want: [NAN, 1, -1] },
  {
    ops: ["equal"],
    what: "is false of NaN",
    f: (make) => make([NAN, NAN, 1, INF, -INF]).equal(make([NAN, 1, NAN, INF, INF])),
    want: [0, 0, 0, 1, 0],
  },
  {
    ops: ["notEqual"],
    what: "is true of NaN",
    f: (make) => make([NAN, NAN, 1, INF, -INF]).notEqual(make([NAN, 1, NAN, INF, INF])),
    want: [1, 1, 1, 0, 1],
  },
  {
    ops: ["less"],
    what: "is false of NaN",
    f: (make) => make([NAN, NAN, 1, -INF, -INF, LARGEST]).less(make([NAN, 1, NAN, -LARGEST, -INF, INF])),
    want: [0, 0, 0, 1, 0, 1],
  },
  {
    ops: ["lessEqual"],
    what: "is false of NaN",
    f: (make) => make([NAN, NAN, 1, -INF, -INF, INF]).lessEqual(make([NAN, 1, NAN, -LARGEST, -INF, LARGEST])),
    want: [0, 0, 0, 1, 1, 0],
  },
  {
    ops: ["less"],
    what: "the other way round is greater",
    f: (make) => make([NAN, 1, INF]).greater(make([0, NAN, LARGEST])),
    want: [0, 0, 1],
  },
  {
    ops: ["isNaN"],
    what: "finds NaN alone",
    f: (make) => make([NAN, INF, -INF, 0, LARGEST]).isNaN(),
    want: [1, 0, 0, 0, 0],
  },
  {
    ops: ["isFinite"],
    what: "finds neither NaN nor infinities",
    f: (make) => make([NAN, INF, -INF, 0, LARGEST]).isFinite(),
    want: [0, 0, 0, 1, 1],
  },
  {
    ops: ["max"],
    what: "is NaN in each line that has one, and −∞ where all are",
    f: (make) => make([1, NAN, 3, -INF, -INF, -INF, -INF, -LARGEST, -INF, 5, INF, 1], [4, 3]).max(1),
    want: [NAN, -INF, -LARGEST, INF],
  },
  {
    ops: ["max"],
    what: "is so of long lines",
    f: (make) =>
      make(
        Array.from({ length: 4000 }, (_, k) => (k === 1234 ? NAN : k < 1000 ? -INF : k)),
        [4, 1000],
      ).max(1),
    want: [-INF, NAN, 2999, 3999],
  },
  {
    ops: ["max"],
    what: "is so of long columns",
    f: (make) =>
      make(
        Array.from({ length: 4000 }, (_, k) => (k === 1002 ? NAN : k % 4 ? -k : -INF)),
        [1000, 4],
      ).max(0),
    want: [-INF, -1, NAN, -3],
  },
  {
    ops: ["max"],
    what: "the other way round is min",
    f: (make) => make([1, NAN, 3, INF, INF, INF], [2, 3]).min(1),
    want: [NAN, INF],
  },
  {
    ops: ["max", "where"],
    what: "is what maxPool is of its windows, whose padding never counts",
    f: (make) => make([-INF, NAN, -LARGEST, -2], [1, 2, 2, 1]).maxPool(2, { stride: 1, padding: 1 }),
    want: [-INF, NAN, NAN, -LARGEST, NAN, NAN, -LARGEST, -2, -2],
  },
  {
    ops: ["argmax"],
    what: "is the first NaN's place",
    f: (make) => make([1, NAN, NAN, -INF, -INF, -INF, 1, INF, INF], [3, 3]).argmax(1),
    want: [1, 0, 1],
  },
  {
    ops: ["argmax"],
    what: "so is argmin",
    f: (make) => make([1, NAN, NAN, INF, INF, INF, 1, -INF, -INF], [3, 3]).argmin(1),
    want: [1, 0, 1],
  },
  {
    ops: ["sort"],
    what: "puts NaN last",
    f: (make) => make([NAN, INF, 1, NAN, -INF]).sort().values,
    want: [-INF, 1, INF, NAN, NAN],
  },
  {
    ops: ["sort"],
    what: "descending puts NaN first",
    f: (make) => make([1, INF, NAN, -INF]).sort(-1, { descending: true }).values,
    want: [NAN, INF, 1, -INF],
  },
  { ops: ["pow"], what: "has C99's values", f: (make) => make(bases).pow(make(exponents)), want: values },
  {
    ops: ["powScalar"],
    what: "has C99's values",
    f: (make) => concat(powers.map(([x, y]) => make([x]).pow(y))),
    want: values,
  },
  {
    ops: ["pow"],
    what: "has the signs of C99's zeros",
    f: (make) =>
      make([-0, -0, 0, -INF, -INF])
        .pow(make([3, 2, 3, -3, -2]))
        .pow(-1),
    want: [-INF, INF, INF, -INF, INF],
  },
  {
    ops: ["powScalar"],
    what: "has the signs of C99's zeros",
    f: (make) => concat([make([-0]).pow(3).pow(-1), make([-0]).pow(0.5).pow(-1), make([-INF]).pow(-5).pow(-1)]),
    want: [-INF, INF, -INF],
  },
  {
    ops: ["powScalar"],
    what: "has first derivatives at 0",
    f: (make) => concat([0, 1, 2, 3, 0.5].map((e) => grad((x) => x.pow(e).sum(), [make([0])])[0])),
    want: [0, 1, 0, 0, INF],
  },
  {
    ops: ["powScalar"],
    what: "has second derivatives at 0",
    f: (make) => concat([1, 2, 3, 4].map((e) => second((x) => x.pow(e), make([0])))),
    want: [0, 2, 0, 0],
  },
  {
    ops: ["pow"],
    what: "has derivatives by the base at 0",
    f: (make) => grad((x) => x.pow(make([0, 1, 2, 3])).sum(), [make([0, 0, 0, 0])])[0],
    want: [0, 1, 0, 0],
  },
  {
    ops: ["pow"],
    what: "has second derivatives by the base at 0",
    f: (make) => second((x) => x.pow(make([1, 2, 3, 4])), make([0, 0, 0, 0])),
    want: [0, 2, 0, 0],
  },
  {
    ops: ["pow"],
    what: "has the derivative 0 by the exponent at 0",
    f: (make) => grad((b) => make([0, 0, 0, 0]).pow(b).sum(), [make([0, 0.5, 1, 2])])[0],
    want: [0, 0, 0, 0],
  },
  {
    ops: ["pow"],
    what: "has mixed derivatives at 0",
    f: (make) => grad((a) => grad((b) => a.pow(b).sum(), [make([1.5, 2, 3])])[0].sum(), [make([0, 0, 0])])[0],
    want: [0, 0, 0],
  },
  {
    ops: ["softmax"],
    what: "is NaN in rows with NaN, ∞, or nothing but −∞, which else has no weight",
    f: (make) => make([1, NAN, INF, 1, -INF, -INF, 0, -INF, 0, -LARGEST], [5, 2]).softmax(),
    want: [NAN, NAN, NAN, NAN, NAN, NAN, 1, 0, 1, 0],
  },
  {
    ops: ["softmax"],
    what: "is so of long rows",
    f: (make) => make(long, [4, 300]).softmax().sum(1).round(),
    want: [NAN, NAN, NAN, 1],
  },
  {
    ops: ["logSoftmax"],
    what: "is NaN in rows with NaN, ∞, or nothing but −∞",
    f: (make) => make([1, NAN, INF, 1, -INF, -INF, 0, -INF], [4, 2]).logSoftmax(),
    want: [NAN, NAN, NAN, NAN, NAN, NAN, 0, -INF],
  },
  {
    ops: ["logSumExp"],
    what: "is NaN in rows with NaN, and else the largest element if that is infinite",
    f: (make) => make([1, NAN, INF, NAN, NAN, -INF, -INF, -INF, INF, 1, 5, -INF, -LARGEST, -INF], [7, 2]).logSumExp(1),
    want: [NAN, NAN, NAN, -INF, INF, 5, -LARGEST],
  },
  {
    ops: ["logSumExp"],
    what: "is so of long rows",
    f: (make) => make(long, [4, 300]).logSumExp(1).isFinite(),
    want: [0, 0, 0, 1],
  },
  {
    ops: ["logSoftmax", "gatherAlong"],
    what: "make a crossEntropy NaN if a logit is",
    f: (make) => crossEntropy(make([NAN, 1, 2], [1, 3]), [2]),
    want: [NAN],
  },
  {
    ops: ["softmax"],
    what: "of equal elements is even, however large they are",
    f: (make) => make([1e16, 1e16, 1e12, 1e12, -1e30, -1e30, LARGEST, LARGEST], [4, 2]).softmax(),
    want: Array(8).fill(0.5),
  },
  {
    ops: ["logSumExp"],
    what: "has the even gradient of equal elements, however large they are",
    f: (make) => grad((x) => x.logSumExp(1).sum(), [make([1e16, 1e16, -1e30, -1e30], [2, 2])])[0],
    want: Array(4).fill(0.5),
  },
  {
    ops: ["logSoftmax", "gatherAlong"],
    what: "make a crossEntropy of equal logits log 2, however large they are",
    f: (make) =>
      crossEntropy(make([1e16, 1e16], [1, 2]), [0])
        .sub(Math.fround(Math.LN2))
        .abs()
        .less(1e-6),
    want: [1],
  },
  {
    ops: ["attention"],
    what: "is NaN where all scores are −∞, or one is ∞ or NaN",
    f: (make) => {
      const [q, k] = [make(firsts([-INF, INF, NAN, 0]), [4, 4]), make(firsts(counted.map((j) => j + 1)), [80, 4])];
      return q
        .attention(k, make(rows(counted.map((j) => j + 1)), [80, 4]), { scale: 1 })
        .isNaN()
        .slice(null, 0);
    },
    want: [1, 1, 1, 0],
  },
  {
    ops: ["attention"],
    what: "gives keys of score −∞ no weight, be they the first or the last",
    f: (make) => {
      const attended = [(j: number) => j < 70, (j: number) => j >= 4].map((hidden) => {
        const k = make(firsts(counted.map((j) => (hidden(j) ? -INF : 0))), [80, 4]);
        return make([1, 0, 0, 0], [1, 4]).attention(k, make(rows(counted), [80, 4]), { scale: 1 });
      });
      return concat(attended).slice(null, 0).mul(8).round().div(8);
    },
    want: [74.5, 1.5],
  },
  {
    ops: ["attention"],
    what: "of equal scores is the mean, however large they are",
    f: (make) =>
      concat(
        [1e16, -1e16, 1e37].map((s) =>
          make([s, 0, 0, 0], [1, 4]).attention(make(firsts([1, 1]), [2, 4]), make(rows([3, 30]), [2, 4]), { scale: 1 }),
        ),
      ).slice(null, 0),
    want: [16.5, 16.5, 16.5],
  },
  {
    ops: ["attentionGrad"],
    what: "is NaN where attention is",
    f: (make) => {
      const [k, v] = [make(firsts(counted.map((j) => j + 1)), [80, 4]), make(rows(counted), [80, 4])];
      const q = make(firsts([-INF, INF, NAN, 0]), [4, 4]);
      return grad((x) => x.attention(k, v, { scale: 1 }).sum(), [q])[0]
        .isNaN()
        .slice(null, 0);
    },
    want: [1, 1, 1, 0],
  },
  {
    ops: ["softmax"],
    what: "has the mean of all for a query whose bool mask lets it see none",
    f: (make) => {
      const [q, k] = [make([1, 2, 3, 4], [2, 2]), make([5, 1, 2, 2, 7, 3], [3, 2])];
      const mask = make([0, 0, 0, 0, 1, 0], [2, 3]).cast("bool");
      return q
        .attention(k, make([2, 20, 3, 30, 4, 40], [3, 2]), { mask })
        .mul(64)
        .round()
        .div(64);
    },
    want: [3, 30, 3, 30],
  },
  {
    ops: ["softmax"],
    what: "hides keys whose scores are not finite by a mask",
    f: (make) => {
      const mask = make([0, 0, 1], [3]).cast("bool");
      const k = make([NAN, INF, 1], [3, 1]);
      return make([1, 2], [2, 1]).attention(k, make([1, 2, 3], [3, 1]), { mask });
    },
    want: [3, 3],
  },
  {
    ops: ["softmax"],
    what: "takes −∞ in an added mask, of which a row of nothing else is NaN",
    f: (make) => {
      const mask = make([0, -INF, -INF, -INF], [2, 2]);
      return make([1, 2], [2, 1]).attention(make([1, 1], [2, 1]), make([5, 6], [2, 1]), { mask });
    },
    want: [5, NAN],
  },
  ...[
    [2, 1, 4],
    [1, 9, 8],
    [1, 4100, 4],
    [1, 1030, 3],
  ].flatMap(([batch, pixels, channels]): Rule[] => {
    const size = batch * pixels * channels;
    const norm = (make: Make, x: readonly number[]): Tensor => {
      const [scale, bias] = [1, 0].map((v) => make(Array(channels).fill(v)));
      return make(x, [batch, pixels, channels]).groupNorm(scale, bias, { groups: 1 });
    };
    const waves = Array.from({ length: size }, (_, k): number => (k % 2 ? 1 : -1));
    const even = size % 2 === 0 ? waves : waves.with(0, 0);
    return [
      {
        ops: ["groupNorm"],
        what: `is right where squares overflow, of ${size} elements`,
        f: (make) =>
          norm(
            make,
            even.map((v) => v * 1e25),
          )
            .mul(256)
            .round()
            .div(256)
            .sub(make(even, [batch, pixels, channels]))
            .abs()
            .max(),
        want: [0],
      },
      {
        ops: ["groupNorm"],
        what: `is NaN in groups with NaN, of ${size} elements`,
        f: (make) =>
          norm(make, even.with(size - 1, NAN))
            .isFinite()
            .slice(batch - 1)
            .cast("float32")
            .sum(),
        want: [0],
      },
      {
        ops: ["groupNorm"],
        what: `is NaN in groups with ∞, of ${size} elements`,
        f: (make) =>
          norm(make, even.with(size - 1, -INF))
            .isFinite()
            .slice(batch - 1)
            .cast("float32")
            .sum(),
        want: [0],
      },
    ];
  }),
  {
    ops: ["sort", "lerp"],
    what: "make a quantile NaN if an element is",
    f: (make) => make([1, NAN, 3, 1, 2, 3, INF, 2, 1], [3, 3]).quantile(0.5, 1),
    want: [NAN, 2, 2],
  },
];

/** Where ops are told to spread what is not finite further than their formula does: whole tiles of Winograd's convolutions. */
/** Where kernels multiply in another order than the formula, or what lies beyond the last key by 0: ∞ and NaN are one there. */
const blurring = ["attention", "attentionGrad", "groupNormGrad"];
const spreading = ["conv2d", "conv2dInput", "conv2dWeight"];
const MAX_SIZE = 6000;

/** Cases with float32 inputs, small enough to be run often. */
function casesOf(op: AnyOp) {
  return op.cases
    .map((given, index) => ({ given, drawn: drawInputs(given, index + 1) }))
    .filter(({ drawn }) => drawn.every(({ values }) => values.length <= MAX_SIZE))
    .filter(({ drawn }) =>
      drawn.some(({ input, values }) => (input.dtype ?? "float32") === "float32" && values.length > 0),
    );
}

const backends: { name: string; open: () => Promise<Backend>; skip: boolean }[] = [
  { name: "cpu float32", open: async () => cpu(), skip: false },
  { name: "cpu float64", open: async () => cpu({ precision: "float64" }), skip: false },
  { name: "wasm", open: () => wasm({ threads: 1 }), skip: false },
  { name: "webgpu", open: () => webgpu({ profile: "direct" }), skip: !gpuAvailable },
  { name: "webgpu with the kernels for GPUs", open: () => webgpu({ profile: "tiled" }), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test.each(rules.map((rule) => ({ ...rule, names: rule.ops.join(", ") })))("$names: $what", async ({ f, want }) => {
      const make: Make = (values, shape) =>
        tensor(Float64Array.from(values), { backend, shape: shape ?? [values.length] });
      // As float32 has it, also of the backend in float64; −0 is as good as 0.
      const found = Array.from(await f(make).data(), (y) => Math.fround(y) + 0);
      expect(found).toEqual(want.map((y) => y + 0));
    });

    test.each(allOps.filter((op) => casesOf(op).length > 0).map((op) => ({ name: op.name, op })))(
      "$name has NaN and infinities where its formula has",
      async ({ op }) => {
        const uniform = generator(5);
        for (const { given, drawn } of casesOf(op).slice(0, 3)) {
          for (const [k, { input, values }] of drawn.entries()) {
            const isGiven = typeof input.values !== "function"; // else it follows from the operands before
            if (!isGiven || (input.dtype ?? "float32") !== "float32" || values.length === 0) continue;
            for (const strange of [NAN, INF, -INF]) {
              const at = Math.floor(uniform() * values.length);
              const changed = drawn.with(k, { input, values: values.with(at, strange) });
              const before = changed.map((operand) => operand.values);
              const operands = changed.map((operand, i) =>
                i > k && typeof operand.input.values === "function"
                  ? { ...operand, values: [...operand.input.values(before.slice(0, i))] }
                  : operand,
              );
              const [found, wanted] = [backend, exact].map((on) => runOp(op, place(operands, on), given.attrs, on));
              for (const [output, y] of found.entries()) {
                if (y.dtype !== "float32") continue;
                const [a, b] = [await y.data(), await wanted[output].data()];
                const differs = a.findIndex((v, i) => !agrees(op, v, b[i]));
                const message = `input ${k} [${input.shape}] is ${strange} at ${at}; output ${output} at ${differs}`;
                expect(differs === -1 ? "" : `${a[differs]}, want ${b[differs]}`, message).toBe("");
              }
            }
          }
        }
      },
    );
  });
}

/** Whether both are NaN, the same infinity, or finite; numbers that float32 does not hold are infinite in it. */
function agrees(op: AnyOp, found: number, wanted: number): boolean {
  if (spreading.includes(op.name)) return Number.isFinite(wanted) || !Number.isFinite(found);
  const rounded = Math.fround(wanted);
  if (blurring.includes(op.name)) return Number.isFinite(rounded) === Number.isFinite(found);
  return Number.isFinite(rounded) ? Number.isFinite(found) : Object.is(found, rounded);
}

test.each(["float32", "float64"] as const)(
  "the gradient of attention on the reference in %s has even weights for equal scores, however large they are",
  async (precision) => {
    const backend = cpu({ precision });
    const [q, k, v] = [[1e16], [1, 1], [3, 30]].map((values) => tensor(values, { backend, shape: [values.length, 1] }));
    const [, , dv] = grad(
      (...operands) => operands[0].attention(operands[1], operands[2], { scale: 1 }).sum(),
      [q, k, v],
    );
    expect([...(await dv.data())]).toEqual([0.5, 0.5]);
  },
);

const text = readFileSync(new URL("../../../docs/numerics.md", import.meta.url), "utf8");

test("every op is in the table of rules, once", () => {
  const section = text.split("## Rules for NaN, infinities, integers and bools\n")[1]?.split("\n## ")[0] ?? "";
  const rows = /\| ops \|.*\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(section)?.[1] ?? "";
  const written = rows
    .trim()
    .split("\n")
    .flatMap((row) =>
      row
        .split("|")[1]
        .split(",")
        .map((op) => op.trim()),
    );
  const named = allOps.map((op) => op.name);
  expect(written.sort()).toEqual(named.sort());
});

// Gradients where a formula has 0 · ∞ in it: functions of no spread, choices between elements, arguments whose powers overflow.
import { type Backend, concat, crossEntropy, dropout, grad, jvp, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { allOps, exact } from "./checkCase.ts";
import { type AnyOp, isDifferentiable, runOp, specsOf } from "./derived.ts";

const places = [...openers.filter(({ skip }) => !skip), { name: "cpu in float64", open: async () => exact }];

/** Finite numbers of every size. Subnormal ones are left out: adapters may take them for 0. */
const SIZES = [0, 1e-37, 1e-20, 1e-3, 1, 20, 100, 1e3, 1e10, 1e13, 1e19, 3e19, 1e30, 3e38].map(Math.fround);
const POINTS = SIZES.flatMap((size) => [size, -size]);

/** Functions of one element with a slope, with each of the attributes that their cases have. */
const unary = allOps.flatMap((op) => {
  const cases = op.cases.filter((given) => given.inputs.length === 1 && isDifferentiable(op, given));
  const takesScalars = cases.some((given) => specsOf(given)[0].shape.length === 0);
  const different = new Map(cases.map(({ attrs }) => [JSON.stringify(attrs), attrs]));
  return takesScalars && !op.view ? [...different.values()].map((attrs) => ({ op, name: op.name, attrs })) : [];
});

describe.each(places)("on $name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.dispose());
  const of = (values: number[] | number[][]) => tensor(values, { backend });
  const list = async (x: Tensor) => Array.from(await x.data());
  /** The gradient of Σ w f, and that of the sum of its elements' cubes, which take the second derivatives apart. */
  const both = (f: (x: Tensor) => Tensor, x: Tensor) => {
    const first = (v: Tensor) => grad((u) => f(u).sum(), [v])[0];
    return [first(x), grad((v) => first(v).pow(3).sum(), [x])[0]] as const;
  };

  const equal = [2.5, 2.5, 2.5];
  test.each<[string, (x: Tensor) => Tensor, number[] | number[][]]>([
    ["std of equal numbers", (x) => x.std(), equal],
    ["std of equal numbers, as their own population", (x) => x.std(undefined, { correction: 0 }), equal],
    ["std of equal rows", (x) => x.std(1), [equal, [0, 0, 0]]],
    ["variance of equal numbers", (x) => x.variance(), equal],
    ["norm of 0", (x) => x.norm(), [0, 0, 0]],
    [
      "norms of rows of 0",
      (x) => x.norm(1, { keepAxes: true }),
      [
        [0, 0],
        [0, -0],
      ],
    ],
    ["the distance of x to itself", (x) => x.sub(x.detach()).norm(), [1, 2, 3]],
  ])("%s: the derivatives are 0", async (_, f, values) => {
    const x = of(values);
    const zeros = new Array<number>(x.size).fill(0);
    for (const g of both(f, x)) expect((await list(g)).map((v) => v + 0)).toEqual(zeros);
    const { value, tangent } = jvp((v) => f(v), [x], [x.add(1)]);
    expect(await list(value.add(tangent))).toEqual(await list(f(x)));
  });

  test("the gradient of std is that of the rows that vary beside one that does not", async () => {
    const g = await list(
      grad(
        (x) => x.std(1).sum(),
        [
          of([
            [1, 3],
            [2, 2],
          ]),
        ],
      )[0],
    );
    const wanted = [-Math.SQRT1_2, Math.SQRT1_2, 0, 0];
    for (const [k, want] of wanted.entries()) expect(g[k]).toBeCloseTo(want, 6);
  });

  // √ of what was not chosen is √0, whose slope is infinite: it must not reach the other operand.
  test.each<[string, (x: Tensor) => Tensor, number[], number[]]>([
    ["maximum", (x) => x.maximum(0).sqrt(), [-1, 4], [0, 0.25]],
    ["minimum", (x) => x.minimum(0).neg().sqrt(), [1, -4], [0, -0.25]],
    ["maximum of two tensors", (x) => x.neg().maximum(x.detach().mul(0)).sqrt(), [1, -4], [0, -0.25]],
    ["clamp", (x) => x.clamp(0, 9).sqrt(), [-1, 4, 10], [0, 0.25, 0]],
    ["relu", (x) => x.relu().sqrt(), [-1, 4], [0, 0.25]],
    ["where", (x) => x.greater(0).where(x, 0).sqrt(), [-1, 4], [0, 0.25]],
    ["max", (x) => x.max().add(1).sqrt(), [-3, -1, -2], [0, Number.POSITIVE_INFINITY, 0]],
    [
      "concat",
      (x) =>
        concat([x, x.mul(2)])
          .slice([0, 2])
          .sqrt(),
      [1, 4],
      [0.5, 0.25],
    ],
  ])("an infinite slope behind %s reaches what was chosen alone", async (_, f, values, wanted) => {
    const [g] = grad((x) => f(x).sum(), [of(values)]);
    expect((await list(g)).map((v) => v + 0)).toEqual(wanted);
  });

  test("maxPool hands an infinite slope to the largest element alone", async () => {
    const image = tensor([-1, -2, -3, -4], { backend, shape: [1, 2, 2, 1] });
    const [g] = grad((x) => x.maxPool(2).add(1).sqrt().sum(), [image]);
    expect((await list(g)).map((v) => v + 0)).toEqual([Number.POSITIVE_INFINITY, 0, 0, 0]);
  });

  test("classes that are ruled out have no gradient, and do not harm the others'", async () => {
    const logits = of([[0, Number.NEGATIVE_INFINITY, Math.log(3)]]);
    expect(await crossEntropy(logits, [2]).item()).toBeCloseTo(Math.log(4 / 3), 5);
    const g = await list(grad((x) => crossEntropy(x, [2]), [logits])[0]);
    expect(g[0]).toBeCloseTo(0.25, 5);
    expect(g[1]).toBeCloseTo(0, 10);
    expect(g[2]).toBeCloseTo(-0.25, 5);
    const masked = grad(
      (x) => x.less(1).where(x, Number.NEGATIVE_INFINITY).softmax().slice(null, 0).sum(),
      [of([[0, 5, 0]])],
    );
    for (const [k, want] of [0.25, 0, -0.25].entries()) expect((await list(masked[0]))[k]).toBeCloseTo(want, 5);
  });

  test("dropout drops an infinite element", async () => {
    const x = tensor(new Array<number>(64).fill(Number.POSITIVE_INFINITY), { backend });
    const dropped = await list(dropout(x, 0.5, randomStream(1)));
    expect(new Set(dropped)).toEqual(new Set([0, Number.POSITIVE_INFINITY]));
  });

  test.each(unary)(
    "$name with $attrs has a slope wherever float64 has one, of numbers of every size",
    async ({ op, attrs }) => {
      const slopes = async (on: Backend) => {
        const f = (x: Tensor) => runOp(op as AnyOp, [x], attrs, on)[0];
        const x = tensor(POINTS, { backend: on });
        const first = (v: Tensor) => grad((u) => f(u).sum(), [v])[0];
        return [await list(first(x)), await list(grad((v) => first(v).sum(), [x])[0])];
      };
      const [found, wanted] = [await slopes(backend), await slopes(exact)];
      const lost = found.flatMap((order, k) =>
        order.flatMap((v, i) =>
          Number.isNaN(v) && !Number.isNaN(wanted[k][i]) ? [`order ${k + 1} at ${POINTS[i]}`] : [],
        ),
      );
      expect(lost).toEqual([]);
    },
  );
});

// First and second derivatives of functions of one element, with their digits where the function is flat or nearly straight.
import { grad, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

interface Slopes {
  readonly f: (x: Tensor) => Tensor;
  /** Both in closed form, with no difference of nearly equal numbers. */
  readonly first: (x: number) => number;
  readonly second: (x: number) => number;
  readonly at: readonly number[];
}

const { exp, tanh, PI, sqrt } = Math;
const sigmoid = (x: number) => 1 / (1 + exp(-x));
const bell = (x: number) => sigmoid(x) * sigmoid(-x);
const normal = (x: number) => exp(-0.5 * x * x) / sqrt(2 * PI);
/** What the sigmoid in GELU with tanh is taken of, and its derivative. */
const twice = (x: number) => 2 * sqrt(2 / PI) * (x + 0.044715 * x ** 3);
const twiceSlope = (x: number) => 2 * sqrt(2 / PI) * (1 + 3 * 0.044715 * x * x);
/** Φ(−5), Φ(−3), Φ(1) and Φ(5), from tables. */
const DISTRIBUTION = new Map([
  [-5, 2.866515718791939e-7],
  [-3, 1.3498980316300946e-3],
  [1, 0.8413447460685429],
  [5, 0.9999997133484281],
]);

const functions: Readonly<Record<string, Slopes>> = {
  sigmoid: {
    f: (x) => x.sigmoid(),
    first: bell,
    second: (x) => -bell(x) * tanh(x / 2),
    at: [-40, -20, -5, 1, 5, 20, 40],
  },
  softplus: { f: (x) => x.softplus(), first: sigmoid, second: bell, at: [-40, -20, -5, 1, 5, 20, 40] },
  silu: {
    f: (x) => x.silu(),
    first: (x) => sigmoid(x) + x * bell(x),
    second: (x) => bell(x) * (2 - x * tanh(x / 2)),
    at: [-40, -20, -5, 1, 5],
  },
  expm1: { f: (x) => x.expm1(), first: exp, second: exp, at: [-40, -20, -5, 1, 5] },
  gelu: {
    f: (x) => x.gelu(),
    first: (x) => (DISTRIBUTION.get(x) ?? Number.NaN) + x * normal(x),
    second: (x) => normal(x) * (2 - x * x),
    at: [...DISTRIBUTION.keys()],
  },
  "gelu with tanh": {
    f: (x) => x.gelu({ approximate: "tanh" }),
    first: (x) => sigmoid(twice(x)) + x * bell(twice(x)) * twiceSlope(x),
    second: (x) => {
      const curve = 6 * 0.044715 * x * twiceSlope(0);
      const bend = -tanh(twice(x) / 2) * twiceSlope(x) ** 2;
      return bell(twice(x)) * (2 * twiceSlope(x) + x * (bend + curve));
    },
    at: [-5, -3, 1, 3, 5],
  },
};

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip).each(Object.entries(functions))("%s", async (_, { f, first, second, at }) => {
    const backend = await open();
    const x = tensor([...at], { backend });
    const slope = (v: Tensor) => grad((u) => f(u).sum(), [v])[0];
    const found = [await slope(x).data(), await grad((v) => slope(v).sum(), [x])[0].data()];
    for (const [k, value] of at.entries()) {
      expect(found[0][k] / first(value), `first derivative at ${value}`).toBeCloseTo(1, 4);
      expect(found[1][k] / second(value), `second derivative at ${value}`).toBeCloseTo(1, 4);
    }
  });
});

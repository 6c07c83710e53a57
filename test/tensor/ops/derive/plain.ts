// The model that random shapes are tested against: arrays of numbers, and views of them as obvious loops.
import { type Backend, type Shape, type Tensor, tensor } from "@pkg/tensor";
import { expect } from "vitest";
import type { Slice } from "../../../../packages/tensor/src/ops/layout/views.ts";
import { sizeOf, stridesOf } from "../../../../packages/tensor/src/shape.ts";
import { generator } from "../derived.ts";

/** The model: elements in row-major order. */
export interface Plain {
  readonly shape: Shape;
  readonly data: readonly number[];
}

export const indicesOf = (shape: Shape): number[][] =>
  shape.reduce<number[][]>(
    (all, n) => all.flatMap((index) => Array.from({ length: n }, (_, k) => [...index, k])),
    [[]],
  );

export const at = ({ shape, data }: Plain, index: readonly number[]): number => {
  const strides = stridesOf(shape);
  return data[index.reduce((sum, i, k) => sum + i * strides[k], 0)];
};

export const build = (shape: Shape, f: (index: readonly number[]) => number): Plain => ({
  shape,
  data: indicesOf(shape).map(f),
});

export const random = (shape: Shape, seed: number): Plain => {
  const uniform = generator(seed);
  return { shape, data: Array.from({ length: sizeOf(shape) }, () => Math.fround(4 * uniform() - 2)) };
};

/** A quarter of an integer: sums of a few thousand are exact in float32, in any order. */
export const quarters = (shape: Shape, seed: number): Plain => {
  const { data } = random(shape, seed);
  return { shape, data: data.map((x) => Math.round(x * 16) / 4) };
};

export const place = ({ shape, data }: Plain, backend: Backend): Tensor =>
  tensor(Float32Array.from(data), { backend, shape });

export const read = async (x: Tensor): Promise<Plain> => ({ shape: x.shape, data: Array.from(await x.data()) });

/** Equal as numbers: the sign of zero is left out. */
export const expectEqual = (found: Plain, wanted: Plain): void => {
  expect(found.shape).toEqual(wanted.shape);
  const differs = found.data.findIndex((x, i) => x !== wanted.data[i]);
  expect(differs === -1 ? "equal" : `element ${differs} is ${found.data[differs]}, not ${wanted.data[differs]}`).toBe(
    "equal",
  );
};

/** One view of a tensor, chosen by a number. */
export function viewed(x: Tensor, kind: string, choice: number): Tensor {
  const { rank, shape } = x;
  switch (kind) {
    case "permute":
      return x.permute(permutation(rank, choice));
    case "reshape":
      return x.reshape(reshaped(shape, choice));
    case "flip":
      return x.flip(shape.flatMap((_, k) => ((choice >> k) % 2 === 1 ? [k] : [])));
    case "expand":
      return rank < 6 ? x.expand([1 + (choice % 2), ...shape]) : x;
    case "slice":
      return x.slice(...shape.map((n): Slice => [choice % n, null, 1 + (choice % 2)]));
    default:
      return x.squeeze();
  }
}

/** The same view of the model. */
export function remodelled(x: Plain, kind: string, choice: number): Plain {
  const { shape } = x;
  const flipped = shape.map((_, k) => kind === "flip" && (choice >> k) % 2 === 1);
  switch (kind) {
    case "permute": {
      const axes = permutation(shape.length, choice);
      const inverse = axes.map((_, k) => axes.indexOf(k));
      return build(
        axes.map((axis) => shape[axis]),
        (index) =>
          at(
            x,
            inverse.map((k) => index[k]),
          ),
      );
    }
    case "reshape":
      return { shape: reshaped(shape, choice), data: x.data };
    case "flip":
      return build(shape, (index) =>
        at(
          x,
          index.map((i, k) => (flipped[k] ? shape[k] - 1 - i : i)),
        ),
      );
    case "expand":
      return shape.length < 6 ? build([1 + (choice % 2), ...shape], ([, ...rest]) => at(x, rest)) : x;
    case "slice": {
      const by = 1 + (choice % 2);
      return build(
        shape.map((n) => Math.ceil((n - (choice % n)) / by)),
        (index) =>
          at(
            x,
            index.map((i, k) => (choice % shape[k]) + i * by),
          ),
      );
    }
    default:
      return { shape: shape.filter((n) => n !== 1), data: x.data };
  }
}

function permutation(rank: number, choice: number): number[] {
  const uniform = generator(choice + 1);
  return Array.from({ length: rank }, (_, k) => ({ k, key: uniform() }))
    .sort((a, b) => a.key - b.key)
    .map(({ k }) => k);
}

/** Two neighbouring axes as one, or one as two. */
function reshaped(shape: Shape, choice: number): number[] {
  if (shape.length === 0) return [1];
  const k = choice % shape.length;
  const half = shape[k] / 2;
  if (Number.isInteger(half) && shape.length < 6) return [...shape.slice(0, k), half, 2, ...shape.slice(k + 1)];
  const next = shape[k + 1];
  return next === undefined ? [...shape] : [...shape.slice(0, k), shape[k] * next, ...shape.slice(k + 2)];
}

// What the tests of layers share: matrices as nested lists, slopes of both orders, and results on every backend. Not a test.
import { stateDict } from "@pkg/nn";
import { type Backend, cpu, grad, jvp, type Tensor, tensor } from "@pkg/tensor";
import { expect } from "vitest";
import { generator } from "../../tensor/ops/derived.ts";

export const exact = cpu({ precision: "float64" });

/** Numbers in [−1, 1), the same for the same seed. */
function numbers(shape: readonly number[], seed: number): Float32Array {
  const uniform = generator(seed);
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * uniform() - 1);
}

export const random = (shape: readonly number[], seed: number, backend: Backend = exact): Tensor =>
  tensor(numbers(shape, seed), { backend, shape });

/** Gives every tensor of a module drawn numbers of about its own size, so that nothing is zero or one by chance. */
export function stir(module: object, seed = 100): void {
  for (const [k, value] of [...stateDict(module).values()].entries())
    value.assign(value.add(random(value.shape, seed + k, value.backend).mul(0.3)));
}

/** A matrix or a stack of them as nested lists. */
export const listed = async <Nested = number[][]>(x: Tensor): Promise<Nested> => (await x.array()) as Nested;

const product = (a: readonly number[][], b: readonly number[][]): number[][] =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));

/** An affine layer on rows. */
export async function affine(
  rows: readonly number[][],
  { weight, bias }: { readonly weight: Tensor; readonly bias?: Tensor },
): Promise<number[][]> {
  const b = await bias?.data();
  return product(rows, await listed(weight)).map((row) => row.map((value, k) => value + (b?.[k] ?? 0)));
}

/** The largest difference between a tensor's elements and numbers. */
export async function away(x: Tensor, wanted: unknown): Promise<number> {
  const flat = [wanted].flat(9) as number[];
  const data = await x.data();
  expect(data.length).toBe(flat.length);
  return flat.reduce((most, value, i) => Math.max(most, Math.abs(value - data[i])), 0);
}

/** Checks a function's gradient, and the gradient's, against differences of values and of gradients along one direction. */
export async function expectSlopes(f: (...xs: Tensor[]) => Tensor, xs: readonly Tensor[]): Promise<void> {
  const weights = random(f(...xs).shape, 900);
  const objective = (...at: Tensor[]) =>
    f(...at)
      .mul(weights)
      .sum();
  const along = xs.map(({ shape }, k) => random(shape, 950 + k));
  const moved = (h: number) => xs.map((x, k) => x.add(along[k].mul(h)));
  const dot = (a: readonly Tensor[]) => a.map((g, k) => g.mul(along[k]).sum()).reduce((sum, part) => sum.add(part));
  const h = 1e-4;
  const slope = (of: (at: Tensor[]) => Tensor) =>
    of(moved(h))
      .sub(of(moved(-h)))
      .div(2 * h);
  const first = await dot(grad(objective, xs)).item();
  expect(Math.abs(first - (await slope((at) => objective(...at)).item()))).toBeLessThan(1e-6 * (1 + Math.abs(first)));
  const second = await jvp((...at) => dot(grad(objective, at)), xs, along).tangent.item();
  const wanted = await slope((at) => dot(grad(objective, at))).item();
  expect(Math.abs(second - wanted)).toBeLessThan(1e-6 * (1 + Math.abs(second)));
}

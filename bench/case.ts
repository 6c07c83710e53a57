// What a benchmark case is, and how its inputs are drawn. Which cases there are stands in cases/.
import { type Backend, type Shape, type Tensor, tensor } from "@pkg/tensor";

/** One problem, which every backend solves. */
export interface BenchCase {
  /** The kernel: "conv2d", "attention gradient". */
  readonly name: string;
  /** The problem's size, as the table shows it. */
  readonly size: string;
  /** The fewest floating-point operations that solve it. */
  readonly flop: number;
  /** The fewest bytes that must be read and written: each input once, each output once. */
  readonly bytes: number;
  readonly inputs: readonly (
    | Shape
    | { readonly shape: Shape; readonly range?: readonly [number, number]; readonly integer?: boolean }
  )[];
  run(inputs: readonly Tensor[]): readonly Tensor[];
  /** A part of a large problem that the float64 reference solves instead of all of it: its inputs, and where its outputs lie. */
  readonly part?: {
    inputs(inputs: readonly Tensor[]): readonly Tensor[];
    outputs(outputs: readonly Tensor[]): readonly Tensor[];
  };
  /** The largest allowed ‖error‖ / ‖reference‖. */
  readonly tolerance: number;
}

/** The same random inputs on any backend: uniform in the given range, [−1, 1] by default. */
export function drawInputs({ inputs }: BenchCase, backend: Backend): Tensor[] {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return inputs.map((input) => {
    const { shape, range: [lo, hi] = [-1, 1], integer = false } = "shape" in input ? input : { shape: input };
    const size = shape.reduce((a, b) => a * b, 1);
    const values = integer ? new Int32Array(size) : new Float32Array(size);
    for (let i = 0; i < size; i++) values[i] = lo + (hi - lo) * uniform();
    return tensor(values, { backend, shape });
  });
}

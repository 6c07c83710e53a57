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
  readonly inputs: readonly (Shape | InputRange)[];
  readonly solve: Solution;
  /** A part of a large problem that the float64 reference solves instead of all of it. */
  readonly part?: Part;
  /** Left out on backends that no GPU stands behind. */
  readonly onlyGpu?: boolean;
  /** The largest allowed ‖error‖ / ‖reference‖. */
  readonly tolerance: number;
  /** The same for libraries that are measured beside ours, in bench/peers. */
  readonly problem?: { readonly kind: string; readonly [parameter: string]: unknown };
}

export interface InputRange {
  readonly shape: Shape;
  /** Default [−1, 1]. */
  readonly range?: readonly [number, number];
  readonly integer?: boolean;
  /** All entries along the first axis are the same. */
  readonly repeated?: boolean;
}

/** How inputs become outputs: in one call, or in steps that change a state. */
export type Solution =
  | ((inputs: readonly Tensor[]) => readonly Tensor[])
  | { readonly begin: (inputs: readonly Tensor[]) => Stepper };

/** A problem with a state, such as an optimizer's. */
export interface Stepper {
  step(): void;
  /** The results after the first step or steps; they are the caller's. */
  first(): readonly Tensor[];
  dispose(): void;
}

/** The part's inputs among the problem's, and where its outputs lie in outputs of the given shapes. */
export interface Part {
  inputs(inputs: readonly Tensor[]): readonly Tensor[];
  outputs(outputs: readonly Tensor[]): readonly Tensor[];
  readonly shapes: readonly Shape[];
}

/** The same random elements for everyone: uniform in the given range. */
export function drawValues({ inputs }: BenchCase): { shape: Shape; values: Float32Array | Int32Array }[] {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return inputs.map((input) => {
    const {
      shape,
      range: [lo, hi] = [-1, 1],
      integer = false,
      repeated = false,
    }: InputRange = "shape" in input ? input : { shape: input };
    const size = shape.reduce((a, b) => a * b, 1);
    const values = integer ? new Int32Array(size) : new Float32Array(size);
    const drawn = repeated ? size / shape[0] : size;
    for (let i = 0; i < drawn; i++) values[i] = lo + (hi - lo) * uniform();
    for (let i = drawn; i < size; i++) values[i] = values[i % drawn];
    return { shape, values };
  });
}

/** The inputs on a backend. */
export function drawInputs(given: BenchCase, backend: Backend): Tensor[] {
  return drawValues(given).map(({ values, shape }) => tensor(values, { backend, shape }));
}

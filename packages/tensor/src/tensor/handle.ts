// The root of the classes that hold Tensor's methods: what they read of a tensor, and how they run an op. No storage, no graph.

import type { Backend } from "../backend.ts";
import type { Op } from "../op.ts";
import { type DType, formatShape, type Layout, type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/**
 * The root of the chain Handle ← Views ← Arithmetic ← Functions ← Comparisons ← Reductions ← Indexing ← Normalisation ← Products ←
 * Images ← Tensor. A family calls on `this` what stands before it in the chain, and every method on the tensors that these return.
 * Only Tensor has fields and a constructor, so the chain costs nothing when a tensor is made.
 */
export abstract class Handle {
  /** Where each element lies in the storage. @internal */
  abstract readonly layout: Layout;
  /** The type of the elements. */
  abstract readonly dtype: DType;
  /** Where the elements are, and where methods run. */
  abstract readonly backend: Backend;

  /** The number of elements along each axis; [] for a scalar. */
  get shape(): Shape {
    return this.layout.shape;
  }

  /** The number of axes. */
  get rank(): number {
    return this.layout.shape.length;
  }

  /** The number of elements. */
  get size(): number {
    return sizeOf(this.layout.shape);
  }

  /**
   * Text where JavaScript asks for text, as in a template string. @throws Error for operators such as +, naming methods to use
   */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new Error(
      `tensor: an operator of JavaScript on ${this}, want methods: a.add(b), a.mul(b), a.less(b), a.equal(b), or await a.item()`,
    );
  }

  /** Type, shape and backend as text: `Tensor(float32 [2, 3] on cpu: float32)`. */
  toString(): string {
    return `Tensor(${this.dtype} ${formatShape(this.shape)} on ${this.backend.name})`;
  }

  /** What `console.log` shows in Node. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Runs an op on tensors of this backend. @internal */
  abstract apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[];

  /** This, as a Tensor. */
  protected get self(): Tensor {
    return this as unknown as Tensor; // every instance is one: nothing else ends the chain
  }

  /** Runs an op with one operand and one result. */
  protected only<Attrs>(op: Op<Attrs>, attrs: Attrs): Tensor {
    return this.apply(op, [this.self], attrs)[0];
  }
}

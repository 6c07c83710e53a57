// What every tensor holds: storage, how it is read, its place in the graph. Its methods are families in a chain of classes.

import type { Origin } from "../autograd/graph.ts";
import type { Backend } from "../backend.ts";
import { currentSession } from "../capture/session.ts";
import type { Slot, Storage } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import { type DType, formatShape, type Layout, type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/**
 * The root of the chain Handle ← Views ← Arithmetic ← Functions ← Comparisons ← Reductions ← Indexing ← Normalisation ← Products ←
 * Images ← Tensor. A family calls on `this` what stands before it in the chain, and every method on the tensors that these return.
 */
export abstract class Handle {
  /** Internal: where the elements are; shared with the collector's safety net. */
  readonly slot: Slot;
  /** Internal: identity in the graph. */
  readonly origin: Origin;
  /** Internal: how the storage is read. */
  layout: Layout;
  readonly dtype: DType;
  readonly backend: Backend;

  /** Internal; use `tensor`, `zeros`, … or a method. */
  constructor(backend: Backend, storage: Storage | null, layout: Layout, dtype: DType, origin: Origin) {
    this.slot = { storage };
    this.backend = backend;
    this.layout = layout;
    this.dtype = dtype;
    this.origin = origin;
    currentSession()?.bear(this.self);
  }

  /** The number of elements along each axis. */
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

  /** Whether the elements are freed. */
  get disposed(): boolean {
    return this.slot.storage === null;
  }

  /** Internal. @throws Error when the tensor is disposed */
  get storage(): Storage {
    const { storage } = this.slot;
    if (storage === null)
      throw new Error(`tensor: this ${this} is disposed (by dispose or at the end of a tidy), want a live one`);
    return storage;
  }

  /** JavaScript's operators cannot compute with tensors. @throws Error with the methods to use, but for text */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new Error(
      `tensor: an operator of JavaScript on ${this}, want methods: a.add(b), a.mul(b), a.less(b), a.equal(b), or await a.item()`,
    );
  }

  /** Type, shape and backend, such as "Tensor(float32 [2, 3] on cpu: float32)". */
  toString(): string {
    return `Tensor(${this.dtype} ${formatShape(this.shape)} on ${this.backend.name})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Internal: runs an op on tensors of this backend. */
  abstract apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[];

  /** This, as a Tensor. */
  protected get self(): Tensor {
    return this as unknown as Tensor; // every instance is one: nothing else ends the chain
  }

  /** An op with one operand and one result. */
  protected only<Attrs>(op: Op<Attrs>, attrs: Attrs): Tensor {
    return this.apply(op, [this.self], attrs)[0];
  }
}

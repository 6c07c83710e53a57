// class Tensor, and `apply`, which alone runs and records ops. What an op computes stands in ops/, most methods in tensor/.
/// <reference lib="esnext.disposable" preserve="true" />

import { expectBackend, expectTensor, expectTensors, wrongArgument } from "./argument.ts";
import { isRead, isRecomputable, isRecording, isSketching, isTracked, type Origin, record } from "./autograd/graph.ts";
import type { Backend } from "./backend.ts";
import { tracerOn } from "./capture/step.ts";
import { blank, compute, copyOf, type Elements } from "./compute.ts";
import { tell } from "./debug/observer.ts";
import { backendFor } from "./defaultBackend.ts";
import { change } from "./memory/atomic.ts";
import { adopt, disown, nextBirth, type Slot, type Storage } from "./memory/memory.ts";
import { noteDeed, noteRead, refuseChange } from "./memory/reads.ts";
import type { NumberArray, Op } from "./op.ts";
import { type DType, formatShape, isContiguous, type Layout, ShapeError, sameShape } from "./shape.ts";
import { Images } from "./tensor/images.ts";

/** Numbers in nested arrays. `tensor` takes them and `array` returns them. */
export type NestedNumbers = number | readonly NestedNumbers[];

/**
 * An immutable array of at most eight axes on a backend.
 * Methods queue work and return at once; only `data`, `array`, `item` and `to` wait. Two operands broadcast as in NumPy.
 * A method checks its arguments first: it throws ShapeError for shapes, and Error for types and backends, before any work.
 */
export class Tensor extends Images {
  /** Where the elements are; shared with the collector's safety net. @internal */
  readonly slot: Slot;
  /** Identity in the graph. @internal */
  readonly origin: Origin;
  /** How many had been made before it. @internal */
  readonly birth = nextBirth();
  /** How the storage is read. @internal */
  layout: Layout;
  /** The type of the elements. */
  readonly dtype: DType;
  /** Where the elements are, and where methods run. */
  readonly backend: Backend;

  /** Use `tensor`, `zeros`, … or a method. @internal */
  constructor(backend: Backend, storage: Storage | null, layout: Layout, dtype: DType, origin: Origin) {
    super();
    this.slot = { storage };
    this.backend = backend;
    this.layout = layout;
    this.dtype = dtype;
    this.origin = origin;
  }

  /** Whether the tensor is disposed: any use of it throws. */
  get disposed(): boolean {
    return this.slot.storage === null;
  }

  /** Where its elements lie. @internal @throws Error when the tensor is disposed */
  get storage(): Storage {
    const { storage } = this.slot;
    if (storage === null)
      throw new Error(`tensor: this ${this} is disposed (by dispose or at the end of a tidy), want a live one`);
    return storage;
  }

  /**
   * The elements in row-major order, a copy. Waits until they are computed. Bools come as 0 and 1.
   * In a captured function they are there when the step has ended.
   * @throws Error when the device failed (`DeviceLostError`, `DeviceStalledError`)
   */
  async data(): Promise<NumberArray> {
    const source = this.materialised();
    const { storage, layout } = source;
    storage.retain();
    if (source !== this) source.dispose();
    const read = (): Promise<NumberArray> => {
      try {
        return this.backend.download(storage.buffer, this.dtype, layout.offset, this.size);
      } finally {
        storage.release();
      }
    };
    return storage.pending ? storage.pending.after(read, () => storage.release()) : read();
  }

  /** The only element. Waits until it is computed. @throws ShapeError unless there is one element */
  async item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: shape ${formatShape(this.shape)}, want one element`);
    return (await this.data())[0];
  }

  /** The elements as nested arrays, a number for a scalar. Waits until they are computed. */
  async array(): Promise<NestedNumbers> {
    const data = await this.data();
    const nest = (axis: number, start: number, size: number): NestedNumbers => {
      if (axis === this.rank) return data[start];
      const step = size / this.shape[axis];
      return Array.from({ length: this.shape[axis] }, (_, k) => nest(axis + 1, start + k * step, step));
    };
    return nest(0, 0, this.size);
  }

  /** Frees the elements once no view of them lives. Any later use of this tensor throws; disposing it again does nothing. */
  dispose(): void {
    if (this.slot.storage === null) return;
    this.slot.storage.release();
    this.slot.storage = null;
    disown(this);
  }

  /** Disposes the tensor at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Gives this tensor the value of another, which is disposed. Optimizers update parameters so.
   * @param value a tensor of the same shape, type and backend
   * @throws ShapeError when shape or type differs; Error when the backend differs, and in a function that is being differentiated
   */
  assign(value: Tensor): void {
    expectTensor("assign", "value", value);
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new ShapeError(`assign: ${value} to ${this}, want the same shape and type`);
    }
    if (value.backend !== this.backend) throw new Error(`assign: ${value} to ${this}, want the same backend`);
    if (isRecording() && (isTracked(this) || isTracked(value))) {
      throw new Error("assign: called inside a function that is being differentiated, want it outside");
    }
    refuseChange("assign", this);
    noteRead(value);
    noteDeed("assign", undefined, [value], [this]);
    const source = value.materialised();
    const { storage, layout } = source;
    this.rememberStorage();
    if (!tracerOn(this.backend)?.assign(this, source)) this.storage.release();
    this.slot.storage = storage.retain();
    this.layout = layout;
    if (source !== value) source.dispose();
    value.dispose();
  }

  /** The same value as a constant: no gradient flows through it. A view. */
  detach(): Tensor {
    noteRead(this);
    const constant = tensorOf({ storage: this.storage.retain(), layout: this.layout, dtype: this.dtype });
    noteDeed("detach", undefined, [this], [constant]);
    return constant;
  }

  /**
   * A copy of the elements on another backend. Waits until they are computed. No gradient flows through it.
   * @throws Error inside a function that is being differentiated
   */
  async to(backend: Backend): Promise<Tensor> {
    expectBackend("to", "backend", backend);
    if (isRecording() && isTracked(this)) {
      throw new Error(
        "to: called inside a function that is being differentiated, want it outside: it has no derivative",
      );
    }
    const { shape, dtype } = this;
    const data = await this.data();
    const elements = blank(backend, { shape, dtype }, "to");
    try {
      backend.upload(elements.storage.buffer, dtype, data);
    } catch (error) {
      elements.storage.release();
      throw error;
    }
    return tensorOf(elements);
  }

  /** Runs an op on tensors of this backend. @internal */
  override apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[] {
    return apply(op, inputs, attrs, this.backend);
  }

  /** A second handle on the same value that the graph owns. A `hollow` one knows the shape alone. @internal */
  alias(hollow: boolean): Tensor {
    const storage = hollow ? null : this.storage.retain();
    return new Tensor(this.backend, storage, this.layout, this.dtype, this.origin);
  }

  /** If the current step fails, restores the storage that this tensor has now. */
  private rememberStorage(): void {
    const { storage, layout } = this;
    storage.pin();
    const settle = () => storage.unpin();
    const undo = () => {
      if (!this.disposed) {
        this.storage.release();
        this.slot.storage = storage.retain();
        this.layout = layout;
      }
      storage.unpin();
    };
    change({ undo, settle });
  }

  /** This tensor if it is row-major, otherwise a copy outside of the graph. */
  private materialised(): Tensor {
    return isContiguous(this.layout) ? this : tensorOf(copyOf(this));
  }
}

/**
 * Runs an op on tensors: checks them, infers the shapes of the results, queues the kernels, and records the op for differentiation.
 * @param given the op's attributes; undefined for an op without any
 * @param on the backend. Default: that of the operands, or of `setDefaultBackend` if there are none
 * @throws Error for disposed operands, types that the op does not take, or operands on several backends; ShapeError from `infer`
 */
export function apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], given: Attrs, on?: Backend): Tensor[] {
  if (typeof op?.infer !== "function") throw wrongArgument("apply", "op", op, "what defineOp or elementwise gave");
  if (!Array.isArray(inputs)) expectTensors(op.name, "operands", inputs);
  const backend = on ?? inputs[0]?.backend ?? backendFor(op.name, on);
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (!(input instanceof Tensor)) expectTensor(op.name, `operand ${i}`, input);
    if (input.disposed) throw new Error(`${op.name}: operand ${i}, ${input}, is disposed, want a live tensor`);
    if (input.backend !== backend) {
      throw new Error(`${op.name}: operands on ${backend.name} and on ${input.backend.name}, want one backend`);
    }
    noteRead(input);
    if (op.inPlace?.includes(i)) refuseChange(op.name, input);
  }
  if (op.inPlace && isRecording() && inputs.some(isTracked)) {
    throw new Error(`${op.name}: called inside a function that is being differentiated, want it outside`);
  }
  const outputs = compute(op, inputs, given, backend).map(tensorOf);
  noteDeed(op, given, inputs, outputs);
  if (isRecording() && (op.vjp || op.composed) && inputs.some(isTracked)) {
    const rule = op as Op<unknown>; // a node passes its attrs to its own op only
    const isHollow = isSketching();
    const { outputs: saved } = op.saves ?? {};
    record(
      rule,
      given,
      inputs.map((input, i) => input.alias(isHollow || !isRead(rule, i) || isRecomputable(input))),
      outputs.map((output, i) => output.alias(isHollow || (saved ? !saved.includes(i) : op.saves !== undefined))),
    );
  }
  tell(op as Op<unknown>, inputs, outputs, given); // observers never run it
  return outputs;
}

/** A tensor that owns elements. */
export function tensorOf({ storage, layout, dtype }: Elements): Tensor {
  const tensor = new Tensor(storage.backend, storage, layout, dtype, newOrigin());
  adopt(tensor);
  return tensor;
}

function newOrigin(): Origin {
  return { node: null, tracked: 0, mark: 0, number: 0 };
}

// What an op's webgpu rule gives for operands that lie in one way, kept: its calls with kernels compiled and parameters packed.

import type { Operand } from "../../../backend.ts";
import type { Op } from "../../../op.ts";
import type { Shape } from "../../../shape.ts";
import type { GpuTarget, KernelCall } from "../rule.ts";
import type { ParamsPlace, Place } from "./bindGroups.ts";
import type { ConstantsStore } from "./constants.ts";
import { dispatchSize } from "./grid.ts";
import { NumberMap } from "./numberMap.ts";
import { type Field, writeParams } from "./params.ts";
import type { Kernel, Pipelines } from "./pipelines.ts";

/** A kernel call on any buffers. */
export interface PreparedCall {
  readonly kernel: Kernel;
  readonly call: KernelCall;
  /** In x and y. */
  readonly workgroups: readonly [number, number];
  /** The parameters as the kernel reads them. */
  readonly params: Uint8Array<ArrayBuffer>;
  /** Where they lie, if they never change. */
  readonly constants: ParamsPlace | null;
  /** Those of them that the op's perStep rule gives. */
  readonly changing: readonly Field[];
  /** What it binds: inputs, outputs and scratch, counted in this order, or what the rule brought itself. */
  readonly bindings: readonly (number | Place)[];
}

/** An op's calls, and how many elements of scratch they take. */
export interface Prepared {
  readonly calls: readonly PreparedCall[];
  readonly scratch: readonly number[];
}

/** A training step has some hundreds, a kilobyte or two each. Attributes that change without a perStep rule make more at every step. */
const MOST = 4096;
/** What comes next in the description of attributes. */
const [NUMBER, ARRAY, FIELD, END, NAME] = [0, 1, 2, 3, 4];

/**
 * The calls of each op by what they follow from: types and layouts of the operands, and attributes. Making them takes as long as all
 * else that a dispatch costs the host (elementwise ops), up to four times as long (products, whose tiles are chosen).
 */
export class PreparedCalls {
  private readonly target: GpuTarget;
  private readonly pipelines: Pipelines;
  private readonly constants: ConstantsStore;
  private readonly known = new NumberMap<Prepared>(MOST);
  /** Numbers for ops, types, and names in attributes. */
  private readonly names = new Map<unknown, number>();

  constructor(target: GpuTarget, pipelines: Pipelines, constants: ConstantsStore) {
    this.target = target;
    this.pipelines = pipelines;
    this.constants = constants;
  }

  /** @throws Error for an op without a webgpu rule, or whose perStep rule does not give what its kernels get */
  get<Attrs>(op: Op<Attrs>, outputs: readonly Operand[], inputs: readonly Operand[], attrs: Attrs): Prepared {
    this.known.begin();
    this.name(op);
    this.known.add(inputs.length);
    for (const operand of inputs) this.describe(operand);
    // They lie row-major.
    for (const { shape, dtype } of outputs) {
      this.name(dtype);
      this.list(shape);
    }
    if (!op.perStep) this.describeValue(attrs);
    let prepared = this.known.get();
    if (!prepared) {
      prepared = this.prepare(op, outputs, inputs, attrs);
      this.known.set(prepared);
    }
    return prepared;
  }

  /** Forgets all of them: rules may choose otherwise from now on. */
  clear(): void {
    this.known.clear();
    this.names.clear();
  }

  private prepare<Attrs>(
    op: Op<Attrs>,
    outputs: readonly Operand[],
    inputs: readonly Operand[],
    attrs: Attrs,
  ): Prepared {
    if (!op.webgpu) throw new Error(`${op.name}: has no webgpu rule`);
    // Objects instead of the operands' buffers: unlike these they are distinct even where one tensor is two operands.
    const standIns: object[] = [];
    const standIn = (operand: Operand): Operand => {
      const buffer = {};
      standIns.push(buffer);
      return { ...operand, buffer, base: 0 };
    };
    const scratch: number[] = [];
    const calls = op.webgpu.calls({
      inputs: inputs.map(standIn),
      outputs: outputs.map(standIn),
      attrs,
      target: this.target,
      temporary: (size) => ({ temporary: scratch.push(size) - 1, size }),
    });
    return {
      scratch,
      calls: calls.map((call, k) => {
        const changing = op.perStep?.(attrs, inputs, k) ?? {};
        const kernel = this.pipelines.get(op.name, call, Object.keys(changing).length > 0);
        const params = new Uint8Array(kernel.params?.bytes ?? 0);
        if (kernel.params) writeParams(new DataView(params.buffer), 0, kernel.params, call.params ?? {});
        return {
          kernel,
          call,
          workgroups: dispatchSize(op.name, call.grid, kernel.workgroup),
          params,
          constants: kernel.params && !kernel.isDynamic ? this.constants.add(params) : null,
          changing: changingFields(op.name, kernel, call, changing),
          bindings: call.bindings.map((binding) => {
            if ("temporary" in binding) return standIns.length + binding.temporary;
            const operand = binding as Operand; // views are the operands that the rule was given, or brought
            const at = standIns.indexOf(operand.buffer);
            return at < 0 ? (operand as Place) : at; // its buffer, too, is this backend's
          }),
        };
      }),
    };
  }

  private describe({ shape, strides, offset, dtype }: Operand): void {
    this.name(dtype);
    this.list(shape);
    for (const stride of strides) this.known.add(stride);
    this.known.add(offset);
  }

  private list(shape: Shape): void {
    this.known.add(shape.length);
    for (const n of shape) this.known.add(n);
  }

  private describeValue(value: unknown): void {
    if (typeof value === "number") {
      this.known.add(NUMBER);
      this.known.add(value);
    } else if (Array.isArray(value)) {
      this.known.add(ARRAY);
      this.known.add(value.length);
      for (const part of value) this.describeValue(part);
    } else if (typeof value === "object" && value !== null) {
      for (const name in value) {
        this.known.add(FIELD);
        this.name(name);
        this.describeValue(value[name as keyof typeof value]);
      }
      this.known.add(END);
    } else {
      this.known.add(NAME);
      this.name(value);
    }
  }

  private name(thing: unknown): void {
    let number = this.names.get(thing);
    if (number === undefined) {
      number = this.names.size;
      this.names.set(thing, number);
    }
    this.known.add(number);
  }
}

function changingFields(
  op: string,
  { params: layout }: Kernel,
  { params = {} }: KernelCall,
  changing: NonNullable<KernelCall["params"]>,
): readonly Field[] {
  const fields = layout?.fields.filter(({ name }) => name in changing) ?? [];
  for (const { name } of fields) {
    if (`${changing[name]}` === `${params[name]}`) continue;
    throw new Error(
      `${op}: perStep gives ${name} = ${changing[name]}, and the kernel got ${params[name]}, want the same`,
    );
  }
  return fields;
}

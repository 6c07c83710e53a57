// The storages of a captured step by number, and elements in them as data that a trace can keep.

import { isTensor } from "../argument.ts";
import type { Backend } from "../backend.ts";
import type { Elements } from "../compute.ts";
import { births, type Pending, Storage } from "../memory/memory.ts";
import { contiguousLayout, type DType, type Layout, type Spec, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Piece, Produced, Ref, RunOperand, Use } from "./trace.ts";

/** A part of a storage, copied to `elements`. */
export interface Part {
  readonly from: Layout;
  readonly elements: Elements;
}

/** The tensors from before the step through which a region uses external storages. */
export class Uses {
  readonly all = new Map<Tensor, Use>();
  /** Whether it also uses an external storage that none of these tensors has. */
  isPartial = false;
}

export class StepStorages {
  /** The storages made in the step, by number. Those that no tensor had are missing. */
  readonly made: (Storage | undefined)[] = [];
  /** The storages from before the step: number −1 first. */
  readonly external: Storage[] = [];
  private readonly backend: Backend;
  private readonly step: Pending;
  /** One for each region under way. */
  private readonly uses: Uses[] = [];
  /** Tensors with this birth or a later one were made in the step. */
  private readonly firstBirth = births();
  private readonly parts = new Map<Storage, Part[]>();

  /** @param step writes the elements of made and overwritten storages when it ends */
  constructor(backend: Backend, step: Pending) {
    this.backend = backend;
    this.step = step;
  }

  isExternal(storage: Storage): boolean {
    return !(storage.knownTo === this.step && storage.ref >= 0);
  }

  /** Whether it is external and has been used in the step. */
  isKnown(storage: Storage): boolean {
    return storage.knownTo === this.step && storage.ref < 0;
  }

  /** Whether the step will write elements of it when it ends. */
  isWritten(storage: Storage): boolean {
    return storage.pending === this.step;
  }

  refOf(storage: Storage): Ref {
    if (storage.knownTo === this.step) return storage.ref;
    if (!storage.place) void storage.buffer; // which throws: an earlier step that was to make it has failed
    storage.knownTo = this.step;
    storage.ref = -1 - this.external.length;
    storage.pin(); // the step may read it when it ends, whoever lets go of it meanwhile
    this.external.push(storage);
    return storage.ref;
  }

  /** Forgets the external storages that were used last. @param count how many remain */
  forget(count: number): void {
    for (const storage of this.external.splice(count)) {
      storage.knownTo = null;
      storage.unpin();
    }
  }

  // -- elements as data ------------------------------------------------------------------------------------------------

  /** Begins a region. */
  enter(uses: Uses): void {
    this.uses.push(uses);
  }

  /** Ends it. */
  exit(): void {
    this.uses.pop();
  }

  /** Notes, for the regions under way, a tensor through which they use an external storage. */
  note(elements: Elements): void {
    if (this.uses.length === 0 || !isTensor(elements)) return;
    const { storage, layout, birth } = elements;
    if (!this.isExternal(storage)) return;
    const isKnown = this.isKnown(storage);
    const ref = this.refOf(storage);
    for (const uses of this.uses) {
      if (birth >= this.firstBirth) uses.isPartial ||= !isKnown;
      else if (!uses.all.has(elements)) uses.all.set(elements, { tensor: elements, ref, layout });
    }
  }

  pieceOf(elements: Elements): Piece {
    this.note(elements);
    return { ref: this.refOf(elements.storage), layout: elements.layout, dtype: elements.dtype };
  }

  /** @param inputs those of the call that returned it */
  producedOf(output: Elements, inputs: readonly Elements[]): Produced {
    const input = inputs.findIndex(({ storage }) => storage === output.storage);
    const { ref, layout, dtype } = this.pieceOf(output);
    return { ref, layout, dtype, size: output.storage.size, input };
  }

  operandOf(elements: Elements, base: number): RunOperand {
    const { shape, strides, offset } = elements.layout;
    return { ref: this.refOf(elements.storage), shape, strides, offset: offset - base, dtype: elements.dtype, base };
  }

  // -- new storages ----------------------------------------------------------------------------------------------------

  /** Row-major elements in a new storage with the next number. */
  blank({ shape, dtype }: Spec, label: string): Elements {
    const storage = this.storageOf(this.made.length, sizeOf(shape), dtype, label);
    return { storage, layout: contiguousLayout(shape), dtype };
  }

  /** The elements of this step that correspond to what a call of an earlier step returned. */
  take({ ref, layout, dtype, size, input }: Produced, inputs: readonly Elements[]): Elements {
    if (input < 0) return { storage: this.storageOf(ref, size, dtype, "capture"), layout, dtype };
    const storage = inputs[input].storage.retain();
    if (ref < 0) this.overwrite(storage);
    return { storage, layout, dtype };
  }

  /** Retains the storage of a number, and makes it if this step has none of that number. */
  retained(ref: Ref, size: number, dtype: DType): Storage {
    if (ref < 0) return this.external[-1 - ref].retain();
    return this.made[ref]?.retain() ?? this.storageOf(ref, size, dtype, "capture");
  }

  private storageOf(ref: Ref, size: number, dtype: DType, label: string): Storage {
    const storage = new Storage(this.backend, size, dtype, label, this.step);
    storage.knownTo = this.step;
    storage.ref = ref;
    this.made[ref] = storage;
    return storage;
  }

  // -- external storages -----------------------------------------------------------------------------------------------

  /** Says that the step overwrites it. */
  overwrite(storage: Storage): void {
    storage.pending = this.step;
    this.parts.delete(storage);
  }

  /** The copies of its parts since it was last overwritten. More may be added. */
  partsOf(storage: Storage): Part[] {
    const known = this.parts.get(storage);
    if (known) return known;
    const parts: Part[] = [];
    this.parts.set(storage, parts);
    return parts;
  }

  // -- the end ---------------------------------------------------------------------------------------------------------

  /** The numbers of the storages that were made and are still held. */
  held(): Ref[] {
    const held: Ref[] = [];
    for (let ref = 0; ref < this.made.length; ref++) if (this.made[ref]?.isHeld) held.push(ref);
    return held;
  }

  /** Releases everything. @param hasFailed whether storages without memory stay without */
  end(hasFailed: boolean): void {
    for (const storage of this.made) {
      if (!storage) continue;
      if (!hasFailed || storage.place) storage.pending = null;
      storage.knownTo = null;
    }
    for (const storage of this.external) {
      if (storage.pending === this.step) storage.pending = null;
      storage.knownTo = null;
      storage.unpin();
    }
  }
}

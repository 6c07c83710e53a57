// Tensors to which a captured step assigns other storage. At its end their elements are copied into the storage that they had.

import type { Elements } from "../compute.ts";
import type { Storage } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/layout/copy.ts";
import { isContiguous, type Layout, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Following } from "./following.ts";
import type { Notes } from "./notes.ts";
import type { StepStorages } from "./storages.ts";
import { type Piece, samePiece } from "./trace.ts";

/** The storage and layout that a tensor had. */
interface Whereabouts {
  readonly storage: Storage;
  readonly layout: Layout;
}

export class Displaced {
  private readonly storages: StepStorages;
  private readonly notes: Notes;
  private readonly following: Following;
  /** The old storages are retained here. */
  private readonly tensors = new Map<Tensor, Whereabouts>();

  constructor(storages: StepStorages, notes: Notes, following: Following) {
    this.storages = storages;
    this.notes = notes;
    this.following = following;
  }

  /** `target` is about to lose its storage to `source`. @returns whether its storage is kept, so that the caller must not release it */
  assign(target: Tensor, source: Elements): boolean {
    if (source.storage === target.storage) return false; // it was overwritten in place
    if (!this.storages.isExternal(target.storage) && !this.tensors.has(target)) return false; // made in this step
    const piece = this.storages.pieceOf(source);
    const call = this.following.expected(
      (next) => next.kind === "assign" && next.target === target && samePiece(next.source, piece),
    );
    if (!call) this.notes.push({ kind: "assign", target, source: piece });
    return this.keep(target);
  }

  /** Repeats an assignment of an earlier step. */
  assignAgain(target: Tensor, { ref, layout, dtype }: Piece): void {
    const storage = this.storages.retained(ref, sizeOf(layout.shape), dtype);
    if (storage === target.storage) {
      storage.release();
      return;
    }
    if (!this.keep(target)) target.storage.release();
    target.slot.storage = storage;
    target.layout = layout;
  }

  /** Copies the elements into the storages that the tensors had. */
  putBack(): void {
    for (const [tensor, was] of [...this.tensors]) this.putBackOne(tensor, was);
  }

  /** Leaves the tensors the storages that they were assigned. */
  settle(): void {
    for (const { storage } of this.tensors.values()) storage.release();
    this.tensors.clear();
  }

  /** Gives the tensors back the storages that they had: the step has failed. */
  undo(): void {
    for (const [tensor, { storage, layout }] of this.tensors) {
      if (tensor.disposed) storage.release();
      else {
        tensor.storage.release();
        tensor.slot.storage = storage;
        tensor.layout = layout;
      }
    }
    this.tensors.clear();
  }

  private keep(target: Tensor): boolean {
    if (!this.storages.isExternal(target.storage) || this.tensors.has(target)) return false;
    this.tensors.set(target, { storage: target.storage, layout: target.layout });
    return true;
  }

  private putBackOne(tensor: Tensor, was: Whereabouts): void {
    this.tensors.delete(tensor);
    if (tensor.disposed) {
      was.storage.release();
      return;
    }
    const source = { storage: tensor.storage, layout: tensor.layout, dtype: tensor.dtype };
    const isFree =
      !was.storage.isShared && isContiguous(was.layout) && was.layout.offset === 0 && isContiguous(source.layout);
    if (!isFree) {
      was.storage.release();
      return;
    }
    const target = this.storages.refOf(was.storage);
    const piece = this.storages.pieceOf(source);
    const call = this.following.expected(
      (next) => next.kind === "putBack" && next.target === target && samePiece(next.source, piece),
    );
    if (!call) this.notePutBack({ ...was, dtype: tensor.dtype }, source, piece);
    this.storages.overwrite(was.storage);
    tensor.slot.storage = was.storage;
    tensor.layout = was.layout;
    source.storage.release();
  }

  private notePutBack(target: Elements, source: Elements, piece: Piece): void {
    const { storages, notes } = this;
    notes.flushLate();
    notes.append({
      op: ops.copy as unknown as Op<unknown>,
      attrs: undefined,
      inputs: [storages.operandOf(source, 0)],
      outputs: [storages.operandOf(target, 0)],
    });
    notes.push({ kind: "putBack", target: storages.refOf(target.storage), source: piece });
  }
}

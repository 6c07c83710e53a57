// Methods of Tensor that read and sum elements by index.

import * as ops from "../ops/index.ts";
import { resolveAxis } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Reductions } from "./reductions.ts";

/** Elements by int32 index, and sums by index. */
export abstract class Indexing extends Reductions {
  /**
   * Rows by index: [rows, ...rest] and int32 indices of any shape → [...indices, ...rest].
   * An index outside of the table throws on the host's backends and reads zeros on a GPU.
   */
  gather(indices: Tensor): Tensor {
    return this.apply(ops.gather, [this.self, indices], undefined)[0];
  }

  /** Sums of rows by index, the transpose of gather: [...indices, ...rest] → [rows, ...rest]. */
  scatterAdd(indices: Tensor, rows: number): Tensor {
    return this.apply(ops.scatterAdd, [this.self, indices], { rows })[0];
  }

  /**
   * Elements along an axis by index, each line with indices of its own: result[…, j, …] = this[…, indices[…, j, …], …], as PyTorch's
   * gather and NumPy's take_along_axis. `indices` (int32) has this shape but for the axis. An index outside is as in `gather`.
   */
  gatherAlong(indices: Tensor, axis = -1): Tensor {
    const at = resolveAxis("gatherAlong", axis, this.rank);
    return this.apply(ops.gatherAlong, [this.self, indices], { axis: at })[0];
  }

  /**
   * Sums by index along an axis, the transpose of gatherAlong: this and `indices` (int32) have one shape, the result `length`
   * elements along the axis. Takes time in their number times `length`.
   */
  scatterAlong(indices: Tensor, length: number, axis = -1): Tensor {
    const at = resolveAxis("scatterAlong", axis, this.rank);
    return this.apply(ops.scatterAlong, [this.self, indices], { axis: at, length })[0];
  }

  /** For int32 indices: float32 [...this, depth] with 1 at each index and 0 elsewhere. */
  oneHot(depth: number): Tensor {
    return this.only(ops.oneHot, { depth });
  }
}

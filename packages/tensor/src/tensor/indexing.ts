// Methods of Tensor that read and sum elements by index.

import { isTensor, wrongArgument } from "../argument.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/index.ts";
import { resolveAxis } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Reductions } from "./reductions.ts";

/** Elements by int32 index, and sums by index. */
export abstract class Indexing extends Reductions {
  /**
   * Rows of a table by index: this [rows, ...rest] and `indices` [...indices] → [...indices, ...rest], in the type of this.
   * The gradient adds up in the rows. An index outside of [0, rows) reads NaN of float32, 0 of integers and false of bool.
   * @param indices int32, of any shape
   * @throws Error unless `indices` are int32 and on this backend; ShapeError for a scalar table
   */
  gather(indices: Tensor): Tensor {
    return this.by(indices, ops.gather, undefined);
  }

  /**
   * Sums of rows by index, the transpose of `gather`: this [...indices, ...rest] → [rows, ...rest]. A row that no index names is 0.
   * It reads every index for each row, so it suits tables of hundreds of rows. Values of an index outside of [0, rows) are in no sum.
   * @param indices int32 [...indices]
   * @throws Error unless this is float32 and `indices` are int32 and on this backend; ShapeError when their shapes do not fit
   */
  scatterAdd(indices: Tensor, rows: number): Tensor {
    return this.by(indices, ops.scatterAdd, { rows });
  }

  /**
   * One element per index along an axis: result[…, j, …] = this[…, indices[…, j, …], …], as PyTorch's `gather` and NumPy's
   * `take_along_axis`. An index outside of the axis is as in `gather`.
   * @param indices int32, in the shape of this but for the length of the axis
   * @throws Error unless `indices` are int32 and on this backend; ShapeError when their shapes do not fit
   */
  gatherAlong(indices: Tensor, axis = -1): Tensor {
    const at = resolveAxis("gatherAlong", axis, this.rank);
    return this.by(indices, ops.gatherAlong, { axis: at });
  }

  /**
   * Sums by index along an axis, the transpose of `gatherAlong`: element k along the axis is the sum of the elements with index k.
   * It takes time proportional to the number of elements times `length`.
   * @param indices int32, in the shape of this
   * @param length how many elements the result has along the axis, an integer ≥ 0
   * @throws Error unless this is float32 and `indices` are int32 and on this backend; ShapeError when shapes differ
   */
  scatterAlong(indices: Tensor, length: number, axis = -1): Tensor {
    const at = resolveAxis("scatterAlong", axis, this.rank);
    return this.by(indices, ops.scatterAlong, { axis: at, length });
  }

  /**
   * Indicator vectors of int32 indices: float32 [...this, depth], 1 at the index and 0 elsewhere. An index outside gives zeros.
   * @param depth an integer > 0
   * @throws Error unless this is int32
   */
  oneHot(depth: number): Tensor {
    return this.only(ops.oneHot, { depth });
  }

  /** An op of this and indices. @throws Error unless these are int32 and on this backend */
  private by<Attrs>(indices: Tensor, op: Op<Attrs>, attrs: Attrs): Tensor {
    if (!isTensor(indices) || indices.dtype !== "int32") {
      throw wrongArgument(op.name, "indices", indices, 'a tensor of int32, such as tensor([0, 2], { dtype: "int32" })');
    }
    if (indices.backend !== this.backend) {
      throw new Error(`${op.name}: indices is ${indices}, want a tensor on ${this.backend.name}`);
    }
    return this.apply(op, [this.self, indices], attrs)[0];
  }
}

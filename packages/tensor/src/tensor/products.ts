// Methods of Tensor for products of matrices: matmul and attention.

import { expectNumber, expectTensor, expectTensors, optionsOf } from "../argument.ts";
import type { BiasOptions } from "../ops/conv/convShape.ts";
import * as ops from "../ops/index.ts";
import { broadcastShapes, formatShape, type Shape, ShapeError, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Normalisation } from "./normalisation.ts";

/** Products of matrices. */
export abstract class Products extends Normalisation {
  /**
   * The matrix product over the last two axes: [..., m, k] × [..., k, n] → [..., m, n]. Leading axes broadcast.
   * Transposed views are read without a copy.
   * @param options `bias` is added in the same pass; it broadcasts to the result
   * @throws ShapeError when shapes do not fit
   */
  matmul(b: Tensor, options: BiasOptions = {}): Tensor {
    expectTensor("matmul", "b", b);
    const { bias } = optionsOf("matmul", options, "{ bias }");
    if (bias !== undefined) expectTensor("matmul", "bias", bias);
    if (this.rank < 2 || b.rank < 2) {
      throw new ShapeError(
        `matmul: ${formatShape(this.shape)} × ${formatShape(b.shape)}, want at least two axes on both sides`,
      );
    }
    const [m, k] = this.shape.slice(-2);
    if (b.rank === 2 && this.rank > 2) {
      const rows = sizeOf(this.shape.slice(0, -1));
      const shape = [...this.shape.slice(0, -1), b.shape[1]];
      // Reshaping a view that repeats several axes copies it.
      const flat = bias && bias.rank > 1 ? bias.expand(shape).reshape([rows, b.shape[1]]) : bias;
      return this.reshape([rows, k]).matmul(b, { bias: flat }).reshape(shape);
    }
    const batch = broadcastShapes("matmul", this.shape.slice(0, -2), b.shape.slice(0, -2));
    const operands = [this.expand([...batch, m, k]), b.expand([...batch, ...b.shape.slice(-2)])];
    if (bias) operands.push(bias.expand([...batch, m, b.shape[b.rank - 1]]));
    return this.apply(ops.matmul, operands, undefined)[0];
  }

  /**
   * Scaled dot-product attention softmax(scale · q kᵀ + mask) v, with this as q (Vaswani et al. 2017, arXiv:1706.03762).
   * Shapes: q [..., queries, depth], k [..., keys, depth], v [..., keys, width] → [..., queries, width]; leading axes broadcast.
   * Without a mask the scores [..., queries, keys] are never stored (flash attention, Dao et al. 2022, arXiv:2205.14135).
   * @param options `scale` is 1 / √depth by default. `mask` broadcasts to [..., queries, keys]: a float32 mask is added to the
   * scores, and a bool mask is true where a query sees a key
   * @returns for a query that a bool mask shows no key, the mean of all v; for one whose float32 mask is −∞ throughout, NaN
   * @throws ShapeError when shapes do not fit
   */
  attention(k: Tensor, v: Tensor, options: { readonly scale?: number; readonly mask?: Tensor } = {}): Tensor {
    const { scale, mask } = optionsOf("attention", options, "{ scale: 0.125, mask }");
    expectTensors("attention", "[k, v]", [k, v]);
    if (mask !== undefined) expectTensor("attention", "mask", mask);
    if (scale !== undefined) expectNumber("attention", "scale", scale);
    if (this.rank < 2 || k.rank < 2 || v.rank < 2) {
      throw new ShapeError(
        `attention: q ${formatShape(this.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)}, want at least two axes`,
      );
    }
    const factor = scale ?? this.shape[this.rank - 1] ** -0.5;
    if (mask) {
      const scores = this.matmul(k.transpose()).mul(factor);
      return (mask.dtype === "bool" ? scores.seen(mask) : scores.add(mask)).softmax().matmul(v);
    }
    const leading = [k, v].reduce<Shape>(
      (shape, { shape: other }) => broadcastShapes("attention", shape, other.slice(0, -2)),
      this.shape.slice(0, -2),
    );
    const operands = [this.self, k, v].map((x) => x.expand([...leading, ...x.shape.slice(-2)]));
    return this.apply(ops.attention, operands, { scale: factor })[0];
  }

  /** Scores of attention as they are where a bool mask is true, elsewhere −∞; 0 in rows where it is false everywhere. */
  private seen(mask: Tensor): Tensor {
    const rows = mask.rank === 0 ? mask.reshape([1]) : mask;
    const seesNone = rows.cast("float32").max(-1, { keepAxes: true }).equal(0);
    return rows.where(this.self, seesNone.where(0, Number.NEGATIVE_INFINITY));
  }
}

// Newton–Schulz iterations, which bring the singular values of a matrix to about 1.

import { type Tensor, tidy, weightedSum, wrongArgument } from "@pkg/tensor";

/** The quintic whose repetition grows small singular values fastest (Jordan 2024). */
const [A, B, C] = [3.4445, -4.775, 2.0315];

/**
 * U S′ Vᵀ of a matrix U S Vᵀ: X ← X / ‖X‖, then five times X ← a X + (b X Xᵀ + c (X Xᵀ)²) X with (a, b, c) = (3.4445, −4.7750,
 * 2.0315) (Jordan 2024). Singular values above 0.0025 ‖X‖ come to between 0.68 and 1.21; smaller ones grow 485 times at most.
 * @param matrix [rows, columns]; zeros stay zeros
 * @returns [rows, columns]
 * @throws Error for what is no matrix
 */
export function newtonSchulz(matrix: Tensor): Tensor {
  if (matrix?.shape?.length !== 2) throw wrongArgument("newtonSchulz", "matrix", matrix, "a tensor [rows, columns]");
  const isTall = matrix.shape[0] > matrix.shape[1];
  return tidy(() => {
    let x = matrix.div(matrix.square().sum().sqrt().add(1e-7));
    for (let k = 0; k < 5; k++) {
      const gram = isTall ? x.transpose().matmul(x) : x.matmul(x.transpose());
      const blend = weightedSum([gram, gram.matmul(gram)], [B, C]);
      x = weightedSum([x, isTall ? x.matmul(blend) : blend.matmul(x)], [A, 1]);
    }
    return x;
  });
}

// What a prediction of the data says of less noised categories.

import { type Tensor, tensor, tidy, wrongArgument } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type Corruption, expectPerSample, expectTokens, perSample } from "./corruption.ts";

/**
 * p̂(x₀ | x_t) of a model's logits. Where noise masks, places that are not masked stay as they are, and the mask is no value of data (the
 * substitutions of Sahoo et al. 2024, MDLM, section 3.2.3).
 * @param logits [batch, ..., vocabulary]
 * @param x int32 [batch, ...], noised
 * @returns [batch, ..., states]
 * @throws Error for what is no int32, and logits of another shape
 */
export function tokenProbabilities(corruption: Corruption, logits: Tensor, x: Tensor): Tensor {
  expectArguments("tokenProbabilities", { corruption, logits, x });
  expectTokens("tokenProbabilities", "x", x);
  expectLogits("tokenProbabilities", corruption, logits, x);
  if (corruption.mask === undefined) return logits.softmax();
  const none: [number, number] = [0, 0];
  const predicted = logits.softmax().pad([...x.shape.map(() => none), [0, 1]]);
  return x.equal(corruption.mask).unsqueeze(-1).where(predicted, x.oneHot(corruption.states));
}

/**
 * Σ p̂(x₀) q(x_s | x_t, x₀) for s < t, with q(x_s | x_t, x₀) ∝ q(x_t | x_s) q(x_s | x₀) by Bayes' rule (Austin et al. 2021, eq. 3): the
 * reverse step of a model, or, of the data's own indicator vectors, the posterior. Where p̂ is exact, so is the step. D3PM (eq. 4)
 * multiplies q(x_t | x_s) by Σ p̂(x₀) q(x_s | x₀) instead, which is another distribution where noise does not mask.
 * @param data p̂(x₀ | x_t), [batch, ..., states], such as `tokenProbabilities`
 * @param x x_t, int32 [batch, ...]
 * @param from α_t, [batch], below 1 and below `to`
 * @param to α_s, [batch]
 * @returns [batch, ..., states]
 * @throws Error for what is no int32, and other numbers than one per sample
 */
export function tokenPosterior(corruption: Corruption, data: Tensor, x: Tensor, from: Tensor, to: Tensor): Tensor {
  expectArguments("tokenPosterior", { corruption, data, x, from, to });
  expectTokens("tokenPosterior", "x", x);
  for (const [argument, numbers] of Object.entries({ from, to }))
    expectPerSample("tokenPosterior", argument, numbers, x);
  return tidy(() => {
    const pi = tensor(corruption.stationary, { backend: x.backend });
    const here = x.oneHot(corruption.states);
    const noise = here.mul(pi).sum(-1, { keepAxes: true }); // π(x_t)
    const [alphaT, alphaS] = [from, to].map((numbers) => perSample(numbers, x.shape.length + 1));
    const between = alphaT.div(alphaS); // that of s to t
    const seen = here.mul(alphaT).add(noise.mul(alphaT.affine(-1, 1))); // q(x_t | x₀) for each x₀
    const isPossible = seen.greater(0);
    const ratio = isPossible.where(data.div(isPossible.where(seen, 1)), 0);
    const before = ratio.mul(alphaS).add(ratio.sum(-1, { keepAxes: true }).mul(pi).mul(alphaS.affine(-1, 1)));
    const joint = here
      .mul(between)
      .add(noise.mul(between.affine(-1, 1)))
      .mul(before);
    return joint.div(joint.sum(-1, { keepAxes: true }));
  });
}

/** Refuses logits that are not of x's places and the vocabulary. @throws Error naming shapes */
export function expectLogits(name: string, { vocabulary }: Corruption, logits: Tensor, x: Tensor): void {
  if (`${logits.shape}` !== `${[...x.shape, vocabulary]}`)
    throw wrongArgument(name, "logits", logits, `[${[...x.shape, vocabulary].join(", ")}], one number for each value`);
}

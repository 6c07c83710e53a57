// Bounds on −ln p of categories: in continuous time where noise masks, and in steps for any noise.

import { crossEntropy, type RandomStream, type Tensor, tensor, wrongArgument } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { type Corruption, corrupt, expectTokens } from "./corruption.ts";
import { type Keeping, linearKeeping } from "./keeping.ts";
import { expectLogits, tokenPosterior, tokenProbabilities } from "./tokenPosterior.ts";

/**
 * E −α′(t) / (1 − α(t)) Σ −ln p̂(x₀ | x_t) over masked places, t uniform on (0, 1]: the bound on −ln p(x₀) in continuous time (Sahoo et al.
 * 2024, MDLM, eq. 10). With an exact model it is −ln p(x₀). Times are even over the batch (Kingma et al. 2021, VDM, appendix I.1).
 * @param model from noised values, int32 [batch, ...], and times [batch] in (0, 1] to logits [batch, ..., vocabulary]
 * @param corruption `absorbing`
 * @param x0 int32 [batch, ...], values below the vocabulary
 * @param rng draws times, then masks, and the model's dropout masks
 * @returns [], in nats per place, the mean over the batch; NaN where x0 is no value below the vocabulary
 * @throws Error for a noise that does not mask; ShapeError for logits of another shape
 */
export function maskedLoss(
  model: Model,
  corruption: Corruption,
  x0: Tensor,
  rng: RandomStream,
  options: { readonly keeping?: Keeping } = {},
): Tensor {
  expectArguments("maskedLoss", { model, corruption, x0, rng, options });
  const { mask } = corruption;
  if (mask === undefined) throw wrongArgument("maskedLoss", "corruption", corruption, "one that masks: absorbing(n)");
  const { keeping = linearKeeping() } = options;
  expectArguments("maskedLoss", { keeping });
  const [{ backend }, batch] = [x0, expectBatch("maskedLoss", x0)];
  // 1 − frac(u + k / batch) with one u: even over the batch, and uniform on (0, 1] for each sample, whatever its place.
  const even = tensor(
    Float32Array.from({ length: batch }, (_, k) => k / batch),
    { backend },
  ).add(rng.uniform([], { backend }));
  const times = even.floor().sub(even).add(1);
  const x = corrupt(corruption, x0, keeping.of(times), rng);
  const logits = model.forward(x, times, { rng });
  expectLogits("maskedLoss", corruption, logits, x);
  const nats = known(corruption, x0, x.equal(mask).where(crossEntropy(logits, x0, { reduction: "none" }), 0));
  return nats.reshape([batch, -1]).mean(1).mul(keeping.weight(times)).mean();
}

/**
 * KL(q(x_s | x_t, x₀) ‖ p̂(x_s | x_t)) for one step (Austin et al. 2021, D3PM, eq. 1); where α_s = 1 it is −ln p̂(x₀ | x_t).
 * @param logits of the model at x_t, [batch, ..., vocabulary]
 * @param x0 int32 [batch, ...]
 * @param x x_t, int32 [batch, ...]
 * @param from α_t, [batch]
 * @param to α_s, [batch]
 * @returns [batch, ...], in nats; NaN where x0 is no value below the vocabulary
 */
export function tokenKl(
  corruption: Corruption,
  logits: Tensor,
  x0: Tensor,
  x: Tensor,
  from: Tensor,
  to: Tensor,
): Tensor {
  expectArguments("tokenKl", { corruption, logits, x0, x, from, to });
  expectTokens("tokenKl", "x0", x0);
  const q = tokenPosterior(corruption, x0.oneHot(corruption.states), x, from, to).detach();
  const p = tokenPosterior(corruption, tokenProbabilities(corruption, logits, x), x, from, to);
  const isThere = q.greater(0);
  // A probability below 1e-30 counts as that, so that a model that excludes the truth has a gradient back.
  const terms = isThere.where(q, 1).log().sub(isThere.where(p, 1).maximum(1e-30).log());
  return known(corruption, x0, isThere.where(q.mul(terms), 0).sum(-1));
}

/**
 * T · KL of one step for each sample, drawn uniformly, plus what is left at the end, KL(q(x_T | x₀) ‖ π): the bound on −ln p(x₀) of T steps
 * (Austin et al. 2021, D3PM, eq. 1), without bias.
 * @param model from noised values, int32 [batch, ...], and times t / T [batch] to logits [batch, ..., vocabulary]
 * @param keeps α_0 = 1 > α_1 > … > α_T ≥ 0, α_T = 0 where noise masks
 * @param x0 int32 [batch, ...]
 * @param rng draws steps, then noise, and the model's dropout masks
 * @returns [], in nats per place, the mean over the batch
 * @throws Error for other keeps
 */
export function d3pmLoss(
  model: Model,
  corruption: Corruption,
  keeps: readonly number[],
  x0: Tensor,
  rng: RandomStream,
): Tensor {
  expectArguments("d3pmLoss", { model, corruption, keeps, x0, rng });
  expectKeeps("d3pmLoss", corruption, keeps);
  const [{ backend }, batch, steps] = [x0, expectBatch("d3pmLoss", x0), keeps.length - 1];
  const t = rng.integers(1, steps + 1, [batch], { backend });
  const table = tensor(keeps, { backend });
  const [from, to] = [table.gather(t), table.gather(t.cast("float32").sub(1).cast("int32"))];
  const x = corrupt(corruption, x0, from, rng);
  const logits = model.forward(x, t.cast("float32").div(steps), { rng });
  expectLogits("d3pmLoss", corruption, logits, x);
  return tokenKl(corruption, logits, x0, x, from, to).mean().mul(steps).add(restOf(corruption, keeps[steps]));
}

/** The terms of x0's places; NaN where x0 is no value below the vocabulary. */
function known({ vocabulary }: Corruption, x0: Tensor, terms: Tensor): Tensor {
  return x0.greaterEqual(0).logicalAnd(x0.less(vocabulary)).where(terms, Number.NaN);
}

/** KL(α δ + (1 − α) π ‖ π) of one place, in nats: the same for every value of data. */
function restOf({ states, mask }: Corruption, keep: number): number {
  if (mask !== undefined || keep === 0) return 0;
  const [own, other] = [keep + (1 - keep) / states, (1 - keep) / states];
  return own * Math.log(own * states) + (states - 1) * other * Math.log(other * states);
}

function expectKeeps(name: string, { mask }: Corruption, keeps: readonly number[]): void {
  const wanted = `numbers that fall from 1 to ${mask === undefined ? "0 or above" : "0"}`;
  const wrong = keeps.findIndex((keep, k) => !(k === 0 ? keep === 1 : keep >= 0 && keep < keeps[k - 1]));
  if (wrong !== -1) throw new Error(`${name}: keeps[${wrong}] is ${keeps[wrong]}, want ${wanted}`);
  const last = keeps.at(-1);
  if (keeps.length < 2 || (mask !== undefined && last !== 0))
    throw new Error(`${name}: keeps ends with ${last}, want ${wanted}`);
}

/** The size of the batch. @throws Error for values that are no int32 [batch, ...], and for none */
function expectBatch(name: string, x0: Tensor): number {
  if (x0.dtype !== "int32" || x0.rank < 2 || x0.size === 0)
    throw wrongArgument(name, "x0", x0, "int32 [batch, places], values below the vocabulary, at least one");
  return x0.shape[0];
}

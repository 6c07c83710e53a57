// Drawing categories: step by step along the reverse process, or by unmasking what the model is surest of.

import { backendOf } from "@pkg/nn";
import {
  type Backend,
  defaultBackend,
  full,
  type RandomStream,
  type Shape,
  Tensor,
  tensor,
  tidy,
  wrongArgument,
} from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import type { Corruption } from "./corruption.ts";
import { type Keeping, linearKeeping } from "./keeping.ts";
import { expectLogits, tokenPosterior, tokenProbabilities } from "./tokenPosterior.ts";

/** Options of `sampleTokens` and `unmaskTokens`. */
export interface TokenOptions {
  /** Steps, at even times from 1 to 0. Default 100. */
  readonly steps?: number;
  /** Default `linearKeeping()`. */
  readonly keeping?: Keeping;
  /** Where it computes. Default: where the model's parameters are, else the default backend. */
  readonly backend?: Backend;
}

/** A state of a sampling of categories. */
export interface TokenState {
  /** int32, of the shape that was asked for; after the last step values below the vocabulary. Yours to dispose of. */
  readonly x: Tensor;
  /** Steps done. */
  readonly step: number;
}

/**
 * Draws by Σ p̂(x₀) q(x_s | x_t, x₀) at each step, from noise alone (Austin et al. 2021, D3PM; Sahoo et al. 2024, MDLM, section 3.3).
 * @param model from noised values and times [batch] in (0, 1] to logits [..., vocabulary]
 * @param shape [batch, places, ...]
 * @param rng draws the start, unless noise masks, and each step
 * @throws Error for steps that are no positive integer, and when the model has no parameters and no backend is given; before the last
 * state for predictions that were not numbers
 * @example
 * ```ts
 * import { absorbing, sampleTokens } from "@pkg/diffusion";
 * import { cpu, randomStream, tensor } from "@pkg/tensor";
 *
 * const backend = cpu();
 * const logits = tensor([0, Math.log(3)], { backend }); // 1 is three times as probable as 0, at each place by itself
 * const model = { forward: (x: { shape: readonly number[] }) => logits.expand([...x.shape, 2]) };
 * for await (const { x, step } of sampleTokens(model, absorbing(2), [2, 8], randomStream(0), { backend, steps: 10 })) {
 *   if (step === 10) console.log((await x.cast("float32").mean().item()) > 0.5); // true
 * }
 * ```
 */
export async function* sampleTokens(
  model: Model,
  corruption: Corruption,
  shape: Shape,
  rng: RandomStream,
  options: TokenOptions = {},
): AsyncGenerator<TokenState> {
  expectArguments("sampleTokens", { model, corruption, shape, rng, options });
  const { steps = 100, keeping = linearKeeping() } = options;
  expectArguments("sampleTokens", { keeping });
  expectSteps("sampleTokens", steps);
  const backend = expectBackend("sampleTokens", model, options);
  const [batch] = expectShape("sampleTokens", shape);
  let state = { x: startOf(corruption, shape, rng, backend), faults: full([], 0, { backend }) };
  try {
    for (let step = 1; step <= steps; step++) {
      const [t, s] = [(steps - step + 1) / steps, (steps - step) / steps];
      const { x: previous, faults } = state;
      state = tidy(() => {
        const [time, from, to] = [t, keeping.at(t), keeping.at(s)].map((value) => full([batch], value, { backend }));
        const data = tokenProbabilities(corruption, model.forward(previous, time), previous);
        const x = drawTokens(tokenPosterior(corruption, data, previous, from, to), rng);
        return { x, faults: faults.add(data.mul(0).sum()) }; // 0, or NaN for good
      });
      previous.dispose();
      faults.dispose();
      if (step === steps) expectNumbers("sampleTokens", await state.faults.item());
      yield { x: state.x.detach(), step };
    }
  } finally {
    state.x.dispose();
    state.faults.dispose();
  }
}

/**
 * Unmasks at each step the places where the value that the model draws is the most probable (Chang et al. 2022, MaskGIT, section 3.2): few
 * steps of many places, better than as many of `sampleTokens` and of another distribution than the model's. At `steps` as many as there
 * are places it unmasks one by one. MaskGIT's code adds noise to the probabilities' logarithms when it ranks places; here nothing does.
 * @param corruption `absorbing`
 * @param options `temperature` divides the logits, 0 takes the most probable value (default 1)
 * @returns int32 [batch, places]
 * @throws Error for a noise that does not mask, steps that are no positive integer, a temperature below 0, predictions of another shape or
 * that are not numbers, and when the model has no parameters and no backend is given
 */
export async function unmaskTokens(
  model: Model,
  corruption: Corruption,
  shape: Shape,
  rng: RandomStream,
  options: TokenOptions & { readonly temperature?: number } = {},
): Promise<Tensor> {
  expectArguments("unmaskTokens", { model, corruption, shape, rng, options });
  const { mask } = corruption;
  if (mask === undefined) throw wrongArgument("unmaskTokens", "corruption", corruption, "one that masks: absorbing(n)");
  const { steps = 100, keeping = linearKeeping(), temperature = 1 } = options;
  expectArguments("unmaskTokens", { keeping });
  expectSteps("unmaskTokens", steps);
  expectShape("unmaskTokens", shape);
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw wrongArgument("unmaskTokens", "temperature", temperature, "a number ≥ 0");
  const backend = expectBackend("unmaskTokens", model, options);
  const [batch, places] = [shape[0], shape.slice(1).reduce((product, extent) => product * extent, 1)];
  const values = new Int32Array(batch * places).fill(mask);
  for (let step = 1; step <= steps; step++) {
    const { drawn, sure } = tidy(() => {
      const x = tensor(values, { backend, shape });
      const logits = model.forward(x, full([batch], (steps - step + 1) / steps, { backend }));
      expectLogits("unmaskTokens", corruption, logits, x);
      const probabilities = (temperature > 0 ? logits.div(temperature) : logits).softmax();
      const drawn = temperature > 0 ? drawTokens(probabilities, rng) : probabilities.argmax();
      return { drawn, sure: probabilities.gatherAlong(drawn.unsqueeze(-1)) };
    });
    const [tokens, confidence] = await Promise.all([drawn.data(), sure.data()]);
    drawn.dispose();
    sure.dispose();
    for (const probability of confidence) expectNumbers("unmaskTokens", probability);
    // How many are known after this step; the last one leaves none masked.
    const known = step === steps ? places : Math.round(places * keeping.at((steps - step) / steps));
    for (let b = 0; b < batch; b++) {
      const at = Array.from({ length: places }, (_, k) => b * places + k);
      const masked = at.filter((k) => values[k] === mask).sort((i, j) => confidence[j] - confidence[i] || i - j);
      for (const k of masked.slice(0, Math.max(0, known - (places - masked.length)))) values[k] = tokens[k];
    }
  }
  return tensor(values, { backend, shape });
}

/**
 * One draw for each distribution, by its inverse: how many cumulated probabilities are at most u.
 * @param probabilities [..., states]
 * @returns int32 [...]
 */
export function drawTokens(probabilities: Tensor, rng: RandomStream): Tensor {
  if (!(probabilities instanceof Tensor)) throw wrongArgument("drawTokens", "probabilities", probabilities, "a tensor");
  expectArguments("drawTokens", { rng });
  return tidy(() => {
    const cumulated = probabilities.cumsum(-1);
    const states = probabilities.shape[probabilities.shape.length - 1];
    const total = cumulated.slice(...cumulated.shape.slice(0, -1).map(() => null), [states - 1, states]);
    const u = rng.uniform(total.shape, { backend: probabilities.backend }).mul(total);
    const below = cumulated.lessEqual(u).cast("float32").sum(-1);
    return below.minimum(states - 1).cast("int32");
  });
}

function startOf({ mask, vocabulary }: Corruption, shape: Shape, rng: RandomStream, backend: Backend): Tensor {
  if (mask !== undefined) return full(shape, mask, { backend, dtype: "int32" });
  return rng.integers(0, vocabulary, shape, { backend });
}

/** @throws Error when nothing tells the backend */
function expectBackend(name: string, model: Model, options: TokenOptions): Backend {
  const backend = options.backend ?? backendOf(model) ?? defaultBackend();
  if (backend) return backend;
  throw new Error(`${name}: the model has no parameters to tell its backend, want the backend option`);
}

/** @throws Error for what is no shape with a batch */
function expectShape(name: string, shape: Shape): Shape {
  if (shape.length === 0 || !shape.every((extent) => Number.isInteger(extent) && extent >= 0))
    throw new Error(`${name}: shape is [${shape.join(", ")}], want [batch, places, ...], integers that are at least 0`);
  return shape;
}

/** @throws Error for a probability, or a sum of them, that is NaN */
function expectNumbers(name: string, probability: number): void {
  if (Number.isNaN(probability))
    throw new Error(`${name}: the model predicted NaN, want finite logits, with −Infinity for what cannot be`);
}

function expectSteps(name: string, steps: unknown): void {
  if (!(Number.isInteger(steps) && Number(steps) >= 1)) throw wrongArgument(name, "steps", steps, "a positive integer");
}

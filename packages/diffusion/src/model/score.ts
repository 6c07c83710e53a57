// Scores: vector fields s(x) ≈ ∇ log p(x), given by a network or as the downhill slope of an energy.

import { checkTimes, type Times } from "@pkg/nn";
import { grad, type Shape, ShapeError, Tensor, tidy } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { asColumn, perSample } from "../objective/perSample.ts";

/** s(x) ≈ ∇ log p(x), of each sample alone: [batch, ...] → the same. */
export type Score = (x: Tensor) => Tensor;

/** s(x, σ) ≈ ∇ log q_σ(x), the score of data plus σ times normal noise; one σ per sample. */
export type NoisyScore = (x: Tensor, sigmas: readonly number[]) => Tensor;

/**
 * s = −∇ₓE, the score of p ∝ exp(−E); the normalising constant falls out. Differentiable again, so that E can be trained through it.
 * @param energy one energy per sample: [batch, ...] → [batch]; what else it takes (σ, say) the score takes too
 * @throws ShapeError from the score when the energies are not [batch]
 */
export function scoreOfEnergy<Rest extends readonly unknown[]>(
  energy: (x: Tensor, ...rest: Rest) => Tensor,
): (x: Tensor, ...rest: Rest) => Tensor {
  expectArguments("scoreOfEnergy", { energy });
  // Samples do not see each other, so the slope of the sum is the slope of each.
  return (x, ...rest) =>
    tidy(() => grad((y) => checkEnergy("scoreOfEnergy", energy(y, ...rest), y).sum(), [x])[0].neg());
}

/**
 * s(x, σ) = f(x) / σ of a network that does not see σ (Song & Ermon 2020, technique 3): a score's size goes as 1 / σ, the
 * network's need not.
 * @throws from the score: Error unless there is one σ for each sample, above 0 where they are a list
 */
export function dividedBySigma(score: Score): (x: Tensor, sigmas: Times) => Tensor {
  expectArguments("dividedBySigma", { score });
  return (x, sigmas) => {
    checkTimes("dividedBySigma", sigmas, x, { what: "σ", dtypes: ["float32"] });
    if (sigmas instanceof Tensor) return tidy(() => score(x).div(asColumn(x, sigmas)));
    const wrong = sigmas.findIndex((sigma) => !(sigma > 0));
    if (wrong !== -1) throw new Error(`dividedBySigma: σ is ${sigmas[wrong]}, want numbers above 0`);
    return tidy(() => score(x).div(perSample(x, sigmas)));
  };
}

/** The energies, if there is one per sample. */
export function checkEnergy(name: string, energies: Tensor, x: Tensor): Tensor {
  expectKind(name, "output", energies, "the energy");
  if (energies.rank !== 1 || energies.shape[0] !== x.shape[0])
    throw new ShapeError(`${name}: energies of shape ${bracket(energies.shape)}, want [${x.shape[0]}], one per sample`);
  return energies;
}

/** The field's value, if it has the shape of what it was taken at. */
export function checkField(name: string, value: Tensor, x: Tensor): Tensor {
  expectKind(name, "output", value, "the field");
  if (bracket(value.shape) !== bracket(x.shape))
    throw new ShapeError(`${name}: the field is ${bracket(value.shape)} at x ${bracket(x.shape)}, want x's shape`);
  return value;
}

export function bracket(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

// Perturbed-attention guidance: the same network with identity attention maps as the weak one.

import type { Conditioning } from "@pkg/nn";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { expectWord } from "../optionWords.ts";
import { autoguidance, checkScale } from "./autoguidance.ts";

/** The strength of perturbed-attention guidance, and the layers that it perturbs. */
export interface PerturbedAttentionOptions {
  /** s, from 0 for none. Its authors take 3 to 5 for Stable Diffusion. */
  readonly scale: number;
  /** Which attention is the identity in the weak branch. Default "middle", as its authors have it for Stable Diffusion. */
  readonly layers?: Conditioning["identityAttention"];
}

/**
 * ε + s (ε − ε̃), where ε̃ is predicted with attention maps that are the identity, so that places don't see each other (Ahn et al. 2024,
 * eq. 12): `autoguidance` with w = 1 + s by the network itself. It needs no labels. Two calls of the model per call.
 * @param model tells by `conditioning.identityAttention` which maps are the identity, as `unet` and `dit` do; also a guided one, whose
 * guidance is then in both branches
 * @throws Error for a scale that is not finite
 */
export function perturbedAttention(model: Model, options: PerturbedAttentionOptions): Model {
  expectArguments("perturbedAttention", { model, options });
  const { scale, layers = "middle" } = options;
  checkScale("perturbedAttention", scale);
  expectWord("perturbedAttention", "layers", layers, ["middle", "all"]);
  const weak: Model = {
    forward: (x, times, conditioning) => model.forward(x, times, { ...conditioning, identityAttention: layers }),
  };
  return autoguidance(model, weak, { scale: 1 + scale });
}

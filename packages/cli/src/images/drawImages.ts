// Draws images from trained weights, by a solver or by the sampler of what they were trained for.

import { classifierFree, type Sampler, sample } from "@pkg/diffusion";
import { loadStateDict, type StateDict } from "@pkg/nn";
import { type Backend, randomStream, type Tensor } from "@pkg/tensor";
import { readingInput } from "../inputError.ts";
import type { ImageNetwork } from "../networks/network.ts";
import { makeNetwork } from "../settings/networks.ts";
import { objectiveOf } from "../settings/objectives.ts";
import { type Settings, scheduleOf } from "../settings/settings.ts";

export interface DrawRequest {
  /** A name of the list of solvers; the objective's where that has a sampler of its own. */
  readonly sampler: string;
  /** Steps of the sampler; of a solver on a schedule at most settings.diffusionSteps. */
  readonly steps: number;
  /** Images. */
  readonly count: number;
  readonly seed: number;
  /** What to draw, repeated over the images. Default: no label. */
  readonly labels?: readonly number[];
  /** The scale of classifier-free guidance towards the labels; 1 for none. */
  readonly guidance: number;
}

/** Told after each step of the sampler, which does all of them for every 256 images. */
export type OnStep = (step: number, steps: number) => void;

/** The network of a run with the averaged weights. @throws InputError when they do not fit the settings */
export function averagedModel(settings: Settings, average: StateDict, backend: Backend): ImageNetwork {
  return readingInput(() => {
    const model = makeNetwork(settings, { backend, rng: null });
    loadStateDict(model, average);
    return model;
  });
}

/** Images drawn at once: so memory does not grow with --count, and signals are heard between steps that take a while at most. */
const AT_ONCE = 256;

/**
 * Draws images: [count, height, width, channels] in about [−1, 1], row-major.
 * @returns undefined when it was stopped by `signal`
 */
export async function drawImages(
  network: ImageNetwork,
  settings: Settings,
  image: { readonly height: number; readonly width: number },
  { sampler, steps, count, seed, labels, guidance }: DrawRequest,
  signal: AbortSignal,
  onStep: OnStep,
): Promise<Float32Array | undefined> {
  const size = [image.height, image.width, settings.model.inChannels];
  const pixels = new Float32Array(size.reduce((product, extent) => product * extent, count));
  const drawn = samplerOf(settings, sampler, steps);
  const model = objectiveOf(settings).drawn?.(network) ?? network;
  const guided = labels ? classifierFree(model, { scale: guidance }) : model;
  const root = randomStream(seed).split("samples");
  const rounds = Math.ceil(count / AT_ONCE);
  for (let round = 0; round < rounds; round++) {
    const first = round * AT_ONCE;
    const here = Math.min(AT_ONCE, count - first);
    const asked = labels && Array.from({ length: here }, (_, k) => labels[(first + k) % labels.length]);
    const rng = round === 0 ? root : root.split(round);
    let last: Tensor | undefined;
    for await (const { x, step } of sample(drawn, guided, [here, ...size], rng, {
      labels: asked,
    })) {
      last = x;
      onStep(round * steps + step, rounds * steps);
      await new Promise(setImmediate); // lets signals in
      if (signal.aborted) return undefined;
    }
    if (!last) throw new Error("drawImages: no steps, want at least one");
    pixels.set(await last.data(), (first * pixels.length) / count);
  }
  return pixels;
}

/** @throws Error for a sampler that does not go with what the network was trained for */
export function samplerOf(settings: Settings, name: string, steps: number): Sampler {
  const { few, sampler } = objectiveOf(settings);
  const schedule = scheduleOf(settings);
  if (few) return few({ steps, schedule });
  if (sampler) return sampler(name, steps, schedule);
  throw new Error(`samplerOf: ${name} for ${settings.objective}, which draws by nothing, want few or sampler`);
}

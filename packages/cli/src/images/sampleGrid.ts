// Draws images from trained weights and writes them as one PNG.

import { classifierFree, sample } from "@pkg/diffusion";
import { loadStateDict, type StateDict, type Unet, unet } from "@pkg/nn";
import { type Backend, randomStream, type Tensor } from "@pkg/tensor";
import { writeFileAtomic } from "../files/atomicFile.ts";
import { readingInput } from "../inputError.ts";
import { objectiveOf } from "../settings/objectives.ts";
import { type Settings, scheduleOf } from "../settings/settings.ts";
import { gridPng } from "./imageGrid.ts";

export interface GridRequest {
  /** A name of the list of solvers. */
  readonly sampler: string;
  /** Steps of the sampler; of a schedule at most settings.diffusionSteps. */
  readonly steps: number;
  /** Images. */
  readonly count: number;
  readonly seed: number;
  /** What to draw, repeated over the images. Default: no label. */
  readonly labels?: readonly number[];
  /** The scale of classifier-free guidance towards the labels; 1 for none. */
  readonly guidance: number;
  /** The PNG to write. */
  readonly path: string;
}

/** The network of a run with the averaged weights. @throws InputError when they do not fit the settings */
export function averagedModel(settings: Settings, average: StateDict, backend: Backend): Unet {
  return readingInput(() => {
    const model = unet(settings.model, { backend, rng: null });
    loadStateDict(model, average);
    return model;
  });
}

/** Images drawn at once: so memory does not grow with --count, and signals are heard between steps that take a while at most. */
const AT_ONCE = 256;

/**
 * Writes `count` images side by side.
 * @param onStep told after each step of the sampler, which does all of them for every 256 images
 * @returns whether it was stopped by `signal`; nothing is written then
 */
export async function writeGrid(
  model: Unet,
  settings: Settings,
  image: { readonly height: number; readonly width: number },
  { sampler, steps, count, seed, labels, guidance, path }: GridRequest,
  signal: AbortSignal,
  onStep: (step: number, steps: number) => void,
): Promise<boolean> {
  const size = [image.height, image.width, settings.model.inChannels];
  const pixels = new Float32Array(size.reduce((product, extent) => product * extent, count));
  const drawn = objectiveOf(settings).sampler(sampler, steps, scheduleOf(settings));
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
      if (signal.aborted) return true;
    }
    if (!last) throw new Error("writeGrid: no steps, want at least one");
    pixels.set(await last.data(), (first * pixels.length) / count);
  }
  const grid = { count, height: image.height, width: image.width, channels: settings.model.inChannels };
  writeFileAtomic(path, gridPng(pixels, grid, Math.ceil(Math.sqrt(count)), { zoom: 2 }));
  return false;
}

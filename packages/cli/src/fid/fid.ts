// What the command fid prints: how far images drawn from a checkpoint are from the data set's test images.

import { featureMoments, frechetDistance } from "@pkg/diffusion";
import type { Backend } from "@pkg/tensor";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { averagedModel, type DrawRequest, drawImages } from "../images/drawImages.ts";
import type { Mnist } from "../images/mnist.ts";
import { InputError } from "../inputError.ts";
import { counted, say } from "../say.ts";
import { pixelsOf, trainDigitClassifier } from "./digitClassifier.ts";

/**
 * Trains the classifier, draws, and says the distances.
 * @returns whether it was stopped by `signal`
 * @throws InputError for a network of other images than the data's
 */
export async function sayFid(
  { header, tensors }: Checkpoint,
  request: DrawRequest,
  { train, test }: Mnist,
  backend: Backend,
  signal: AbortSignal,
): Promise<boolean> {
  const { settings, image } = header;
  const { inChannels } = settings.model;
  if (inChannels !== 1 || test.channels !== 1 || image.height !== test.height || image.width !== test.width)
    throw new InputError(
      `--data: images of ${test.height} × ${test.width} × ${test.channels}, want ${image.height} × ${image.width} × ${inChannels} as the network draws`,
    );
  const classifier = await trainDigitClassifier(train, backend, { isStopped: () => signal.aborted });
  if (!classifier) return true;
  const accuracy = await classifier.accuracy(test);
  say(`features of a classifier that is right about ${(100 * accuracy).toFixed(2)} % of the ${test.count} test images`);
  const model = averagedModel(settings, tensors("ema", backend), backend);
  const drawn = await drawImages(model, settings, image, request, signal, () => {});
  if (!drawn) return true;
  const { count, sampler, steps } = request;
  const real = featureMoments(await classifier.features(pixelsOf(test)));
  const distanceOf = async (values: Float32Array, images: number) =>
    frechetDistance(featureMoments(await classifier.features({ ...image, values, count: images })), real).toFixed(2);
  say(`FID ${await distanceOf(drawn, count)}: ${count} images by ${sampler}, ${counted(steps, "step")}`);
  const others = Math.min(count, train.count);
  const size = image.height * image.width;
  say(`FID ${await distanceOf(pixelsOf(train).values.subarray(0, others * size), others)}: ${others} training images`);
  return signal.aborted;
}

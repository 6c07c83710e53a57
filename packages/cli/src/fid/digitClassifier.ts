// The features that Fréchet distances of digits are measured in: the last hidden layer of a small classifier, trained anew each time.

import type { Features } from "@pkg/diffusion";
import { adamW, conv2d, linear, linearDecay } from "@pkg/nn";
import { type Backend, crossEntropy, randomStream, type Tensor, tensor, tidy } from "@pkg/tensor";
import { type LabelledImages, MNIST_LABELS } from "../images/mnist.ts";

/** Grey images [count, height, width, 1] in [−1, 1], row-major. */
export interface Pixels {
  readonly values: Float32Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

export interface DigitClassifier {
  /** The numbers of the hidden layer for each image. */
  features(images: Pixels): Promise<Features>;
  /** The share of images whose likeliest label is theirs. */
  accuracy(images: LabelledImages): Promise<number>;
}

const [BATCH, WIDTH, AT_ONCE] = [64, 64, 500];

/** The pixels of a data set as networks see them. */
export function pixelsOf({ images, count, height, width }: LabelledImages): Pixels {
  return { values: Float32Array.from(images, (level) => level / 127.5 - 1), count, height, width };
}

/**
 * Two convolutions of stride 2, a hidden layer of 64 and one of the labels, trained in steps of 64 images by AdamW. The same images
 * give the same classifier: its weights and batches come from one seed.
 * @param options steps: 800 by default; isStopped: asked after each of them
 * @returns undefined when it was stopped
 */
export async function trainDigitClassifier(
  images: LabelledImages,
  backend: Backend,
  { steps = 800, isStopped }: { readonly steps?: number; readonly isStopped: () => boolean },
): Promise<DigitClassifier | undefined> {
  const { height, width, count, labels } = images;
  const root = randomStream(0);
  const init = { backend, rng: root.split("weights") };
  const positions = Math.ceil(height / 4) * Math.ceil(width / 4);
  const first = conv2d(1, 16, { ...init, stride: 2 });
  const second = conv2d(16, 32, { ...init, stride: 2 });
  const hidden = linear(32 * positions, WIDTH, init);
  const last = linear(WIDTH, MNIST_LABELS, init);
  const featuresOf = (x: Tensor) => {
    const maps = second.forward(first.forward(x).relu()).relu();
    return hidden.forward(maps.reshape([x.shape[0], -1])).relu();
  };
  const pixels = pixelsOf(images);
  const optimizer = adamW({ first, second, hidden, last }, { lr: linearDecay(2e-3, steps) });
  const order = root.split("batches");
  for (let step = 0; step < steps; step++) {
    const chosen = [...order.host.integers(0, count, [BATCH])];
    tidy(() => {
      const x = rows(pixels, chosen, backend);
      optimizer.minimize(() =>
        crossEntropy(
          last.forward(featuresOf(x)),
          chosen.map((k) => labels[k]),
        ),
      );
    });
    if (step % 16 === 0) await new Promise(setImmediate); // lets signals in
    if (isStopped()) return undefined;
  }
  /** What f gives for all images, some at a time. */
  const each = async (given: Pixels, f: (x: Tensor) => Tensor): Promise<Float32Array[]> => {
    const found: Float32Array[] = [];
    for (let start = 0; start < given.count; start += AT_ONCE) {
      const chosen = Array.from({ length: Math.min(AT_ONCE, given.count - start) }, (_, k) => start + k);
      const y = tidy(() => f(rows(given, chosen, backend)));
      const numbers = Float32Array.from(await y.data());
      y.dispose();
      const columns = numbers.length / chosen.length;
      for (const k of chosen.keys()) found.push(numbers.subarray(k * columns, (k + 1) * columns));
    }
    return found;
  };
  return {
    features: (given) => each(given, featuresOf),
    async accuracy(given) {
      const logits = await each(pixelsOf(given), (x) => last.forward(featuresOf(x)));
      return logits.filter((row, k) => row.indexOf(Math.max(...row)) === given.labels[k]).length / given.count;
    },
  };
}

/** The chosen images, [chosen.length, height, width, 1]. */
function rows({ values, height, width }: Pixels, chosen: readonly number[], backend: Backend): Tensor {
  const size = height * width;
  const taken = new Float32Array(chosen.length * size);
  for (const [k, image] of chosen.entries()) taken.set(values.subarray(image * size, (image + 1) * size), k * size);
  return tensor(taken, { backend, shape: [chosen.length, height, width, 1] });
}

// What `pnpm bench:peers` measures: layers of diffusion models in sizes that a laptop's CPU takes.
import type { BenchCase } from "../case.ts";
import { attention } from "./attention.ts";
import { convForward, convWithGradient, matmul } from "./contraction.ts";
import { groupNorm } from "./memoryBound.ts";
import { adam, CIFAR_UNET, MNIST_UNET, mlpStep, unetStep } from "./training.ts";

const convolutions = [
  { batch: 8, side: 32, from: 64, to: 64 },
  { batch: 1, side: 32, from: 128, to: 128 },
  { batch: 8, side: 8, from: 256, to: 256 },
];

export const peerCases: readonly BenchCase[] = [
  ...[512, 1024, 2048].map((n) => matmul(n, n, n)),
  ...convolutions.flatMap((size) => [convForward(size), convWithGradient(size)]),
  ...attention(4, 4, 256, 64),
  ...groupNorm(8, 32, 64, 8),
  adam(1e6),
  mlpStep(256, 128),
  unetStep({ ...MNIST_UNET, batch: 16 }),
  unetStep({ ...MNIST_UNET, batch: 64 }),
  // The reference takes minutes for two steps.
  unetStep({ ...CIFAR_UNET, batch: 128, steps: 1 }),
];

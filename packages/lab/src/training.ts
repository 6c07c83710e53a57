// What the experiments share: small networks on point clouds, and how they are trained.

import { adamW, type Mlp, type MlpConfig, mlp, parameters } from "@pkg/nn";
import { type Backend, type RandomStream, type Tensor, tensor, tidy } from "@pkg/tensor";
import type { PointCloud } from "./data.ts";

export interface TrainOptions {
  readonly steps?: number;
  readonly batch?: number;
  readonly lr?: number;
}

/** A network from points (and, with `timeChannels`, times) to points. */
export function pointNetwork(
  init: { readonly backend: Backend; readonly rng: RandomStream },
  config: Omit<MlpConfig, "sizes"> & { readonly width?: number; readonly dimensions?: number } = {},
): Mlp {
  const { width = 96, dimensions = 2, ...rest } = config;
  return mlp({ sizes: [dimensions, width, width, width, width, dimensions], ...rest }, init);
}

/** n points of a cloud as a tensor, [n, 2]. */
export function pointsOf(cloud: PointCloud, n: number, rng: RandomStream, backend: Backend): Tensor {
  return tensor(cloud(n, rng), { backend, shape: [n, 2] });
}

const WARMUP = 100;

/**
 * Trains with AdamW, at a rate that rises over 100 steps and falls to zero along half a cosine.
 * @param lossOf draws its own batch, of the given size
 * @returns the mean loss of the last tenth of the steps
 */
export async function train(
  network: object,
  lossOf: (batch: number) => Tensor,
  { steps = 2000, batch = 256, lr = 1e-2 }: TrainOptions = {},
): Promise<number> {
  const rate = (step: number) => (lr / 2) * (1 + Math.cos((Math.PI * step) / steps)) * Math.min(1, (step + 1) / WARMUP);
  const optimizer = adamW(parameters(network), { lr: rate, clipNorm: 1 });
  const losses: Promise<number>[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = tidy(() => optimizer.minimize(() => lossOf(batch)));
    if (step >= 0.9 * steps) losses.push(loss.item().finally(() => loss.dispose()));
    else loss.dispose();
    if (step % 32 === 0) await new Promise((resolve) => setTimeout(resolve)); // lets signals in
  }
  return mean(await Promise.all(losses));
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

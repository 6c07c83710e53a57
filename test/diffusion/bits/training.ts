// Five steps of training: losses, and the parameters, moments and averages that they leave.
import { dropLabels, linear, predictionLoss } from "@pkg/diffusion";
import { type AdamWOptions, adamW, ema, linearDecay, parameters, warmup } from "@pkg/nn";
import type { Backend, RandomStream, Tensor } from "@pkg/tensor";
import { type BitCase, type BitCases, joined, standing, stream } from "./digest.ts";
import { IMAGE_LABELS, imageNet, images, LABELS, labelledNet, points } from "./models.ts";

const schedule = linear(1000);

interface Program<Network> {
  readonly network: (backend: Backend) => Network;
  readonly loss: (network: Network, backend: Backend, rng: RandomStream) => Tensor;
  readonly options: AdamWOptions;
}

function trained<Network extends object>({ network, loss, options }: Program<Network>): BitCase {
  return async (backend) => {
    const net = network(backend);
    const rng = stream();
    const optimizer = adamW(net, options);
    const average = ema(net, 0.99);
    const losses: Tensor[] = [];
    for (let step = 0; step < 5; step++) {
      losses.push(optimizer.minimize(() => loss(net, backend, rng)));
      average.update();
    }
    return {
      losses: await joined(losses),
      parameters: await joined(parameters(net)),
      moments: await joined([...optimizer.state().values()]),
      average: await joined([...average.state().values()]),
      stream: standing(rng),
    };
  };
}

const ofPoints = (net: ReturnType<typeof labelledNet>, backend: Backend, rng: RandomStream): Tensor =>
  predictionLoss(net, schedule, points(backend), rng, { labels: dropLabels(LABELS, 0.3, rng) });

export const training: BitCases = {
  mlp: trained({
    network: labelledNet,
    loss: ofPoints,
    options: { lr: warmup(0.01, 3), weightDecay: 0.1, clipNorm: 0.5 },
  }),
  "mlp, plain": trained({ network: labelledNet, loss: ofPoints, options: { lr: 0.01 } }),
  "mlp, decay, loss scaling": trained({
    network: labelledNet,
    loss: ofPoints,
    options: { lr: linearDecay(0.01, 5), betas: [0.8, 0.99], lossScaling: { initial: 1024, interval: 2 }, clipNorm: 1 },
  }),
  "unet, dropout": trained({
    network: (backend) => imageNet(backend, { dropout: 0.1 }),
    loss: (net, backend, rng) =>
      predictionLoss(net, schedule, images(backend), rng, { labels: dropLabels(IMAGE_LABELS, 0.3, rng) }),
    options: { lr: warmup(0.002, 4), weightDecay: 0.01, clipNorm: 1 },
  }),
};

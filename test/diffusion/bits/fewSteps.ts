// Few-step objectives and samplers: losses with their gradients over four draws, and what samplers draw.
import {
  consistencyDistillation,
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  continuousConsistency,
  discretePath,
  finalSample,
  improvedMeanFlowLoss,
  karras,
  lcm,
  lcmPath,
  linear,
  meanFlow,
  meanFlowLoss,
  preconditioned,
  progressiveLoss,
  type Sampler,
  sample,
  shortcut,
  shortcutLoss,
  sigmaPath,
  trigFlowLoss,
} from "@pkg/diffusion";
import type { MlpConfig } from "@pkg/nn";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { type BitCase, type BitCases, standing, stream } from "./digest.ts";
import { drawn } from "./losses.ts";
import { LABELS, planeNet, points } from "./models.ts";

const schedule = linear(1000);
const sigmas = karras(12, { min: 0.002, max: 80 });
const labels = LABELS;
const at = (times: readonly number[]) => discretePath(schedule, { times, prediction: "velocity" });
const paths = { path: at([900, 450]), teacherPath: at([900, 700, 450, 200]) };

type Net = ReturnType<typeof planeNet>;
const labelled: Partial<MlpConfig> = { classes: 3, classChannels: 4 };
const told = (name: string): Partial<MlpConfig> => ({ ...labelled, numbers: { [name]: { scale: 10 } } });

function loss(config: Partial<MlpConfig>, of: (net: Net, x0: Tensor, rng: RandomStream) => Tensor): BitCase {
  return (backend) => {
    const [net, rng] = [planeNet(backend, config), stream()];
    return drawn(net, rng, () => of(net, points(backend), rng));
  };
}

function samples(sampler: Sampler, config: Partial<MlpConfig>): BitCase {
  return async (backend) => {
    const rng = stream();
    const run = sample(sampler, planeNet(backend, config), [5, 2], rng, { labels: LABELS });
    return { samples: await finalSample(run), stream: standing(rng) };
  };
}

export const fewSteps: BitCases = {
  "mean flow": loss(told("r"), (net, x0, rng) => meanFlowLoss(net, x0, rng, { share: 0.6, labels })),
  "mean flow, weighted": loss(told("r"), (net, x0, rng) =>
    meanFlowLoss(net, x0, rng, { share: 0.6, power: 1, labels }),
  ),
  "improved mean flow": loss(told("r"), (net, x0, rng) => improvedMeanFlowLoss(net, x0, rng, { share: 0.6, labels })),
  shortcut: loss(told("d"), (net, x0, rng) => shortcutLoss(net, x0, rng, { share: 0.6, labels })),
  "consistency training": loss(labelled, (net, x0, rng) =>
    consistencyLoss(consistencyFunction(net), x0, rng, { sigmas, labels }),
  ),
  "consistency distillation": loss(labelled, (net, x0, rng) =>
    consistencyDistillation(consistencyFunction(net), preconditioned(net), x0, rng, { sigmas, labels }),
  ),
  "diffusion in TrigFlow": loss(labelled, (net, x0, rng) => trigFlowLoss(net, x0, rng, { labels })),
  "consistency in continuous time": loss(labelled, (net, x0, rng) => continuousConsistency(net, x0, rng, { labels })),
  "progressive distillation": loss(labelled, (net, x0, rng) =>
    progressiveLoss(net, net, x0, rng, { ...paths, clip: true, labels }),
  ),
  "samples of a mean flow": samples(meanFlow({ steps: 3 }), told("r")),
  "samples of a shortcut model": samples(shortcut({ steps: 4 }), told("d")),
  "samples of a consistency function": samples(
    consistencyMultistep(sigmaPath([80, 5, 0.5]), { sigmaMin: 0.002 }),
    labelled,
  ),
  "samples by LCM": samples(lcm(lcmPath(schedule, { steps: 4 })), labelled),
};

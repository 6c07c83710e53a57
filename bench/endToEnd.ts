// Whole training steps and sampling steps of the U-Nets for MNIST and CIFAR-10, timed on each backend.
import { cosine, ddim, finalSample, linear, noisePrediction, type Schedule, sample } from "@pkg/diffusion";
import { adamW, ema, parameterCount, parameters, type UnetConfig, unet } from "@pkg/nn";
import { type Backend, randomStream, tidy } from "@pkg/tensor";
import type { Contender, Effort } from "./measure.ts";

interface Network {
  readonly name: string;
  readonly config: UnetConfig;
  readonly schedule: Schedule;
  readonly side: number;
  readonly batch: number;
  /** Operations of a forward pass for one image. */
  readonly flopPerImage: number;
}

/** What a network costs on one backend. */
export interface EndToEnd {
  readonly network: string;
  readonly backend: string;
  readonly batch: number;
  readonly parameters: number;
  /** The first training step, with all compilation, in ms. */
  readonly firstStep: number;
  /** Milliseconds a training step: forward, backward, AdamW with clipping, average. */
  readonly trainStep: { readonly median: number; readonly p10: number; readonly p90: number };
  /** Milliseconds of JavaScript in a training step, before the device is waited for. */
  readonly encode: number;
  /** Milliseconds a step of DDIM for one batch. */
  readonly sampleStep: number;
  readonly peakBytes: number;
}

const NETWORKS: readonly Network[] = [
  {
    name: "MNIST U-Net",
    config: { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 },
    schedule: cosine(1000),
    side: 28,
    batch: 64,
    flopPerImage: 0.3e9,
  },
  {
    // Ho et al. 2020, appendix B.
    name: "CIFAR-10 U-Net",
    config: { inChannels: 3, channels: 128, multipliers: [1, 2, 2, 2], blocks: 2, attentionLevels: [1] },
    schedule: linear(1000),
    side: 32,
    batch: 128,
    flopPerImage: 12.44e9,
  },
];

/** Times the networks that a backend can train in reasonable time. */
export async function measureEndToEnd(
  filter: string,
  contenders: readonly Contender[],
  { mostTime, samples }: Effort,
): Promise<EndToEnd[]> {
  const results: EndToEnd[] = [];
  for (const network of NETWORKS.filter(({ name }) => name.includes(filter))) {
    for (const { label, backend, expectedRate } of contenders) {
      const expected = (3 * network.flopPerImage * network.batch * 1000) / expectedRate;
      if (expected <= 10 * mostTime) results.push(await measureNetwork(network, label, backend, samples));
    }
  }
  return results;
}

async function measureNetwork(
  { name, config, schedule, side, batch }: Network,
  label: string,
  backend: Backend,
  samples: number,
): Promise<EndToEnd> {
  const rng = randomStream(0);
  const model = unet(config, { backend, rng: rng.split("weights") });
  const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
  const average = ema(model, 0.999);
  const x0 = rng.normal([batch, side, side, config.inChannels], { backend });
  const step = async () => {
    const began = performance.now();
    tidy(() => {
      optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
    });
    const encoded = performance.now();
    await backend.settled();
    return { total: performance.now() - began, encode: encoded - began };
  };
  const { total: firstStep } = await step();
  await step();
  const timed = [];
  for (let k = 0; k < samples; k++) timed.push(await step());
  const sorted = timed.map(({ total }) => total).sort((a, b) => a - b);
  const encodes = timed.map(({ encode }) => encode).sort((a, b) => a - b);

  const sampleSteps = 4;
  const draw = () => finalSample(sample(ddim(schedule, { steps: sampleSteps }), model, x0.shape, rng));
  (await draw()).dispose();
  const began = performance.now();
  (await draw()).dispose();
  const sampleStep = (performance.now() - began) / sampleSteps;
  const result = {
    network: name,
    backend: label,
    batch,
    parameters: parameterCount(model),
    firstStep,
    trainStep: {
      median: sorted[sorted.length >> 1],
      p10: sorted[Math.floor(0.1 * sorted.length)],
      p90: sorted[Math.floor(0.9 * sorted.length)],
    },
    encode: encodes[encodes.length >> 1],
    sampleStep,
    peakBytes: backend.memory().peakBytes,
  };
  for (const tensor of [x0, ...parameters(model), ...average.state().values(), ...optimizer.state().values()])
    tensor.dispose();
  return result;
}

/** One line a network and backend. */
export function endToEndTable(results: readonly EndToEnd[]): string {
  return results
    .map(
      ({ network, backend, batch, parameters: count, firstStep, trainStep, encode, sampleStep, peakBytes }) =>
        `${network} (${(count / 1e6).toFixed(2)} M weights), batch ${batch}, ${backend}: train step ${trainStep.median.toFixed(1)} ms ` +
        `(${trainStep.p10.toFixed(1)}–${trainStep.p90.toFixed(1)}; ${((1000 * batch) / trainStep.median).toFixed(0)} images/s; JavaScript ${encode.toFixed(1)} ms; ` +
        `first ${firstStep.toFixed(0)} ms), sampling step ${sampleStep.toFixed(1)} ms, peak ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
    )
    .join("\n");
}

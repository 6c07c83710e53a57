// The forward process and what else is drawn: noise, noised data, steps, labels, probes; and where the stream stands afterwards.
import {
  dequantise,
  drawProbes,
  dropLabels,
  eightGaussians,
  forwardChain,
  forwardStep,
  linear,
  lossAwareTimes,
  lowDiscrepancyTimes,
  noiseEnergies,
  qSample,
  stratifiedTimes,
  type TimestepSampler,
  uniformTimes,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { addNoise, dropout, type RandomStream, tensor, torchCudaStream, torchStream } from "@pkg/tensor";
import { type BitCase, type BitCases, joined, type Numbers, standing, stream } from "./digest.ts";
import { images, planeNet, points } from "./models.ts";

const schedule = linear(1000);
const TIMES = [0, 1, 500, 998, 999];

/** What is drawn from a stream, and where it stands then. */
function drawing(
  draw: (rng: RandomStream, backend: Parameters<BitCase>[0]) => Readonly<Record<string, Numbers>>,
  from: () => RandomStream = stream,
): BitCase {
  return async (backend) => {
    const rng = from();
    return { ...draw(rng, backend), stream: standing(rng) };
  };
}

/** Two draws of a batch of seven. The weights are of float32, as the losses have them. */
function times(sampler: TimestepSampler, steps = 1000): BitCase {
  return async (backend) => {
    const rng = stream();
    const draws = [sampler(steps, 7, rng, backend), sampler(steps, 7, rng, backend)];
    return {
      times: await joined(draws.map((drawn) => drawn.times)),
      weights: Float32Array.from(await joined(draws.map((drawn) => drawn.weights ?? new Array<number>(7).fill(1)))),
      stream: standing(rng),
    };
  };
}

function historic(): TimestepSampler {
  const sampler = lossAwareTimes(10, { history: 1 });
  const all = Array.from({ length: 10 }, (_, t) => t);
  sampler.update(
    all,
    all.map((t) => 1 / (1 + t)),
  );
  return sampler.draw;
}

const noised: Parameters<typeof drawing>[0] = (rng, backend) => ({
  ...qSample(schedule, points(backend), TIMES, rng),
});

export const draws: BitCases = {
  qSample: drawing(noised),
  "qSample, torch": drawing(noised, () => torchStream(7)),
  "qSample, torch on CUDA": drawing(noised, () =>
    torchCudaStream(7, { multiprocessors: 4, threadsPerMultiprocessor: 1024 }),
  ),
  "qSample, no signal at the end": drawing((rng, backend) => ({
    ...qSample(zeroTerminalSnr(schedule), points(backend), TIMES, rng),
  })),
  "qSample, images": drawing((rng, backend) => ({ ...qSample(schedule, images(backend), [3, 400, 900], rng) })),
  addNoise: drawing((rng, backend) => {
    const [signal, noise] = [
      [1, 0.9, 0.5, 0.1, 0],
      [0, 0.3, 0.7, 0.95, 1],
    ].map((values) => tensor(values, { backend }));
    return { ...addNoise(points(backend), signal, noise, rng) };
  }),
  forwardStep: drawing((rng, backend) => ({ ...forwardStep(schedule, points(backend), TIMES, rng) })),
  forwardChain: async (backend) => {
    const rng = stream();
    const found: Numbers[] = [];
    for (const { x } of forwardChain(linear(6), points(backend), rng)) found.push(await x.data());
    return { chain: await joined(found), stream: standing(rng) };
  },
  dequantise: drawing((rng, backend) => ({ data: dequantise(images(backend), rng) })),
  dropout: drawing((rng, backend) => ({ data: dropout(points(backend), 0.3, rng) })),
  "dropped labels": drawing((rng) => ({
    labels: [...dropLabels([0, 1, 2, 3, 4, 5, null, 7], 0.4, rng)].map((label) => label ?? -1),
  })),
  "probes, rademacher": drawing((rng, backend) => ({ probes: drawProbes(points(backend), rng)[0] })),
  "probes, normal": drawing((rng, backend) => ({
    probes: drawProbes(points(backend), rng, { count: 2, distribution: "normal" })[1],
  })),
  "mixture samples": drawing((rng, backend) => ({ samples: eightGaussians().sample(9, rng, { backend }) })),
  "noise energies": async (backend) => {
    const rng = stream();
    const energies = await noiseEnergies(planeNet(backend), linear(6), points(backend), rng);
    return { energies, stream: standing(rng) };
  },
  "times, uniform": times(uniformTimes()),
  "times, stratified": times(stratifiedTimes()),
  "times, low discrepancy": times(lowDiscrepancyTimes()),
  "times, loss-aware without history": times(lossAwareTimes(10).draw, 10),
  "times, loss-aware": times(historic(), 10),
};

// Likelihoods: of the ODE, and of the variational bound.
import {
  boundTerms,
  discretePath,
  discretisedDecoder,
  drawProbes,
  encodeFlow,
  exactDivergence,
  fixedLarge,
  gaussianDecoder,
  hutchinsonDivergence,
  karras,
  learned,
  learnedRange,
  linear,
  type Nll,
  nll,
  type OdeLikelihood,
  odeLikelihood,
  preconditioned,
  priorTerm,
  qSample,
  sampleFlow,
  sdePath,
  sigmaPath,
  vpSde,
} from "@pkg/diffusion";
import type { Backend, RandomStream } from "@pkg/tensor";
import { type BitCase, type BitCases, joined, type Numbers, standing, stream } from "./digest.ts";
import { IMAGE_LABELS, imageNet, images, LABELS, labelledNet, planeNet, points } from "./models.ts";

const schedule = linear(1000);
const loose = { rtol: 1e-3, atol: 1e-3 };
const sigmas = () => sigmaPath(karras(6, { min: 0.1, max: 3 }));

function ofOde(of: (backend: Backend, rng: RandomStream) => Promise<OdeLikelihood>): BitCase {
  return async (backend) => {
    const rng = stream();
    const { logLikelihood, standardError, latent, evaluations } = await of(backend, rng);
    return { logLikelihood, standardError, latent, evaluations: [evaluations], stream: standing(rng) };
  };
}

function ofBound(of: (backend: Backend, rng: RandomStream) => Promise<Nll>): BitCase {
  return async (backend) => {
    const rng = stream();
    const { total, prior, terms, samples } = await of(backend, rng);
    return {
      total: [total.mean, total.standardError],
      prior: [prior.mean],
      terms: terms.flatMap(({ mean, standardError }) => [mean, standardError]),
      samples,
      stream: standing(rng),
    };
  };
}

export const likelihoods: BitCases = {
  "ode, exact": ofOde((backend) =>
    odeLikelihood(sigmas(), preconditioned(labelledNet(backend)), points(backend), { ...loose, labels: LABELS }),
  ),
  "ode, two probes": ofOde((backend, rng) => {
    const x = points(backend);
    return odeLikelihood(sigmas(), preconditioned(planeNet(backend)), x, {
      ...loose,
      probes: drawProbes(x, rng, { count: 2 }),
    });
  }),
  "ode on vp": ofOde((backend) =>
    odeLikelihood(
      sdePath(vpSde(), { steps: 6, prediction: "noise", smallestTime: 0.05 }),
      planeNet(backend),
      points(backend),
      loose,
    ),
  ),
  "ode on steps": ofOde((backend) =>
    odeLikelihood(discretePath(linear(20), { end: "first step" }), planeNet(backend), points(backend), loose),
  ),
  "flow to samples": async (backend) => {
    const rng = stream();
    const found: Record<string, Numbers> = {};
    for await (const { step, x, denoised, evaluations } of sampleFlow(
      sigmas(),
      preconditioned(planeNet(backend)),
      [5, 2],
      rng,
      loose,
    )) {
      const name = step <= 2 ? `step ${step}` : "last";
      found[name] = await joined([x, denoised]);
      found.evaluations = [evaluations];
    }
    return { ...found, stream: standing(rng) };
  },
  "flow to latents": async (backend) => {
    const found: Record<string, Numbers> = {};
    for await (const { step, x } of encodeFlow(sigmas(), preconditioned(planeNet(backend)), points(backend), loose))
      found[step <= 2 ? `step ${step}` : "last"] = await x.data();
    return found;
  },
  nll: ofBound((backend, rng) => nll(imageNet(backend), linear(4), images(backend), rng, { labels: IMAGE_LABELS })),
  "nll, learned range, twice": ofBound((backend, rng) =>
    nll(imageNet(backend, { outChannels: 2 }), linear(4), images(backend), rng, {
      variance: learnedRange(),
      repeats: 2,
    }),
  ),
  "nll, learned, tanh, velocity": ofBound((backend, rng) =>
    nll(imageNet(backend, { outChannels: 2 }), linear(4), images(backend), rng, {
      variance: learned(),
      prediction: "velocity",
      decoder: discretisedDecoder({ cdf: "tanh" }),
      clip: true,
    }),
  ),
  "nll of points, fixedLarge": ofBound((backend, rng) =>
    nll(planeNet(backend), linear(5), points(backend), rng, { decoder: gaussianDecoder(), variance: fixedLarge() }),
  ),
  "prior term": async (backend) => ({ prior: priorTerm(linear(20), points(backend)) }),
  "bound terms": async (backend) => {
    const [x0, times] = [images(backend), [0, 1, 700]];
    const { noisy } = qSample(schedule, x0, times, stream());
    return { terms: boundTerms(imageNet(backend), schedule, { x0, x: noisy, times }) };
  },
  "exact divergence": async (backend) => {
    const net = planeNet(backend, { timeChannels: 0 });
    return { ...exactDivergence((x) => net.forward(x), points(backend)) };
  },
  "hutchinson divergence": async (backend) => {
    const net = planeNet(backend, { timeChannels: 0 });
    const x = points(backend);
    return { ...hutchinsonDivergence((y) => net.forward(y), x, drawProbes(x, stream(), { count: 2 })) };
  },
};

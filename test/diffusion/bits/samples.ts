// Samples of every solver and walk, in their usual options.
import {
  analytic,
  ancestral,
  annealedLangevin,
  type Clip,
  ddim,
  ddimInversion,
  deis,
  discretePath,
  dpm2,
  dpm2Ancestral,
  dpmSolver,
  dpmSolverPlusPlus,
  dynamicThreshold,
  eightGaussians,
  euler,
  eulerAncestral,
  eulerMaruyama,
  exponential,
  fixedLarge,
  fixedSmall,
  gradientAscent,
  heun,
  karras,
  langevin,
  learned,
  learnedRange,
  linear,
  lms,
  metropolis,
  type NoisePath,
  noiseEnergies,
  oraclePath,
  type Prediction,
  pndm,
  preconditioned,
  predictorCorrector,
  type ReverseVariance,
  respace,
  respacedModel,
  reverseDiffusion,
  rungeKutta,
  type Sampler,
  type SdePath,
  sdePath,
  sigmaPath,
  spacedTimes,
  subVpSde,
  uniPc,
  veSde,
  vpSde,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { type BitCase, type BitCases, stream } from "./digest.ts";
import { IMAGE_LABELS, imageNet, planeNet, points } from "./models.ts";
import { labelled, run } from "./runs.ts";

const schedule = linear(1000);

/** Every solver on a path. */
const solvers: Readonly<Record<string, (path: NoisePath) => Sampler>> = {
  euler: (path) => euler(path),
  "euler, churn": (path) => euler(path, { churn: 2, scale: 1.01 }),
  heun: (path) => heun(path),
  "heun, churn": (path) => heun(path, { churn: 2, from: 0.05, to: 50 }),
  dpm2: (path) => dpm2(path),
  "dpm2, churn": (path) => dpm2(path, { churn: 2 }),
  rungeKutta: (path) => rungeKutta(path),
  lms: (path) => lms(path),
  "lms, order 2": (path) => lms(path, { order: 2 }),
  pndm: (path) => pndm(path),
  "pndm, start heun": (path) => pndm(path, { start: "heun" }),
  deis: (path) => deis(path),
  "deis, order 2": (path) => deis(path, { order: 2, lowerOrderFinal: false }),
  "deis, order 4, over log sigma": (path) => deis(path, { order: 4, over: "log sigma" }),
  dpmSolver: (path) => dpmSolver(path),
  "dpmSolver, order 1": (path) => dpmSolver(path, { order: 1 }),
  "dpmSolver, order 2": (path) => dpmSolver(path, { order: 2 }),
  "dpmSolver of data": (path) => dpmSolver(path, { of: "data" }),
  "dpmSolver of data, order 2": (path) => dpmSolver(path, { order: 2, of: "data" }),
  dpmSolverPlusPlus: (path) => dpmSolverPlusPlus(path),
  "dpmSolverPlusPlus, order 1": (path) => dpmSolverPlusPlus(path, { order: 1 }),
  "dpmSolverPlusPlus, order 3": (path) => dpmSolverPlusPlus(path, { order: 3 }),
  "dpmSolverPlusPlus, heun": (path) => dpmSolverPlusPlus(path, { form: "heun", lowerOrderFinal: false }),
  "dpmSolverPlusPlus, eta 1": (path) => dpmSolverPlusPlus(path, { eta: 1 }),
  "dpmSolverPlusPlus, order 3, eta 0.5, scale 0.9": (path) =>
    dpmSolverPlusPlus(path, { order: 3, eta: 0.5, scale: 0.9 }),
  uniPc: (path) => uniPc(path),
  "uniPc, order 3": (path) => uniPc(path, { order: 3 }),
  "uniPc, bh1, order 1": (path) => uniPc(path, { order: 1, form: "bh1" }),
  "uniPc, bh1": (path) => uniPc(path, { form: "bh1", lowerOrderFinal: false }),
  "uniPc without corrector": (path) => uniPc(path, { corrector: false }),
  eulerAncestral: (path) => eulerAncestral(path),
  "eulerAncestral, eta 0.5": (path) => eulerAncestral(path, { eta: 0.5, scale: 0.9 }),
  dpm2Ancestral: (path) => dpm2Ancestral(path),
  "dpm2Ancestral, eta 0.5": (path) => dpm2Ancestral(path, { eta: 0.5 }),
  reverseDiffusion: (path) => reverseDiffusion(path),
};

function onPaths(): BitCases {
  const cases: Record<string, BitCase> = {};
  for (const [name, solver] of Object.entries(solvers)) {
    cases[`${name} on steps`] = labelled(() => solver(discretePath(schedule, { steps: 6 })));
    cases[`${name} on sigmas`] = labelled(
      () => solver(sigmaPath(karras(6))),
      (net) => preconditioned(net),
    );
    cases[`${name} on vp`] = labelled(() => solver(sdePath(vpSde(), { steps: 6, prediction: "noise" })));
  }
  return cases;
}

/** Paths in their options, walked by Heun's method. */
const paths: Readonly<Record<string, () => NoisePath>> = {
  "steps, trailing": () => discretePath(schedule, { steps: 5, spacing: "trailing" }),
  "steps, linspace, to the first step": () =>
    discretePath(schedule, { steps: 5, spacing: "linspace", end: "first step" }),
  "steps at given times": () => discretePath(schedule, { times: [990, 700, 333, 80, 3] }),
  "steps at given sigmas": () => discretePath(schedule, { sigmas: karras(5, { min: 0.03, max: 14 }) }),
  "steps, data": () => discretePath(schedule, { steps: 5, prediction: "data" }),
  "steps, velocity": () => discretePath(schedule, { steps: 5, prediction: "velocity" }),
  "steps, score": () => discretePath(schedule, { steps: 5, prediction: "score" }),
  "steps, mean": () => discretePath(schedule, { steps: 5, prediction: "mean", clip: true }),
  "steps, clipped": () => discretePath(schedule, { steps: 5, clip: true }),
  "steps, dynamic threshold": () =>
    discretePath(schedule, { steps: 5, clip: dynamicThreshold({ quantile: 0.9, max: 3 }) }),
  "sigmas of noise, named": () =>
    sigmaPath(exponential(5), { prediction: "noise", label: (sigma) => 250 * Math.log(sigma) }),
  "sigmas, velocity, clipped": () => sigmaPath(karras(5), { prediction: "velocity", clip: true }),
  "sub-vp": () => sdePath(subVpSde(), { steps: 5 }),
  ve: () => sdePath(veSde(), { steps: 5 }),
  "vp, quadratic, to the smallest time": () =>
    sdePath(vpSde(), { steps: 5, spacing: "quadratic", end: "smallest time", prediction: "noise" }),
  "vp, logSnr, velocity, clipped": () =>
    sdePath(vpSde(), { steps: 5, spacing: "logSnr", prediction: "velocity", clip: true, smallestTime: 0.01 }),
};

function ofPaths(): BitCases {
  const entries = Object.entries(paths).map(([name, path]): [string, BitCase] => [
    `heun, path of ${name}`,
    labelled(() => heun(path())),
  ]);
  return Object.fromEntries(entries);
}

const sdes: Readonly<Record<string, () => SdePath>> = {
  vp: () => sdePath(vpSde(), { steps: 6 }),
  "sub-vp": () => sdePath(subVpSde(), { steps: 6 }),
  ve: () => sdePath(veSde(), { steps: 6 }),
};

function onSdes(): BitCases {
  const cases: Record<string, BitCase> = {};
  for (const [name, path] of Object.entries(sdes)) {
    cases[`eulerMaruyama on ${name}`] = labelled(() => eulerMaruyama(path()));
    cases[`reverseDiffusion of scores on ${name}`] = labelled(() => reverseDiffusion(path()));
    cases[`predictorCorrector on ${name}`] = labelled(() => predictorCorrector(reverseDiffusion(path()), path()));
  }
  cases["predictorCorrector, two corrections by sample"] = labelled(() =>
    predictorCorrector(eulerAncestral(sdes.vp()), sdes.vp(), { corrections: 2, snr: 0.01, norms: "sample" }),
  );
  return cases;
}

const ancestrals: Readonly<Record<string, () => Sampler>> = {
  "ddim, 50 steps": () => ddim(discretePath(schedule, { steps: 50 })),
  "ddim, eta 1": () => ddim(discretePath(schedule, { steps: 6 }), { eta: 1 }),
  "ddim, eta 0.5, trailing": () => ddim(discretePath(schedule, { steps: 6, spacing: "trailing" }), { eta: 0.5 }),
  "ddim, clipped": () => ddim(discretePath(schedule, { steps: 6, clip: true })),
  "ddim, clipped, the model's noise": () =>
    ddim(discretePath(schedule, { steps: 6, clip: true }), { rederiveNoise: false }),
  "ddim, no signal at the start": () =>
    ddim(discretePath(zeroTerminalSnr(schedule), { steps: 6, spacing: "trailing", prediction: "velocity" })),
  "ddim, all of 8 steps": () => ddim(discretePath(linear(8))),
  "ancestral, all of 8 steps": () => ancestral(discretePath(linear(8))),
  "ancestral, fixedSmall": () => ancestral(discretePath(schedule, { steps: 6 }), { variance: fixedSmall() }),
  "ancestral, fixedSmall, clamped at first": () =>
    ancestral(discretePath(schedule, { steps: 6 }), { variance: fixedSmall({ first: "clamp" }) }),
  "ancestral, fixedLarge": () => ancestral(discretePath(schedule, { steps: 6 }), { variance: fixedLarge() }),
  "ancestral, clipped": () => ancestral(discretePath(schedule, { steps: 6, clip: true })),
  "ancestral, mean of noise": () => ancestral(discretePath(schedule, { steps: 6 }), { mean: "noise" }),
  "ancestral, trailing": () => ancestral(discretePath(schedule, { steps: 6, spacing: "trailing" })),
  "ancestral, dynamic threshold": () => ancestral(discretePath(schedule, { steps: 6, clip: dynamicThreshold() })),
};

function onSchedules(): BitCases {
  const cases: Record<string, BitCase> = {};
  for (const [name, sampler] of Object.entries(ancestrals)) cases[name] = labelled(sampler);
  for (const prediction of ["data", "velocity", "score", "mean"] satisfies Prediction[]) {
    cases[`ddim, ${prediction}`] = labelled(() => ddim(discretePath(schedule, { steps: 6, prediction })));
    cases[`ancestral, ${prediction}`] = labelled(() => ancestral(discretePath(schedule, { steps: 6, prediction })));
  }
  return cases;
}

/** The U-Net's second channel is the variance. */
function ofImages(variance: ReverseVariance, clip: Clip): BitCase {
  return run((backend) => ({
    sampler: ancestral(discretePath(schedule, { steps: 5, clip }), { variance }),
    model: imageNet(backend, { outChannels: variance.isLearned ? 2 : 1 }),
    shape: [3, 4, 4, 1],
    options: { labels: IMAGE_LABELS },
  }));
}

const walk = { steps: 6, stepSize: 0.05 };
const respaced = respace(schedule, spacedTimes(1000, 6));

/** The score of points, of a network without times. */
function walking(sampler: Sampler): BitCase {
  return run((backend) => ({ sampler, model: planeNet(backend, { timeChannels: 0 }) }));
}

export const samples: BitCases = {
  ...onPaths(),
  ...ofPaths(),
  ...onSdes(),
  ...onSchedules(),
  "ddim, unet": run((backend) => ({
    sampler: ddim(discretePath(schedule, { steps: 5 })),
    model: imageNet(backend),
    shape: [3, 4, 4, 1],
    options: { labels: IMAGE_LABELS },
  })),
  "ancestral, unet, learned variance": ofImages(learned(), false),
  "ancestral, unet, learned range": ofImages(learnedRange(), true),
  "ancestral, unet, fixedLarge": ofImages(fixedLarge(), true),
  "ancestral, analytic variance": run(async (backend) => {
    const model = planeNet(backend);
    const short = linear(8);
    const energies = await noiseEnergies(model, short, points(backend), stream());
    return { sampler: ancestral(discretePath(short), { variance: analytic(energies, { range: [-1, 1] }) }), model };
  }),
  "ddim, respaced": labelled(
    () => ddim(discretePath(respaced)),
    (net) => respacedModel(net, respaced),
  ),
  "ancestral, respaced": labelled(
    () => ancestral(discretePath(respaced)),
    (net) => respacedModel(net, respaced),
  ),
  "heun on steps, oracle": run(() => {
    const path = discretePath(schedule, { steps: 6 });
    return { sampler: heun(oraclePath(path, eightGaussians())), model: { forward: (x) => x } };
  }),
  "gradient ascent": walking(gradientAscent(walk)),
  langevin: walking(langevin(walk)),
  "langevin, noise at a level": walking(
    langevin({ ...walk, level: { t: 3, signal: 0.8, noise: 0.6 }, prediction: "noise", prior: 2 }),
  ),
  metropolis: walking(metropolis({ ...walk, stepSize: 0.5, logDensity: (x) => x.square().sum(1).mul(-0.5) })),
  "annealed langevin": labelled(() =>
    annealedLangevin(sigmaPath(exponential(4, { min: 0.05, max: 5 }), { prediction: "score" }), { stepSize: 1e-3 }),
  ),
  "annealed langevin, two a level, not denoised": labelled(() =>
    annealedLangevin(sigmaPath(exponential(4, { min: 0.05, max: 5 }), { prediction: "noise" }), {
      stepSize: 1e-3,
      stepsPerLevel: 2,
      denoise: false,
    }),
  ),
  "inversion on steps": run((backend) => ({
    sampler: ddimInversion(discretePath(schedule, { steps: 6 })),
    model: planeNet(backend),
    options: { from: { x: points(backend) } },
  })),
  "inversion on sigmas, two iterations": run((backend) => ({
    sampler: ddimInversion(sigmaPath(karras(6)), { iterations: 2 }),
    model: preconditioned(planeNet(backend)),
    options: { from: { x: points(backend) } },
  })),
};

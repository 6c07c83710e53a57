// Options that are one of some words, and clips, as plain JavaScript may have them: what is none of the choices counts as none.
import * as diffusion from "@pkg/diffusion";
import * as engine from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = engine.cpu();
/** Of what only a program without types could say. */
const word = "nonsense" as never;
const schedule = diffusion.linear(10);
const path = diffusion.discretePath(schedule);
const sde = diffusion.vpSde();
const normalized: diffusion.LogProbability = (x) => x.sum(1);
const network: diffusion.Model = { forward: (x) => x };

test.each<[string, () => unknown]>([
  [
    'discretePath: prediction is "nonsense", want noise, data, velocity, flow, score or mean',
    () => diffusion.discretePath(schedule, { prediction: word }),
  ],
  ['discretePath: end is "nonsense", want data or first step', () => diffusion.discretePath(schedule, { end: word })],
  [
    'sigmaPath: prediction is "mean", want noise, data, velocity, flow or score',
    () => diffusion.sigmaPath([1], { prediction: "mean" as never }),
  ],
  ['sdePath: prediction is "nonsense"', () => diffusion.sdePath(sde, { prediction: word })],
  ['sdePath: end is "nonsense", want data or smallest time', () => diffusion.sdePath(sde, { end: word })],
  ['schedule: precision is "nonsense", want float64 or float32', () => diffusion.cosine(10, { precision: word })],
  ['discretisedDecoder: cdf is "nonsense", want exact or tanh', () => diffusion.discretisedDecoder({ cdf: word })],
  ['ancestral: mean is "nonsense", want data or noise', () => diffusion.ancestral(path, { mean: word })],
  ['pndm: start is "nonsense", want runge-kutta or heun', () => diffusion.pndm(path, { start: word })],
  ['uniPc: form is "nonsense", want bh1 or bh2', () => diffusion.uniPc(path, { form: word })],
  ['deis: over is "nonsense", want time or log sigma', () => diffusion.deis(path, { over: word })],
  ['dpmSolver: of is "nonsense", want noise or data', () => diffusion.dpmSolver(path, { of: word })],
  [
    'dpmSolverPlusPlus: form is "nonsense", want midpoint or heun',
    () => diffusion.dpmSolverPlusPlus(path, { form: word }),
  ],
  [
    'predictorCorrector: norms is "nonsense", want batch or sample',
    () => diffusion.predictorCorrector(diffusion.euler(path), path, { norms: word }),
  ],
  [
    'predictorCorrector: first is "nonsense", want predictor or corrector',
    () => diffusion.predictorCorrector(diffusion.euler(path), path, { first: word }),
  ],
  ['classifierShift: at is "nonsense", want x or mean', () => diffusion.classifierShift(normalized, { at: word })],
  [
    'classifierGuidance: prediction is "nonsense"',
    () => diffusion.classifierGuidance(network, normalized, { levels: schedule, prediction: word }),
  ],
  [
    'posteriorLogVariance: first is "nonsense", want nextVariance or clamp',
    () => diffusion.posteriorLogVariance(schedule, 0, -1, { first: word }),
  ],
  ['variationalWeight: variance is "nonsense", want fixedSmall or fixedLarge', () => diffusion.variationalWeight(word)],
  ['convertWeight: prediction is "nonsense"', () => diffusion.convertWeight(() => 1, { from: "noise", to: word })],
  ['minSnrWeight: prediction is "nonsense"', () => diffusion.minSnrWeight(5, word)],
])("a word that is no choice is refused: %s", (message, call) => {
  expect(call).toThrow(message);
});

test.each<[string, (clip: never) => unknown]>([
  ["discretePath", (clip) => diffusion.discretePath(schedule, { clip })],
  ["sigmaPath", (clip) => diffusion.sigmaPath([1], { clip })],
  ["sdePath", (clip) => diffusion.sdePath(sde, { clip })],
  [
    "nll",
    (clip) => diffusion.nll(network, schedule, engine.zeros([1, 2], { backend }), engine.randomStream(0), { clip }),
  ],
  [
    "bound",
    (clip) =>
      diffusion.boundLoss(network, schedule, engine.zeros([1, 2], { backend }), engine.randomStream(0), { clip }),
  ],
])("%s takes no clip that would count as [−1, 1]", async (name, call) => {
  for (const clip of [[0, 1], 2, "yes", null]) {
    const wanted = new RegExp(`^${name}: clip is .*, want true for \\[−1, 1\\], false, or a function`);
    await expect(async () => call(clip as never)).rejects.toThrow(wanted);
  }
});

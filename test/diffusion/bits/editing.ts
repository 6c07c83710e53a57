// Guidance, and samples made from data: inpainting, starts from noised data, interpolation, runs that go on.
import {
  ancestral,
  classifierFree,
  classifierGuidance,
  classifierShift,
  ddim,
  discretePath,
  dpmSolverPlusPlus,
  euler,
  eulerAncestral,
  inpaint,
  karras,
  type LogProbability,
  linear,
  type Prediction,
  preconditioned,
  type Sampler,
  sample,
  sigmaPath,
  slerp,
  startFrom,
  vpSde,
} from "@pkg/diffusion";
import { type Backend, keep, tensor } from "@pkg/tensor";
import { type BitCase, type BitCases, stream } from "./digest.ts";
import { CLASSES, IMAGE_LABELS, imageNet, LABELS, labelledNet, planeNet, points } from "./models.ts";
import { labelled, run } from "./runs.ts";

const schedule = linear(1000);
const path = () => discretePath(schedule, { steps: 6 });

/** log p of CLASSES by a small network. */
function classifier(backend: Backend): LogProbability {
  const net = planeNet(backend, { sizes: [2, 8, 3] });
  const chosen = tensor(
    CLASSES.map((label) => [0, 1, 2].map((k) => (k === label ? 1 : 0))),
    { backend },
  );
  return (x, times) => net.forward(x, times).logSoftmax(1).mul(chosen).sum(1);
}

function guided(prediction: Exclude<Prediction, "mean">): BitCase {
  return run((backend) => ({
    sampler: ddim(discretePath(schedule, { steps: 6, prediction })),
    model: classifierGuidance(labelledNet(backend), classifier(backend), {
      levels: schedule,
      scale: 2,
      prediction,
      conditional: true,
    }),
    options: { labels: CLASSES },
  }));
}

function shifted(at: "x" | "mean"): BitCase {
  return run((backend) => ({
    sampler: ancestral(discretePath(schedule, { steps: 6 }), {
      shift: classifierShift(classifier(backend), { scale: 3, at }),
    }),
    model: labelledNet(backend),
    options: { labels: CLASSES },
  }));
}

function inpainted(sampler: Sampler, resample?: { length?: number; times: number }): BitCase {
  return run((backend) => ({
    sampler: inpaint(sampler, {
      image: points(backend),
      keep: tensor([1, 0], { backend }),
      ...(resample && { resample }),
    }),
    model: labelledNet(backend),
    options: { labels: LABELS },
  }));
}

function started(sampler: Sampler, from: Parameters<typeof startFrom>[3]): BitCase {
  return run((backend, rng) => ({
    sampler,
    model: labelledNet(backend),
    options: { labels: LABELS, from: startFrom(sampler, points(backend), rng, from) },
  }));
}

/** Stopped after three steps, and gone on from there. */
function resumed(sampler: Sampler): BitCase {
  return run(async (backend, rng) => {
    const model = labelledNet(backend);
    for await (const { step, x, memory } of sample(sampler, model, [5, 2], rng, { labels: LABELS })) {
      if (step === 3)
        return {
          sampler,
          model,
          options: { labels: LABELS, from: { step, x: keep(x), memory: memory.map((m) => keep(m)) } },
        };
    }
    throw new Error("resumed: the run has fewer than three steps");
  });
}

export const editing: BitCases = {
  "classifier-free, scale 3": labelled(
    () => ddim(discretePath(schedule, { steps: 6 })),
    (net) => classifierFree(net, { scale: 3 }),
  ),
  "classifier-free, scale 0": labelled(
    () => ddim(discretePath(schedule, { steps: 6 })),
    (net) => classifierFree(net, { scale: 0 }),
  ),
  "classifier-free, weight 2, rescaled": labelled(
    () => euler(path()),
    (net) => classifierFree(net, { weight: 2, rescale: 0.7 }),
  ),
  "classifier-free, in an interval": labelled(
    () => dpmSolverPlusPlus(path()),
    (net) => classifierFree(net, { scale: 3, interval: [200, 800] }),
  ),
  "classifier-free on sigmas, in an interval": labelled(
    () => euler(sigmaPath(karras(6))),
    (net) => classifierFree(preconditioned(net), { scale: 2, interval: [0.1, 10] }),
  ),
  "classifier-free, unet": run((backend) => ({
    sampler: ddim(discretePath(schedule, { steps: 5, clip: true })),
    model: classifierFree(imageNet(backend), { scale: 2, rescale: 0.5 }),
    shape: [3, 4, 4, 1],
    options: { labels: IMAGE_LABELS },
  })),
  "classifier guidance of noise": guided("noise"),
  "classifier guidance of data": guided("data"),
  "classifier guidance of velocity": guided("velocity"),
  "classifier guidance of scores": guided("score"),
  "classifier guidance, levels of an sde": run((backend) => ({
    sampler: ddim(discretePath(schedule, { steps: 6 })),
    model: classifierGuidance(labelledNet(backend), classifier(backend), { levels: (t) => vpSde().level(t / 999) }),
    options: { labels: CLASSES },
  })),
  "classifier shift at x": shifted("x"),
  "classifier shift at the mean": shifted("mean"),
  "inpaint, ddim": inpainted(ddim(discretePath(schedule, { steps: 6 }))),
  "inpaint, ancestral, resampled": inpainted(ancestral(discretePath(schedule, { steps: 6 })), { length: 2, times: 2 }),
  "inpaint, euler": inpainted(euler(path())),
  "inpaint, eulerAncestral, resampled": inpainted(eulerAncestral(path()), { times: 2 }),
  "start at strength 0.6, ddim": started(ddim(discretePath(schedule, { steps: 6 })), { strength: 0.6 }),
  "start at step 2, ancestral": started(ancestral(discretePath(schedule, { steps: 6 })), { step: 2 }),
  "start at strength 0.5, dpmSolverPlusPlus": started(dpmSolverPlusPlus(path()), { strength: 0.5 }),
  "resumed dpmSolverPlusPlus, order 3": resumed(dpmSolverPlusPlus(path(), { order: 3 })),
  "resumed ancestral": resumed(ancestral(discretePath(schedule, { steps: 6 }))),
  slerp: async (backend) => {
    const rng = stream();
    const [a, b] = [rng.normal([5, 2], { backend }), rng.normal([5, 2], { backend })];
    return { between: await slerp(a, b, 0.3) };
  },
};

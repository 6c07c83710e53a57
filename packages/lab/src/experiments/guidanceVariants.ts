// Guidance since 2024 beside classifier-free guidance, on one flow with labels.

import {
  adaptiveProjected,
  autoguidance,
  cfgPlusPlus,
  cfgZeroStar,
  classifierFree,
  ddim,
  dropLabels,
  finalSample,
  flowMatching,
  flowPath,
  type Model,
  type Sampler,
  sample,
} from "@pkg/diffusion";
import { tensor } from "@pkg/tensor";
import { clouds } from "../charts.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, train } from "../training.ts";
import { CLASSES, centre, judge, SPREAD } from "./guidance.ts";

const SAMPLES = 1500;

export const guidanceVariants: Experiment = {
  name: "variants",
  title: "Guidance variants",
  claim:
    "Karras et al. 2024: a network guided by a worse one keeps its diversity; Chung et al. 2024, Fan et al. 2025 and Sadat et al. 2025: guidance need not drive samples away from the data.",
  async run({ backend, rng }) {
    const draws = rng.split("training");
    const network = (label: string) =>
      pointNetwork(
        { backend, rng: rng.split(label) },
        { timeChannels: 16, timeEmbedding: { scale: 1000 }, classes: CLASSES },
      );
    const loss = (model: Model) => (batch: number) => {
      const labels = [...draws.host.integers(0, CLASSES, [batch])];
      const points = draws.host.normal([batch, 2]).map((z, i) => centre(labels[i >> 1], i & 1) + SPREAD * z);
      const x0 = tensor(points, { backend, shape: [batch, 2] });
      return flowMatching(model, x0, draws, { labels: dropLabels(labels, 0.15, draws) });
    };
    const [strong, weak] = [network("strong"), network("weak")];
    await train(strong, loss(strong));
    await train(weak, loss(weak), { steps: 100 });

    const path = flowPath({ steps: 50 });
    const of = (model: Model): { sampler: Sampler; model: Model } => ({ sampler: ddim(path), model });
    const plusPlus = cfgPlusPlus(path, strong, { scale: 0.6 });
    const runs: Readonly<Record<string, { readonly sampler: Sampler; readonly model: Model }>> = {
      "none: w = 1": of(strong),
      "classifier-free, w = 4": of(classifierFree(strong, { scale: 4 })),
      "CFG++, λ = 0.6": { sampler: ddim(plusPlus.path), model: plusPlus.model },
      "CFG-Zero*, w = 4": of(cfgZeroStar(strong, { scale: 4 })),
      "APG, w = 4, η = 0": adaptiveProjected(ddim, path, strong, { scale: 4, momentum: -0.5 }),
      "autoguidance, w = 2": of(autoguidance(strong, weak, { scale: 2 })),
    };
    const asked = Array.from({ length: SAMPLES }, (_, i) => i % CLASSES);
    const panels: Record<string, ArrayLike<number>> = {};
    const rows: string[][] = [];
    for (const [name, { sampler, model }] of Object.entries(runs)) {
      const run = sample(sampler, model, [SAMPLES, 2], rng.split("sampling"), { labels: asked, backend });
      const points = await (await finalSample(run)).data();
      panels[name] = points;
      rows.push([name, ...judge(points, asked, centre)]);
    }
    return {
      text: [
        `Three overlapping Gaussians of standard deviation ${SPREAD}, whose centres are 1 from the middle, are the classes. A flow is trained with their labels for 2,000 steps of 256 points, and a weak one for 100. Each row draws ${SAMPLES} samples from the same noise, in 50 steps of Euler's method. p(y | x) is the exact classifier's probability of the class that was asked for; the standard deviation is that of a class's samples about their own mean. Perturbed-attention guidance is left out, because a perceptron has no attention.`,
      ],
      tables: [
        {
          title: "Guidance",
          columns: ["guidance", "mean p(y | x)", "standard deviation in a class", "distance of means from the middle"],
          rows,
        },
      ],
      charts: [clouds("Samples", panels, { columns: 3 })],
    };
  },
};

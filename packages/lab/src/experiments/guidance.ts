// The guidance scale: what it gains in fidelity and loses in diversity.

import {
  classifierFree,
  cosine,
  ddim,
  discretePath,
  dropLabels,
  finalSample,
  noisePrediction,
  sample,
} from "@pkg/diffusion";
import { tensor } from "@pkg/tensor";
import { clouds } from "../charts.ts";
import type { Experiment } from "../experiment.ts";
import { mean, pointNetwork, train } from "../training.ts";

const SCALES = [0, 1, 2, 4, 8];
export const CLASSES = 3;
const SAMPLES = 1500;
const RADIUS = 1;
export const SPREAD = 0.5;

/** The centres of three Gaussians that overlap, on a circle. */
export function centre(label: number, axis: number): number {
  return RADIUS * (axis === 0 ? Math.cos : Math.sin)((2 * Math.PI * label) / CLASSES);
}

export const guidance: Experiment = {
  name: "guidance",
  title: "Guidance trades diversity for fidelity",
  claim:
    "S2, classifier guidance and classifier-free guidance: the greater γ is, the more likely the samples reflect the condition, at the cost of diversity.",
  async run({ backend, rng }) {
    const schedule = cosine(1000);
    const draws = rng.split("training");
    const drawn = (n: number) => {
      const labels = [...draws.host.integers(0, CLASSES, [n])];
      const noise = draws.host.normal([n, 2]);
      return { labels, points: noise.map((z, i) => centre(labels[i >> 1], i & 1) + SPREAD * z) };
    };
    const network = pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16, classes: CLASSES });
    await train(network, (batch) => {
      const { labels, points } = drawn(batch);
      const x0 = tensor(points, { backend, shape: [batch, 2] });
      return noisePrediction(network, schedule, x0, draws, { labels: dropLabels(labels, 0.15, draws) });
    });

    const asked = Array.from({ length: SAMPLES }, (_, i) => i % CLASSES);
    const panels: Record<string, ArrayLike<number>> = {};
    const rows: string[][] = [];
    for (const scale of SCALES) {
      const run = sample(
        ddim(discretePath(schedule, { steps: 50 })),
        classifierFree(network, { scale }),
        [SAMPLES, 2],
        rng.split("sampling"),
        { labels: asked },
      );
      const points = await (await finalSample(run)).data();
      panels[`s = ${scale}`] = points;
      rows.push([String(scale), ...judge(points, asked, centre)]);
    }
    return {
      text: [
        `Three overlapping Gaussians (centres ${RADIUS} from the middle, standard deviation ${SPREAD}) are the classes; ε_u + s (ε_c − ε_u). Fidelity is how surely the exact classifier p(y | x) names the class that was asked for, diversity the standard deviation of a class's samples about their own mean. For the data itself they are those of s = 1, but for the network's error.`,
      ],
      tables: [
        {
          title: "Guidance scale",
          columns: ["s", "mean p(y | x)", "standard deviation in a class", "distance of means from the middle"],
          rows,
        },
      ],
      charts: [clouds("Samples", panels, { columns: 5 })],
    };
  },
};

/** Fidelity, diversity, and the distance of the classes' means from the middle. */
export function judge(
  points: ArrayLike<number>,
  asked: readonly number[],
  centre: (label: number, axis: number) => number,
): string[] {
  const likelihood = (i: number, label: number) =>
    Math.exp(
      -((points[2 * i] - centre(label, 0)) ** 2 + (points[2 * i + 1] - centre(label, 1)) ** 2) / (2 * SPREAD ** 2),
    );
  const sure = asked.map((label, i) => {
    const all = Array.from({ length: CLASSES }, (_, other) => likelihood(i, other));
    return all[label] / all.reduce((a, b) => a + b);
  });
  const classes = Array.from({ length: CLASSES }, (_, label) => {
    const own = asked.flatMap((other, i) => (other === label ? [i] : []));
    const [x, y] = [0, 1].map((axis) => own.map((i) => points[2 * i + axis]));
    const [mx, my] = [mean(x), mean(y)];
    return { variance: mean(x.map((v, k) => (v - mx) ** 2 + (y[k] - my) ** 2)) / 2, distance: Math.hypot(mx, my) };
  });
  const spread = Math.sqrt(mean(classes.map(({ variance }) => variance)));
  return [mean(sure), spread, mean(classes.map(({ distance }) => distance))].map((value) => value.toFixed(3));
}

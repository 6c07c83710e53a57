// What the exact trace of the Jacobian costs as the dimension grows, beside estimates and denoising.

import {
  denoisingScoreMatching,
  drawProbes,
  implicitScoreMatching,
  type Score,
  slicedScoreMatchingVR,
} from "@pkg/diffusion";
import { parameters } from "@pkg/nn";
import { grad, type Tensor, tidy } from "@pkg/tensor";
import { lines } from "../charts.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork } from "../training.ts";

const DIMENSIONS = [2, 4, 8, 16, 32, 64];
const BATCH = 64;
const ROUNDS = 5;

export const traceCost: Experiment = {
  name: "trace",
  title: "The cost of the exact trace",
  claim:
    "S1, section 2.3: to compute tr ∇s each ∂sᵢ/∂xᵢ needs a backpropagation of its own, d in all; section 2.4: denoising score matching needs none.",
  async run({ backend, rng }) {
    const series: Record<string, [number, number][]> = { "ISM, exact trace": [], "ISM, one probe": [], DSM: [] };
    for (const dimensions of DIMENSIONS) {
      const network = pointNetwork({ backend, rng: rng.split(dimensions) }, { dimensions, width: 64 });
      const score: Score = (x) => network.forward(x);
      const x = rng.normal([BATCH, dimensions], { backend });
      const objectives: Record<string, () => Tensor> = {
        "ISM, exact trace": () => implicitScoreMatching(score, x),
        "ISM, one probe": () => slicedScoreMatchingVR(score, x, drawProbes(x, rng)),
        DSM: () => denoisingScoreMatching(score, x, 0.5, rng),
      };
      const times = new Map<string, number[]>();
      // In turn, so that what else the machine does falls on all of them.
      for (let round = -1; round < ROUNDS; round++) {
        for (const [name, objective] of Object.entries(objectives)) {
          const began = performance.now();
          tidy(() => void grad(objective, parameters(network)));
          await backend.settled();
          if (round >= 0) times.set(name, [...(times.get(name) ?? []), performance.now() - began]);
        }
      }
      for (const [name, samples] of times) series[name].push([dimensions, samples.sort((a, b) => a - b)[ROUNDS >> 1]]);
    }
    const at = (name: string, k: number) => series[name][k][1];
    const last = DIMENSIONS.length - 1;
    const growth = Math.log(at("ISM, exact trace", last) / at("ISM, exact trace", last - 2)) / Math.log(4);
    return {
      text: [
        `Milliseconds for the gradient of each objective by the weights of one network, batch ${BATCH}, median of ${ROUNDS}. From d = ${DIMENSIONS[last - 2]} to ${DIMENSIONS[last]} the exact trace grows as d^${growth.toFixed(2)}; at d = ${DIMENSIONS[last]} it costs ${(at("ISM, exact trace", last) / at("DSM", last)).toFixed(0)} times what denoising does, Hutchinson's estimate ${(at("ISM, one probe", last) / at("DSM", last)).toFixed(1)} times.`,
      ],
      tables: [
        {
          title: "ms a gradient",
          columns: ["d", ...Object.keys(series)],
          rows: DIMENSIONS.map((d, k) => [d, ...Object.keys(series).map((name) => at(name, k).toFixed(1))]),
        },
      ],
      charts: [lines("Cost against dimension", { x: "d", y: "ms", logX: true, logY: true }, series)],
    };
  },
};

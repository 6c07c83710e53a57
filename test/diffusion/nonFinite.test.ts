// A model whose output is NaN or infinite gets no number, however a clip, a floor or a maximum would round it off.
import {
  ancestral,
  boundLoss,
  boundTerms,
  classifierGuidance,
  classifierShift,
  ddim,
  discretePath,
  discretisedDecoder,
  encodeFlow,
  exactDivergence,
  explicitScoreMatching,
  finalSample,
  gaussianDecoder,
  gaussianOracle,
  hutchinsonDivergence,
  hybridLoss,
  largestDistance,
  learnedRange,
  linear,
  type Model,
  nll,
  noiseEnergies,
  odeLikelihood,
  predictionLoss,
  sample,
  sampleFlow,
  verifySampler,
} from "@pkg/diffusion";
import type { Times } from "@pkg/nn";
import { type Backend, concat, grad, liveTensors, onesLike, randomStream, Tensor, tensor } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";
import { heldTensors } from "../setup/heldTensors.ts";
import { listOf } from "../setup/listOf.ts";

const schedule = linear(20, { start: 1e-3, end: 0.3 });

describe.each(openers.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.dispose?.());

  /** Two images of 2 × 2 on the grid. */
  const images = () =>
    tensor(
      [1, 51, -153, 255, 3, 5, -17, 0.2 * 255].map((k) => k / 255),
      { backend },
    ).reshape([2, 4]);
  /** 0.9 x, but with a value at one pixel of the second sample from step `from` on. */
  const failing = (value: number, from = 7): Model => ({
    forward: (x, times) => {
      const healthy = x.mul(0.9);
      const isBad = (i: number, k: number) => i === x.shape[0] - 1 && k === 2;
      const size = x.size / x.shape[0];
      const mask = Array.from({ length: x.size }, (_, at) => Number(isBad(Math.floor(at / size), at % size)));
      const early = (times instanceof Tensor ? times.cast("float32") : tensor([...times], { backend })).less(from);
      const late = early.logicalNot().reshape([x.shape[0], ...x.shape.slice(1).fill(1)]);
      return tensor(mask, { backend, shape: x.shape }).cast("bool").logicalAnd(late).where(value, healthy);
    },
  });
  const healthy = failing(0, Number.POSITIVE_INFINITY);

  test("the likelihood of a healthy model is a number", async () => {
    const { total } = await nll(healthy, schedule, images(), randomStream(1));
    expect(total.mean).toBeGreaterThan(10);
    expect(total.mean).toBeLessThan(60);
  });

  describe.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("with %d at one pixel", (value) => {
    const named = (name: string, place: string) =>
      `${name}: the model's output at ${place} has 1 elements that are NaN or infinite, want finite ones`;

    test.each([true, false])("nll with clip %s names the step and the number", async (clip) => {
      const x0 = images();
      const live = heldTensors();
      await expect(nll(failing(value), schedule, x0, randomStream(1), { clip })).rejects.toThrow(
        named("nll", "step 7"),
      );
      expect(liveTensors()).toBeLessThanOrEqual(live);
    });

    test("nll of learned variances looks at these too", async () => {
      const model: Model = {
        forward: (x, times) => concat([x.mul(0.9), failing(value).forward(x, times).mul(0.1)], -1),
      };
      const run = nll(model, schedule, images(), randomStream(1), { variance: learnedRange() });
      await expect(run).rejects.toThrow(named("nll", "step 7"));
    });

    test("the bound's terms are NaN for that sample alone, and the losses NaN", async () => {
      const x0 = images();
      for (const times of [
        [9, 9],
        [0, 0], // the decoder's term
      ]) {
        const terms = await boundTerms(failing(value, 0), schedule, { x0, x: x0, times }, { clip: true }).data();
        expect([...terms].map(Number.isFinite)).toEqual([true, false]);
        expect(terms[1]).toBeNaN();
      }
      for (const clip of [true, false])
        expect(await boundLoss(failing(value, 0), schedule, x0, randomStream(2), { clip }).item()).toBeNaN();
      const both: Model = { forward: (x, times) => concat([x.mul(0.9), failing(value, 0).forward(x, times)], -1) };
      expect(await hybridLoss(both, schedule, x0, randomStream(2), { clip: true }).item()).toBeNaN();
      const loss = await predictionLoss(failing(value, 0), schedule, x0, randomStream(2)).item();
      expect(Number.isFinite(loss)).toBe(false);
    });

    test.each([true, false])("the gradients of such a loss are NaN, with clip %s", async (clip) => {
      const weight = tensor([0.9], { backend });
      const model: Model = { forward: (x, times) => failing(value, 0).forward(x, times).mul(weight) };
      const cut: Model = { forward: (x, times) => failing(value, 0).forward(x.mul(weight), times) };
      for (const one of [model, cut]) {
        const [slope] = grad(() => boundLoss(one, schedule, images(), randomStream(2), { clip }), [weight]);
        expect(await slope.item()).toBeNaN();
      }
    });

    test("noiseEnergies names the step and the number", async () => {
      await expect(noiseEnergies(failing(value), schedule, images(), randomStream(1))).rejects.toThrow(
        named("noiseEnergies", "step 7"),
      );
    });

    test("the flow of a clipped path has no likelihood, no samples and no encoding", async () => {
      const path = discretePath(schedule, { clip: true });
      const wrong =
        /^ode: the slope between log σ = .* and .*, made of the model's output, is NaN or infinite for 1 samples/;
      const model = failing(value, 3);
      await expect(odeLikelihood(path, model, images())).rejects.toThrow(wrong);
      await expect(finalSample(sampleFlow(path, model, [2, 4], randomStream(0), { backend }))).rejects.toThrow(wrong);
      await expect(finalSample(encodeFlow(path, model, images()))).rejects.toThrow(wrong);
    });

    test.each([true, false])("samplers with clip %s name the step and the number", async (clip) => {
      for (const sampler of [
        ddim(discretePath(schedule, { steps: 20, clip })),
        ancestral(discretePath(schedule, { clip })),
      ]) {
        const run = sample(sampler, failing(value, 19), [2, 4], randomStream(0), { backend });
        await expect(finalSample(run)).rejects.toThrow(named("sample", "step 0 (t = 19)"));
      }
    });

    test("a classifier's slope that is not finite is no guidance", async () => {
      const slope = (x: Tensor, times: Times) => x.mul(failing(value, 0).forward(x, times)).sum(1);
      const labels = [0, 0];
      const guided = classifierGuidance(healthy, slope, { levels: schedule });
      const run = sample(ddim(discretePath(schedule, { steps: 20, clip: true })), guided, [2, 4], randomStream(0), {
        backend,
        labels,
      });
      await expect(finalSample(run)).rejects.toThrow(
        /^sample: the model's output at step 0 \(t = 19\) has [1-8] elements/,
      );
      const last = (x: Tensor, times: Times) => (listOf(times)[0] === 0 ? slope(x, times) : x.sum(1));
      const shifted = sample(
        ancestral(discretePath(schedule), { shift: classifierShift(last) }),
        healthy,
        [2, 4],
        randomStream(0),
        {
          backend,
          labels,
        },
      );
      await expect(finalSample(shifted)).rejects.toThrow(/^sample: [1-8] elements of the samples are NaN or infinite/);
    });

    test("fields of it have no divergence, and no distance", async () => {
      const field = (x: Tensor) => x.mul(failing(value, 0).forward(x, [0, 0]));
      const x = images();
      for (const { value: found } of [exactDivergence(field, x), hutchinsonDivergence(field, x, [onesLike(x)])])
        expect([...(await found.data())].map(Number.isFinite)).toEqual([
          true,
          true,
          true,
          true,
          true,
          true,
          false,
          true,
        ]);
      expect(Number.isFinite(await explicitScoreMatching(field, (x) => x.neg(), x).item())).toBe(false);
    });

    test("verifySampler reports no moments", async () => {
      const model: Model = { forward: (x) => concat([x.slice([0, 1]).mul(value), x.slice([1])]) };
      const options = { model, draws: 4, steps: [4], backend };
      const run = verifySampler(
        (steps) => ddim(discretePath(schedule, { steps, clip: true })),
        gaussianOracle({ mean: [0], variance: 1 }),
        options,
      );
      await expect(run).rejects.toThrow(named("sample", "step 0 (t = 15)"));
    });

    test("decoders, likelihoods, encodings and noise energies take no such data, and there is no largest distance between them", async () => {
      const data = tensor([[-1], [value], [1]], { backend });
      const wanted = (name: string, what: string) =>
        `${name}: ${what} 1 elements that are NaN or infinite, want finite ones`;
      await expect(discretisedDecoder().check(data)).rejects.toThrow(wanted("discretisedDecoder", "data have"));
      await expect(gaussianDecoder().check(data)).rejects.toThrow(wanted("gaussianDecoder", "data have"));
      const path = discretePath(schedule);
      await expect(odeLikelihood(path, healthy, data)).rejects.toThrow(wanted("odeLikelihood", "data have"));
      await expect(finalSample(encodeFlow(path, healthy, data))).rejects.toThrow(wanted("encodeFlow", "data have"));
      await expect(noiseEnergies(healthy, schedule, data, randomStream(0))).rejects.toThrow(
        wanted("noiseEnergies", "data have"),
      );
      await expect(largestDistance(data)).rejects.toThrow(
        "largestDistance: 1 elements of the samples are NaN or infinite, want finite ones",
      );
    });
  });
});

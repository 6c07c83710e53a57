// Editing: starting in the middle, inpainting, interpolation, and runs that go on in another process.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ancestral,
  ddim,
  ddimInversion,
  discretePath,
  dpmSolverPlusPlus,
  euler,
  finalSample,
  inpaint,
  levelAt,
  linear,
  type Model,
  type NoiseSource,
  parseSampleState,
  sample,
  serializeSampleState,
  slerp,
  startFrom,
  uniPc,
} from "@pkg/diffusion";
import { cpu, full, randomStream, serializeSafetensors, type Tensor, tensor, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { bundled, temporaryDirectory } from "../cli/bundled.ts";
import { gpuAvailable } from "../setup/gpu.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);
const constantNoise = (value: number): NoiseSource => ({ normal: (shape) => full(shape, value, { backend: exact }) });
const silent = constantNoise(0);
const row = (...values: number[]) => tensor(Float64Array.from(values), { backend: exact, shape: [1, values.length] });

/** x · t / (t + 1) as noise. */
const ramp: Model = { forward: (x, [t]: readonly number[]) => x.mul(t / (t + 1)) };

describe("image to image", () => {
  const sampler = ddim(discretePath(schedule, { steps: 10 }));

  test.each([
    [{ strength: 1 }, 0],
    [{ strength: 0.5 }, 5],
    [{ strength: 0.34 }, 7],
    [{ strength: 0.001 }, 9],
    [{ step: 3 }, 3],
  ] as const)("from %o begins at step %i, with the data at its noise", async (start, step) => {
    const x0 = row(0.5, -1);
    const { signal, noise } = sampler.levels[step];
    const state = startFrom(sampler, x0, constantNoise(1), start);
    expect([state.step, state.memory]).toEqual([step, []]);
    const found = await state.x.data();
    for (const [k, value] of [0.5, -1].entries()) expect(found[k]).toBeCloseTo(signal * value + noise, 12);
    const steps: number[] = [];
    for await (const { step } of sample(sampler, ramp, [1, 2], silent, { from: state })) steps.push(step);
    expect(steps[0]).toBe(step + 1);
    expect(steps.at(-1)).toBe(10);
  });

  test("of N(0, 1/4) keeps as much of the data as the flow does", async () => {
    // The best noise prediction is linear: each step of DDIM multiplies by a factor.
    const model: Model = {
      forward: (x, [t]: readonly number[]) => {
        const { signal, noise } = levelAt(schedule, t);
        return x.mul(noise / (signal ** 2 / 4 + noise ** 2));
      },
    };
    const whole = ddim(discretePath(schedule, { steps: 100 }));
    for (const strength of [0.2, 0.6]) {
      const from = startFrom(whole, row(1), silent, { strength });
      const kept = await (await finalSample(sample(whole, model, [1, 1], silent, { from }))).item();
      const { signal, noise } = whole.levels[from.step];
      // The exact flow of the ODE keeps √v / √(signal² v + noise²) of x, and DDIM's error is of first order in its steps.
      const flow = (signal * 0.5) / Math.hypot(signal * 0.5, noise);
      expect(Math.abs(kept - flow)).toBeLessThan(0.1 * flow);
      let factor = signal;
      for (const [k, level] of whole.levels.slice(from.step, -1).entries()) {
        const next = whole.levels[from.step + k + 1];
        const ofNoise = level.noise / (level.signal ** 2 / 4 + level.noise ** 2);
        factor *= (next.signal * (1 - level.noise * ofNoise)) / level.signal + next.noise * ofNoise;
      }
      expect(kept).toBeCloseTo(factor, 10);
    }
  });

  test("refuses starts that are none", () => {
    const start = (where: { strength: number } | { step: number }) => () => startFrom(sampler, row(0), silent, where);
    expect(start({ strength: 0 })).toThrow("startFrom: strength is 0, want a number in (0, 1]");
    expect(start({ strength: Number.NaN })).toThrow("startFrom: strength is NaN");
    expect(start({ step: 10 })).toThrow("startFrom: step is 10, want an integer in [0, 9]");
  });
});

const backends = [
  { name: "cpu", open: async () => cpu(), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];

describe("inpainting", () => {
  for (const { name, open, skip } of backends) {
    test.skipIf(skip)(
      `ends with the image, bit for bit, where it is kept, and with something else elsewhere: ${name}`,
      async () => {
        const backend = await open();
        const image = randomStream(3).normal([1, 4, 4, 1], { backend, std: 0.3 });
        const keep = tensor(
          Array.from({ length: 16 }, (_, k) => Number(k % 3 === 0)),
          { backend, shape: [4, 4, 1], dtype: "bool" },
        );
        const path = discretePath(schedule, { steps: 5 });
        for (const sampler of [
          ancestral(discretePath(schedule, { steps: 5 })),
          euler(path),
          dpmSolverPlusPlus(path),
          uniPc(path),
        ]) {
          const edit = inpaint(sampler, { image, keep, resample: { times: 2 } });
          const x = await finalSample(sample(edit, ramp, [2, 4, 4, 1], randomStream(1), { backend }));
          const [found, known] = [await x.data(), await image.data()];
          for (const [i, value] of found.entries()) {
            if ((i % 16) % 3 === 0) expect(value).toBe(known[i % 16]);
            else expect(value).not.toBe(known[i % 16]);
          }
        }
      },
    );
  }

  test("of nothing known is the sampler itself, and of everything the image at each level", async () => {
    const sampler = ddim(discretePath(schedule, { steps: 6 }));
    const from = { x: row(0.3, -0.7, 1.1) };
    const image = row(1, 2, 3);
    const run = (keep: number) =>
      sample(inpaint(sampler, { image, keep: row(keep) }), ramp, [1, 3], constantNoise(0.5), { from });
    const plain = await finalSample(sample(sampler, ramp, [1, 3], silent, { from }));
    expect(await (await finalSample(run(0))).data()).toEqual(await plain.data());
    for await (const { x, step, denoised } of run(1)) {
      const { signal, noise } = sampler.levels[step];
      const found = await x.data();
      for (const [k, value] of [1, 2, 3].entries()) expect(found[k]).toBeCloseTo(signal * value + noise * 0.5, 12);
      expect(await denoised.data()).toEqual(await image.data());
    }
  });

  test("walks each stretch so many times, and asks the model in its down steps alone", async () => {
    const sampler = ddim(discretePath(schedule, { steps: 5 }));
    const visits = (length: number, times: number) =>
      inpaint(sampler, { image: row(0), keep: row(0), resample: { length, times } }).levels.map((level) =>
        sampler.levels.indexOf(level),
      );
    expect(visits(1, 1)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(visits(1, 2)).toEqual([0, 1, 0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5]);
    expect(visits(2, 3)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 5]);
    expect(visits(5, 9)).toEqual([0, 1, 2, 3, 4, 5]);
    const times: number[] = [];
    const watched: Model = {
      forward: (x, [t]: readonly number[]) => {
        times.push(t);
        return x;
      },
    };
    const edit = inpaint(sampler, { image: row(0), keep: row(0), resample: { length: 2, times: 2 } });
    await finalSample(sample(edit, watched, [1, 1], randomStream(0), { backend: exact }));
    expect(times).toEqual([800, 600, 800, 600, 400, 200, 400, 200, 0]);
  });

  test("jumps back by the forward process, and forgets what multistep methods remember", async () => {
    const sampler = ddim(discretePath(schedule, { steps: 5 }));
    const edit = inpaint(sampler, { image: row(0), keep: row(0), resample: { length: 2, times: 2 } });
    const [a, b] = [sampler.levels[2], sampler.levels[0]];
    const jump = (x: Tensor, rng: NoiseSource) =>
      edit.step({
        x,
        index: 2,
        memory: [x],
        rng,
        predict: () => expect.unreachable("a jump asks no model"),
      });
    const { x, memory } = jump(row(a.signal), silent);
    expect([await x.item(), memory]).toEqual([expect.closeTo(b.signal, 12), []]);
    // The noise that was there, and the new one, make that of the level.
    const there = (b.signal / a.signal) * a.noise;
    expect(Math.hypot(await jump(row(0), constantNoise(1)).x.item(), there)).toBeCloseTo(b.noise, 12);
  });

  test("of one of two correlated numbers draws the other, the closer to its distribution the oftener it resamples", async () => {
    // N(0, [[1, ρ], [ρ, 1]]) with the exact noise prediction, noise · (signal² Σ + noise²)⁻¹ x: given the first number y, the other has
    // the mean ρ y. All steps are linear, so that a run without noise is the mean of runs with it.
    const correlation = 0.9;
    const model: Model = {
      forward: (x, [t]: readonly number[]) => {
        const { signal, noise } = levelAt(schedule, t);
        const [own, cross] = [1, signal ** 2 * correlation]; // signal² + noise² = 1
        const determinant = own ** 2 - cross ** 2;
        const inverse = tensor(Float64Array.of(own, -cross, -cross, own), { backend: exact, shape: [2, 2] });
        return x.matmul(inverse).mul(noise / determinant);
      },
    };
    const sampler = ancestral(discretePath(schedule, { steps: 100 }));
    const errors: number[] = [];
    for (const times of [1, 2, 4, 8, 16]) {
      const edit = inpaint(sampler, { image: row(2, 0), keep: row(1, 0), resample: { times, length: 5 } });
      const run = sample(edit, model, [1, 2], silent, { from: { x: row(0, 0) } });
      const [known, drawn] = await (await finalSample(run)).data();
      expect(known).toBe(2);
      errors.push(Math.abs(drawn - 2 * correlation));
    }
    expect(errors.map((error) => error.toFixed(3))).toEqual(["0.570", "0.320", "0.177", "0.117", "0.098"]);
  });

  test("refuses stretches that are none, and images of another shape", () => {
    const sampler = ddim(discretePath(schedule, { steps: 5 }));
    const [image, keep] = [row(0, 0), row(1, 1)];
    expect(() => inpaint(sampler, { image, keep, resample: { times: 0 } })).toThrow("inpaint: resample.times is 0");
    expect(() => inpaint(sampler, { image, keep, resample: { times: 2, length: 1.5 } })).toThrow("length is 1.5, want");
    const [x, large] = [row(0), tensor([[0], [0]], { backend: exact })];
    const call = { x, index: 0, memory: [], rng: silent, predict: () => x };
    expect(() => inpaint(sampler, { image: large, keep: large }).step(call)).toThrow(/image \[2,1\].*batch \[1,1\]/);
  });
});

describe("interpolation on the sphere", () => {
  test("walks the arc at an even pace, and keeps the length", async () => {
    const [a, b] = [row(1, 0, 0), row(0.5, Math.sqrt(0.75), 0)]; // 60° apart
    for (const weight of [0, 0.25, 0.5, 1, 1.5]) {
      const found = await (await slerp(a, b, weight)).data();
      const angle = (weight * Math.PI) / 3;
      for (const [k, value] of [Math.cos(angle), Math.sin(angle), 0].entries()) expect(found[k]).toBeCloseTo(value, 12);
    }
  });

  test("of two noises stays noise, each sample for itself, where the straight line does not", async () => {
    const rng = randomStream(5);
    const [a, b] = [1, 2].map(() => rng.normal([3, 4000], { backend: exact }));
    const between = await slerp(a, b, 0.5);
    // The mean square of 4,000 normals is 1 within 4 √(2 / 4000), and so is that of the arc; the line's is a half of that.
    const spread = 4 * Math.sqrt(2 / 4000);
    for (const value of await between.square().mean(1).data()) expect(Math.abs(value - 1)).toBeLessThan(spread);
    for (const value of await a.lerp(b, 0.5).square().mean(1).data())
      expect(Math.abs(value - 0.5)).toBeLessThan(spread);
    const alone = await slerp(a.slice([1, 2]), b.slice([1, 2]), 0.5);
    expect(await between.slice([1, 2]).data()).toEqual(await alone.data());
  });

  test("of what DDIM inversion makes of two samples leads from one to the other", async () => {
    // On N(0, 1/4) the way to the noise and back multiplies by a number, and so keeps angles: the arc of the noises is that of the data.
    const model: Model = {
      forward: (x, [t]: readonly number[]) => {
        const { signal, noise } = levelAt(schedule, t);
        return x.mul(noise / (signal ** 2 / 4 + noise ** 2));
      },
    };
    const path = discretePath(schedule, { steps: 50 });
    const [a, b] = [row(0.4, -0.3, 0.6), row(-0.2, 0.5, 0.1)];
    const inverted = (x: Tensor) =>
      finalSample(sample(ddimInversion(path, { iterations: 60 }), model, [1, 3], silent, { from: { x } }));
    const [noiseA, noiseB] = [await inverted(a), await inverted(b)];
    for (const weight of [0, 0.3, 1]) {
      const from = { x: await slerp(noiseA, noiseB, weight) };
      const found = await (await finalSample(sample(euler(path), model, [1, 3], silent, { from }))).data();
      for (const [k, value] of (await (await slerp(a, b, weight)).data()).entries())
        expect(found[k]).toBeCloseTo(value, 9);
    }
  });

  test("of parallel vectors, and of 0, is the straight line; of opposite ones there is none", async () => {
    expect(await (await slerp(row(1, 1), row(3, 3), 0.5)).array()).toEqual([[2, 2]]);
    expect(await (await slerp(row(0, 0), row(3, 1), 0.5)).array()).toEqual([[1.5, 0.5]]);
    const close = await (await slerp(row(1, 0), row(1, 1e-9), 0.25)).data();
    expect(close[1]).toBeCloseTo(0.25e-9, 18);
    await expect(slerp(row(1, 2), row(-1, -2), 0.5)).rejects.toThrow("sample 0 of a and of b point in opposite");
    await expect(slerp(row(1), row(1, 2), 0.5)).rejects.toThrow("slerp: [1,1] and [1,2], want equal shapes");
    await expect(slerp(row(1), row(1), Number.NaN)).rejects.toThrow("slerp: weight is NaN");
  });
});

describe("a run's state as bytes", () => {
  /** Of two earlier estimates and new noise a step. */
  const remembering = dpmSolverPlusPlus(discretePath(schedule, { steps: 8 }), { order: 3, eta: 1 });

  for (const { name, open } of [
    { name: "cpu float64", open: async () => exact },
    ...backends.filter(({ skip }) => !skip),
  ]) {
    test(`goes on with the same bits, memory and stream included: ${name}`, async () => {
      const backend = await open();
      const rng = randomStream(7);
      let saved: Uint8Array | undefined;
      const run = sample(remembering, ramp, [2, 3], rng, { backend });
      let whole: Tensor | undefined;
      for await (const state of run) {
        if (state.step === 3) saved = await serializeSampleState(state, rng);
        whole = state.x;
      }
      const { state, rng: stream } = parseSampleState(saved ?? new Uint8Array(), backend);
      expect([state.step, state.memory.length]).toEqual([3, 2]);
      const again = randomStream(0);
      again.restore(stream);
      const rest = await finalSample(sample(remembering, ramp, [2, 3], again, { from: state }));
      expect(await rest.data()).toEqual(await whole?.data());
    });
  }

  test("goes on in another process", async () => {
    const directory = temporaryDirectory();
    const file = join(directory, "state.safetensors");
    const rng = randomStream(11);
    let whole: Tensor | undefined;
    for await (const state of sample(remembering, ramp, [2, 3], rng, { backend: cpu() })) {
      if (state.step === 2) writeFileSync(file, await serializeSampleState(state, rng));
      whole = state.x;
    }
    const script = await bundled(
      `import { readFileSync } from "node:fs";
      import { discretePath, dpmSolverPlusPlus, finalSample, linear, parseSampleState, sample } from "@pkg/diffusion";
      import { cpu, randomStream } from "@pkg/tensor";
      const { state, rng } = parseSampleState(readFileSync(process.argv[2]), cpu());
      const stream = randomStream(0);
      stream.restore(rng);
      const ramp = { forward: (x, [t]: readonly number[]) => x.mul(t / (t + 1)) };
      const sampler = dpmSolverPlusPlus(discretePath(linear(1000), { steps: 8 }), { order: 3, eta: 1 });
      const run = sample(sampler, ramp, [2, 3], stream, { from: state });
      console.log(JSON.stringify([...await (await finalSample(run)).data()]));`,
      directory,
    );
    const printed = JSON.parse(execFileSync(process.execPath, [script, file], { encoding: "utf8" }));
    expect(printed).toEqual([...((await whole?.data()) ?? [])]);
  });

  test("keeps every type of tensor", async () => {
    const backend = cpu();
    const memory = [
      tensor(Int32Array.of(-3, 2 ** 31 - 1), { backend }),
      tensor(Uint32Array.of(7, 2 ** 32 - 1), { backend }),
      tensor([[1, 0]], { backend, dtype: "bool" }),
    ];
    const x = tensor([0.1, -2], { backend });
    const bytes = await serializeSampleState({ step: 4, x, memory }, randomStream(1));
    const { state } = parseSampleState(bytes, backend);
    for (const [k, found] of state.memory.entries()) {
      expect([found.dtype, found.shape]).toEqual([memory[k].dtype, memory[k].shape]);
      expect(await found.data()).toEqual(await memory[k].data());
    }
    expect(await state.x.data()).toEqual(await x.data());
  });

  test("that are something else are refused, with the reason", async () => {
    const parse = (metadata: string | undefined) => () =>
      parseSampleState(
        serializeSafetensors(new Map(), metadata === undefined ? {} : { "tweedie.sampling": metadata }),
        exact,
      );
    expect(parse(undefined)).toThrow('parseSampleState: no "tweedie.sampling" in its metadata');
    expect(parse("{")).toThrow("parseSampleState: its metadata is not JSON");
    expect(parse('{"format":2}')).toThrow("parseSampleState: format 2, want 1");
    expect(parse('{"format":1,"step":-1,"memory":0,"rng":{}}')).toThrow("lacks step, memory or rng");
    expect(parse('{"format":1,"step":1,"memory":0,"rng":{}}')).toThrow('parseSampleState: no tensor "x"');
    expect(() => parseSampleState(new Uint8Array(3), exact)).toThrow("safetensors: 3 bytes");
  });
});

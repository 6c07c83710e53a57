// What plain JavaScript lets pass: a first argument of the wrong kind is named, and no error comes from the depths.
import * as diffusion from "@pkg/diffusion";
import * as nn from "@pkg/nn";
import * as engine from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = engine.cpu();
const wrong: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  "a text": "x",
  "a promise": Promise.resolve(backend),
  "a schedule": diffusion.cosine(10),
  "a backend": backend,
  "an object": {},
};

/** What a function says of a wrong first argument; the others are right where they have to be there. */
async function fault(f: unknown, value: unknown): Promise<unknown> {
  try {
    await (f as (value: unknown, ...others: unknown[]) => unknown)(value, ...[undefined, undefined]);
    return undefined;
  } catch (error) {
    return error;
  }
}

const samplers = new Map<string, unknown>(Object.entries(diffusion));

/** They take options alone, and open what they describe. */
const OPENERS = ["bestBackend", "cpu", "wasm", "webgpu"];

const isCalled = ([name, f]: readonly [string, unknown]) =>
  typeof f === "function" && /^[a-z]/.test(name) && !OPENERS.includes(name);

const all: readonly (readonly [string, unknown])[] = [...Object.entries(engine), ...Object.entries(nn)];

describe("in @pkg/tensor and @pkg/nn", () => {
  test.each(all.filter(isCalled))("%s", async (_, f) => {
    for (const [what, value] of Object.entries(wrong)) {
      const error = await fault(f, value);
      if (error instanceof TypeError || error instanceof ReferenceError) expect.fail(`${what}: ${error.stack}`);
    }
  });
});

test.each(OPENERS)("%s wants options that are an object", async (name) => {
  for (const value of [null, "x", 3]) {
    const error = await fault(new Map<string, unknown>(all).get(name), value);
    expect(String(error)).toContain(`${name}: options is ${JSON.stringify(value)}, want an object`);
  }
});

test.each([
  "annealedLangevin",
  "ddimInversion",
  "deis",
  "dpm2",
  "dpm2Ancestral",
  "dpmSolver",
  "dpmSolverPlusPlus",
  "euler",
  "eulerAncestral",
  "heun",
  "lms",
  "pndm",
  "reverseDiffusion",
  "rungeKutta",
  "uniPc",
] as const)("%s wants a path, and not a schedule", async (name) => {
  for (const value of Object.values(wrong)) {
    const sampler = () => (samplers.get(name) as (path: unknown, options: object) => unknown)(value, {});
    expect(sampler).toThrow(
      new RegExp(`^${name}: path is .*, want a NoisePath: discretePath\\(schedule\\), sigmaPath\\(sigmas\\)`),
    );
  }
});

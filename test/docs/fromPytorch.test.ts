// Keeps docs/fromPytorch.md true: every expression of its columns "here" passes the compiler.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as diffusion from "@pkg/diffusion";
import * as nn from "@pkg/nn";
import * as tensor from "@pkg/tensor";
import { expect, test } from "vitest";
import { compilerErrors, programFolder } from "./programs.ts";

const text = readFileSync(new URL("../../docs/fromPytorch.md", import.meta.url), "utf8");

/** The last column of each table that has "here" at its head. */
const cells = [...text.matchAll(/^\|.*\| here \|\n\|[-|]*\n((?:\|.*\n)+)/gm)].flatMap(([, rows]) =>
  rows
    .trim()
    .split("\n")
    .map((row) => row.split(/(?<!\\)\|/).at(-2) ?? ""),
);
const expressions = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code));

/** Every function of the packages; one that two have takes the arguments of either. */
const packages = Object.entries({ tensor, nn, diffusion });
const names = new Set(packages.flatMap(([, exports]) => Object.keys(exports)).filter((name) => /^[a-z]/.test(name)));
const functions = [...names].map((name) => {
  const owners = packages.filter(([, exports]) => name in exports);
  return `declare const ${name}: ${owners.map(([owner]) => `typeof packages.${owner}.${name}`).join(" & ")};`;
});

/** What the expressions speak of. */
const GIVEN = `
  declare const a: Tensor, b: Tensor, x: Tensor, y: Tensor, k: Tensor, v: Tensor, w: Tensor, i: Tensor, mask: Tensor;
  declare const gradients: Tensor[], features: number[][], sigmas: number[], betas: number[], times: number[], file: string;
  declare const rng: RandomStream, backend: Backend, op: Op<undefined>, f: (x: Tensor) => Tensor, state: StateDict;
  declare const model: Unet, optimizer: Optimizer, average: Ema;
  declare const schedule: Schedule, path: NoisePath, sampler: Sampler, step: SampleStep;
`;

test("every expression passes the compiler", async () => {
  expect(expressions.length).toBeGreaterThan(250);
  const folder = programFolder("from-pytorch");
  try {
    writeFileSync(
      join(folder, "packages.ts"),
      packages.map(([name]) => `export * as ${name} from "@pkg/${name}";\n`).join(""),
    );
    const head = `
      import type * as packages from "./packages.ts";
      import type { Backend, Op, RandomStream, Tensor } from "@pkg/tensor";
      import type { Ema, Optimizer, StateDict, Unet } from "@pkg/nn";
      import type { NoisePath, Sampler, SampleStep, Schedule } from "@pkg/diffusion";
      ${functions.join(" ")}
      ${GIVEN}
    `;
    // Each expression has a line of its own, behind one line of declarations.
    const lines = [head.replaceAll("\n", " "), ...expressions.map((code) => `void (${code});`)];
    writeFileSync(join(folder, "page.ts"), lines.join("\n"));
    const errors = (await compilerErrors(folder))
      .split("\n")
      .map((error) => error.replace(/^.*page\.ts\((\d+),\d+\)/, (_, line) => lines[Number(line) - 1].slice(0, 200)));
    expect(errors).toEqual([""]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

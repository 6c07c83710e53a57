// Keeps the examples of docstrings true: each passes the compiler, and prints what its comments say.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format } from "node:util";
import * as diffusion from "@pkg/diffusion";
import * as nn from "@pkg/nn";
import * as engine from "@pkg/tensor";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { examples, examplesOf, isPrinted } from "./examples.ts";
import { compilerErrors, programFolder } from "./programs.ts";

/** The families of the public face, and the export whose docstring shows how each is used. */
const FAMILIES = {
  tensors: "tensor",
  gradients: "grad",
  capture: "capture",
  networks: "unet",
  losses: "noisePrediction",
  flows: "flowMatching",
  "score matching": "implicitScoreMatching",
  sampling: "sample",
  solvers: "solvers",
  guidance: "classifierFree",
  likelihood: "odeLikelihood",
  metrics: "frechetDistance",
  oracles: "mixtureOracle",
};

const folder = programFolder("examples");
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
  engine.setDefaultBackend(undefined);
});

const found = examples(["tensor", "nn", "diffusion"]);
const files = found.map((example, k) => ({ ...example, file: join(folder, `${k}.${example.name}.ts`) }));
for (const { file, code } of files) writeFileSync(file, `${code}\nexport {};\n`);

describe("the examples of docstrings", () => {
  test.each(Object.entries(FAMILIES))("%s have one: %s", (_, name) => {
    expect(found.map((example) => example.name)).toContain(name);
  });

  test("all stand at exports", () => {
    const exports = Object.keys({ ...engine, ...nn, ...diffusion });
    expect(found.filter(({ name }) => !exports.includes(name))).toEqual([]);
  });

  test("pass the compiler", async () => {
    expect(await compilerErrors(folder)).toBe("");
  });

  test.each(files)("$name prints what its comments say ($place)", async ({ file, printed }) => {
    expect(printed.length).toBeGreaterThan(0);
    const lines: string[] = [];
    vi.spyOn(console, "log").mockImplementation((...values) => void lines.push(format(...values)));
    await import(file);
    expect(lines.length, lines.join("\n")).toBe(printed.length);
    for (const [k, line] of lines.entries()) {
      if (!isPrinted(printed[k] ?? expect.fail(`line ${k} has no comment`), line)) expect(line).toBe(printed[k]);
    }
  });
});

describe("an example", () => {
  const source = (line: string) =>
    `/**\n * A sum.\n * @example\n * \`\`\`ts\n * ${line}\n * \`\`\`\n */\nexport function sum() {}\n`;

  test("is read with its name, its place and what it prints", () => {
    expect(examplesOf(source("console.log(1 + 1); // 2"), "a.ts")).toEqual([
      { name: "sum", place: "a.ts:1", code: "console.log(1 + 1); // 2\n", printed: ["2"] },
    ]);
    expect(examplesOf(source("console.log(1);"), "a.ts")[0].printed).toEqual([null]);
    expect(() => examplesOf(source("").replace("```ts", "```"), "a.ts")).toThrow(
      "a.ts: an @example of export function",
    );
  });

  test("is true of a line that it prints, and of no other", () => {
    expect(isPrinted("[1, 2.5]", "[ 1, 2.5 ]")).toBe(true);
    expect(isPrinted("0.84…", "0.8414709848")).toBe(true);
    expect(isPrinted("0.84…", "0.85")).toBe(false);
    expect(isPrinted("0.84", "0.8414")).toBe(false);
    expect(isPrinted("1.5", "125")).toBe(false);
  });
});

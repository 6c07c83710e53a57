// Keeps README.md true: runs the programs that it shows.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "./setup/gpu.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
// Outside of the repository, as a program of one's own may lie.
const directory = mkdtempSync(join(tmpdir(), "tweedie-readme-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The programs of README.md, in order. */
const programs = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(
  ([, program]) => program,
);

/** Runs a program. */
async function resultOf(index: number, program = programs[index]): Promise<{ stdout: string; stderr: string }> {
  const file = `program${index}.ts`;
  writeFileSync(join(directory, file), program);
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const [node, ...words] = scripts["run:ts"].split(" ");
  expect(node).toBe("node");
  // As pnpm does: it runs scripts in the root, and says where it was called.
  const env = { ...process.env, INIT_CWD: directory };
  return promisify(execFile)(process.execPath, [...words, file], { cwd: root, env });
}

/** What a program prints. */
const outputOf = async (index: number) => (await resultOf(index)).stdout;

test("there are four programs, each run by a test below", () => {
  expect(programs).toHaveLength(4);
});

test("the program learns, and draws one bright row in each image", async () => {
  expect(programs[0].split("\n").length).toBeLessThan(35);
  const stdout = await outputOf(0);
  const losses = [...stdout.matchAll(/loss (\S+)/g)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(4);
  expect(Math.max(...losses)).toBeLessThan(0.2); // predicting no noise at all costs 1
  const images = stdout.split("\n").filter((line) => /^[#.]{8}\s*$/.test(line));
  expect(images).toHaveLength(32);
  // A network that small, trained for seconds, may smear one of four.
  const clear = [0, 1, 2, 3].filter((k) => {
    const bright = images.slice(8 * k, 8 * k + 8).map((line) => line.split("#").length - 1);
    const total = bright.reduce((a, b) => a + b, 0);
    return Math.max(...bright) >= 7 && total <= 10;
  });
  expect(clear.length, images.join("\n")).toBeGreaterThanOrEqual(3);
});

test("the guided samples are at the places asked for, and new points about as likely as they can be", async () => {
  const stdout = await outputOf(1);
  const [drawn, log] = [stdout.slice(0, stdout.indexOf("log p")), stdout.slice(stdout.indexOf("log p: "))];
  const numbers = (drawn.match(/-?\d[\d.e-]*/g) ?? []).map(Number);
  expect(numbers).toHaveLength(8);
  for (const [k, [x, y]] of [
    [1, 0],
    [1, 0],
    [0, 1],
    [0, 1],
  ].entries()) {
    // Four standard deviations of the data; neighbours are 0.77 apart.
    expect(Math.hypot(numbers[2 * k] - x, numbers[2 * k + 1] - y), stdout).toBeLessThan(0.4);
  }
  // The best Gaussian, of variance ½ + 0.1², has −log(2π · 0.51) − 1 = −2.16; the mean over 100 points deviates by 0.2.
  expect(Number(log.slice(7)), stdout).toBeGreaterThan(-1.8);
  expect(Math.abs(Number(log.slice(7)) + 1.35), stdout).toBeLessThan(0.2); // as README says; adapters differ in rounding
});

test("the score network's samples lie on the circle", async () => {
  // |x| − 2 of the data is about N(0, 0.1²), whose mean magnitude is 0.08; the last level's noise of 0.05 hardly adds to it.
  expect(Number(/circle by (\S+)/.exec(await outputOf(2))?.[1])).toBeLessThan(0.15);
});

test("one call of the mean flow draws points on the circle", async () => {
  // One call of a flow gives points in the midst of the circle, off it by 2.
  expect(Number(/circle by (\S+)/.exec(await outputOf(3))?.[1])).toBeLessThan(0.2);
});

/** A program on WebGPU with a few of its steps, which says on stderr what was replayed. */
function onWebgpu(program: string, capture: boolean): string {
  const short = program
    .replace("await bestBackend()", `await webgpu({ capture: ${capture} })`)
    .replaceAll("bestBackend", "webgpu")
    .replace(/step(?: <= 400| < 1000)/, "step < 8")
    .replace("step % 100 === 0", "step % 3 === 0")
    .replace(/steps: (?:20|1) /, "steps: 6 ")
    .replace("karras(18", "karras(6")
    .replace("stepsPerLevel: 40", "stepsPerLevel: 2")
    .replace("[1000, 2]", "[8, 2]")
    // An adaptive method takes minutes on a software adapter.
    .replace(/^const \{ logLikelihood \}.*\nconsole.log.*$/m, "");
  const imports = [...short.matchAll(/^import [\s\S]*?;$/gm)].map(([line]) => line);
  const body = imports.reduce((rest, line) => rest.replace(line, ""), short);
  return [
    ...imports,
    'import { explain } from "@pkg/tensor";',
    `const told = await explain(async () => {${body}});`,
    "for (const { name, steps, isReplayed } of told) if (isReplayed) console.error(name, steps);",
  ].join("\n");
}

describe.skipIf(!gpuAvailable)("on WebGPU, with fewer steps,", () => {
  test.each([0, 1, 2, 3])(
    "program %i prints the same captured and op by op, and its steps are replayed",
    async (index) => {
      const [captured, plain] = [
        await resultOf(index, onWebgpu(programs[index], true)),
        await resultOf(index, onWebgpu(programs[index], false)),
      ];
      expect(captured.stdout).toBe(plain.stdout);
      expect(captured.stderr).toMatch(/minimize \d[\s\S]*sample \d/);
      expect(plain.stderr).toBe("");
    },
  );
});

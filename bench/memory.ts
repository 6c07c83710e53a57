// `pnpm bench:memory`: peak memory and time of a training step of the CIFAR-10 U-Net on WebAssembly, by what is recomputed; beside an
// earlier build if one is given.
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  answer,
  type Command,
  describeBusyness,
  type FlagTable,
  type FlagValues,
  InputError,
  runAsProgram,
} from "@pkg/command";
import { CIFAR_UNET } from "./cases/training.ts";
import { environment } from "./environment.ts";

const FLAGS = {
  beside: { help: "a checkout of an earlier build, installed; the program of one training is copied into its bench/" },
  batch: { help: "images a step", default: 16, range: [1, 65_536], integer: true },
  accumulate: {
    help: "parts of a step of this build, whose gradients add up",
    default: 1,
    range: [1, 65_536],
    integer: true,
  },
  steps: {
    help: "steps that are timed in each process, after one that is not",
    default: 2,
    range: [0, 1000],
    integer: true,
  },
  rounds: { help: "how often each build trains, in turn", default: 2, range: [1, 1000], integer: true },
  json: { help: "where to write everything measured as JSON", isOutput: true },
} as const satisfies FlagTable;

/** Weights, gradients, two moments and the average. */
const LASTING = 5;

/** A build, and what it recomputes. */
interface Way {
  readonly name: string;
  readonly folder: string;
  readonly checkpoint: boolean;
  readonly parts: number;
}

/** What the trainings of a way took. */
interface Measured {
  readonly name: string;
  readonly peakBytes: number;
  /** What lies above weights, gradients, moments and average. */
  readonly aboveBytes: number;
  /** Milliseconds a step. */
  readonly times: readonly number[];
  readonly losses: readonly number[];
  /** Why it trained no step; then nothing was measured. */
  readonly failure?: string;
}

export const memory: Command<keyof typeof FLAGS> = {
  name: "bench:memory",
  about:
    "Measures peak memory and time of a training step of the CIFAR-10 U-Net on WebAssembly, by what is recomputed.",
  flags: FLAGS,
  onlyPrints: (flags) => flags.given("json") === undefined,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(memory, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const [batch, parts] = [flags.number("batch"), flags.number("accumulate")];
  if (batch % parts !== 0) throw new InputError(`--accumulate ${parts}: want a divisor of --batch ${batch}`);
  const here = fileURLToPath(new URL("..", import.meta.url));
  const beside = flags.given("beside");
  if (beside !== undefined && !existsSync(join(beside, "tools/run.mjs"))) {
    throw new InputError(`--beside ${beside}: no tools/run.mjs in it, want a checkout of an earlier build`);
  }
  const ways: readonly Way[] = [
    ...(beside === undefined ? [] : [{ name: "earlier", folder: beside, checkpoint: false, parts: 1 }]),
    { name: "now", folder: here, checkpoint: false, parts },
    { name: "now, checkpoint per stage", folder: here, checkpoint: true, parts },
  ];
  const finish = environment("bench:memory");
  const found = new Map<string, Measured>();
  for (let round = 0; round < flags.number("rounds"); round++) {
    for (const way of ways) {
      const before = found.get(way.name);
      if (before?.failure) continue;
      const one = await train(way, batch, flags.number("steps"));
      found.set(way.name, before ? { ...one, times: [...before.times, ...one.times] } : one);
    }
  }
  const all = [...found.values()];
  const taken = finish();
  for (const line of table(all)) process.stdout.write(`${line}\n`);
  process.stdout.write(`${describeBusyness(taken)}\n`);
  const json = flags.given("json");
  if (json) writeFileSync(json, `${JSON.stringify({ environment: taken, batch, parts, ways: all })}\n`);
  return 0;
}

/** Trains in a process of its own: a build has its own packages, and memory that WebAssembly took stays taken. */
async function train({ name, folder, checkpoint, parts }: Way, batch: number, steps: number): Promise<Measured> {
  const program = join(folder, "bench/memoryStep.ts");
  const own = fileURLToPath(new URL("memoryStep.ts", import.meta.url));
  if (program !== own) copyFileSync(own, program);
  const config = { ...CIFAR_UNET.config, ...(checkpoint && { checkpoint }) };
  const words = ["tools/run.mjs", program, JSON.stringify({ config, batch, parts, steps })];
  const none = { name, peakBytes: 0, aboveBytes: 0, times: [], losses: [] };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: folder });
    const { parameters, ...measured } = JSON.parse(stdout) as Measured & { readonly parameters: number };
    return { ...none, ...measured, aboveBytes: measured.peakBytes - LASTING * 4 * parameters };
  } catch (error) {
    const text = String((error as { stderr?: string }).stderr ?? error);
    const failure = /^(\w*Error: .*)$/m.exec(text)?.[1] ?? text.trim().split("\n").at(-1) ?? text;
    return { ...none, failure };
  }
}

function table(all: readonly Measured[]): string[] {
  const [first] = all;
  const least = ({ times }: Measured) => Math.min(...times);
  const ratio = (a: number, b: number) => (b > 0 && Number.isFinite(a / b) ? (a / b).toFixed(3) : "");
  const rows = all.map((one) =>
    one.failure
      ? [one.name, one.failure]
      : [
          one.name,
          mebi(one.peakBytes),
          mebi(one.aboveBytes),
          ratio(one.aboveBytes, first.aboveBytes),
          least(one).toFixed(0),
          first.failure ? "" : ratio(least(one), least(first)),
        ],
  );
  return [["", "peak MiB", "above MiB", "of the first", "least ms a step", "of the first"], ...rows].map((cells) =>
    cells.map((cell, k) => (k === 0 ? cell.padEnd(28) : cell.padStart(16))).join(""),
  );
}

function mebi(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

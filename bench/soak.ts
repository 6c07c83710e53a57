// `pnpm soak`: loops that leave their garbage lying, for 100,000 steps; live tensors, bytes and the process's memory on the way.
import { answer, type Command, closedAtEnd, type FlagTable, type FlagValues, runAsProgram } from "@pkg/command";
import { type Backend, cpu, liveTensors, tidy, wasm, webgpu } from "@pkg/tensor";
import { LOOPS } from "./soakLoops.ts";

const FLAGS = {
  backend: { help: "what computes", default: "wasm", choices: ["wasm", "cpu", "webgpu"] },
  loop: { help: "which loop", default: "training", choices: ["training", "arithmetic", "arithmetic read"] },
  steps: { help: "how many steps", default: 100_000, range: [1, 1e9], integer: true },
} as const satisfies FlagTable;

/** Steps of the same loop in `tidy`, before the others: what they take is the working set. */
const TIDY_STEPS = 300;
const ROWS = 10;
/** What the process may take, by the working set. */
const MOST = 2;

export const soak: Command<keyof typeof FLAGS> = {
  name: "soak",
  about: "Runs a loop without tidy, and fails when the process takes more than twice what it takes with tidy.",
  flags: FLAGS,
  onlyPrints: () => true,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(soak, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const openers: Record<string, () => Promise<Backend>> = { wasm, cpu: async () => cpu(), webgpu };
  const name = flags.word("loop") as keyof typeof LOOPS; // one of the choices
  const steps = flags.number("steps");
  const backend = closedAtEnd(await openers[flags.word("backend")]());
  const body = LOOPS[name](backend);
  say(`${name} on ${backend.name}, Node ${process.version}, ${process.platform}-${process.arch}`);
  say("      step  live tensors  MiB of tensors  most MiB so far  MiB of the process");

  let most = 0;
  const look = (label: string): void => {
    const { bytes, peakBytes } = backend.memory();
    const cells = [liveTensors(), mebi(bytes), mebi(peakBytes), mebi(most)];
    const widths = [12, 14, 15, 18];
    say(`${label.padStart(10)}  ${cells.map((cell, k) => `${cell}`.padStart(widths[k])).join("  ")}`);
  };
  const measure = () => {
    most = Math.max(most, process.memoryUsage().rss);
  };

  for (let step = 1; step <= TIDY_STEPS; step++) {
    await tidied(body, step);
    measure();
  }
  look("with tidy");
  const workingSet = most;
  most = 0;
  for (let step = 1; step <= steps; step++) {
    await body(step);
    if (step % 10 === 0 || step === steps) measure();
    if (step % Math.ceil(steps / ROWS) === 0 || step === steps) look(`${step}`);
  }
  const ratio = most / workingSet;
  say(`at most ${ratio.toFixed(2)} times the working set, want at most ${MOST}`);
  return ratio <= MOST ? 0 : 1;
}

/** A step whose tensors are freed as soon as it has returned; what it reads is read before. */
function tidied(body: (step: number) => void | Promise<void>, step: number): void | Promise<void> {
  return tidy(() => ({ reading: body(step) })).reading;
}

function mebi(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

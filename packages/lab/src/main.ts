// `pnpm lab`: runs the experiments and writes what they found as one HTML page.

import { accessSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answer, type Command, closedAtEnd, type FlagTable, type FlagValues, runAsProgram } from "@pkg/command";
import { bestBackend, randomStream } from "@pkg/tensor";
import { experiments } from "./experiments/index.ts";
import { reportHtml, type Section } from "./report.ts";

const NAMES = experiments.map(({ name }) => name);
const FLAGS = {
  only: { help: "one experiment", choices: NAMES, isRepeated: true },
  out: { help: "where to write lab.html", default: "out" },
  seed: { help: "where all random numbers come from", default: 0, range: [0, 2 ** 53 - 1], integer: true },
} as const satisfies FlagTable;

export const lab: Command<keyof typeof FLAGS> = {
  name: "lab",
  about: "Runs the experiments on what the theory says, and writes what they found as one page, lab.html.",
  flags: FLAGS,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(lab, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const [only, out] = [flags.words("only"), flags.word("out")];
  const root = randomStream(flags.number("seed"));
  mkdirSync(out, { recursive: true });
  accessSync(out, constants.W_OK);
  const backend = closedAtEnd(await bestBackend({ onChoice: (reason) => say(`backend: ${reason}`) }));
  const sections: Section[] = [];
  for (const experiment of experiments) {
    if (only.length > 0 && !only.includes(experiment.name)) continue;
    const began = performance.now();
    const findings = await experiment.run({ backend, rng: root.split(experiment.name) });
    const seconds = (performance.now() - began) / 1000;
    sections.push({ experiment, findings, seconds });
    say(`\n${experiment.title} (${seconds.toFixed(1)} s)\n${findings.text.join("\n")}`);
  }
  const path = join(out, "lab.html");
  writeFileSync(path, await reportHtml(sections, `${backend.name}, seed ${flags.number("seed")}, pnpm lab`));
  say(`\n${path}`);
  return 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

// `pnpm lab`: runs the experiments and writes what they found as one HTML page.

import { accessSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  answer,
  type Command,
  closedAtEnd,
  describeBusyness,
  type FlagTable,
  type FlagValues,
  runAsProgram,
  sources,
  watchBusyness,
} from "@pkg/command";
import { bestBackend, randomStream } from "@pkg/tensor";
import type { Findings } from "./experiment.ts";
import { experiments } from "./experiments/index.ts";
import { overSeeds } from "./overSeeds.ts";
import { reportHtml, type Section } from "./report.ts";

const NAMES = experiments.map(({ name }) => name);
const FLAGS = {
  only: { help: "one experiment", choices: NAMES, isRepeated: true },
  out: { help: "where to write lab.html", default: "out" },
  seeds: {
    help: "how many seeds each experiment is run from, for the errors of its figures",
    default: 3,
    range: [1, 100],
    integer: true,
  },
  seed: { help: "the first of the seeds", default: 0, range: [0, 2 ** 53 - 101], integer: true },
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
  const first = flags.number("seed");
  const seeds = Array.from({ length: flags.number("seeds") }, (_, k) => first + k);
  const busyness = watchBusyness();
  mkdirSync(out, { recursive: true });
  accessSync(out, constants.W_OK);
  const backend = closedAtEnd(await bestBackend({ onChoice: (reason) => say(`backend: ${reason}`) }));
  const sections: Section[] = [];
  for (const experiment of experiments) {
    if (only.length > 0 && !only.includes(experiment.name)) continue;
    const began = performance.now();
    const each: Findings[] = [];
    for (const seed of seeds)
      each.push(await experiment.run({ backend, rng: randomStream(seed).split(experiment.name) }));
    const findings = overSeeds(each);
    const seconds = (performance.now() - began) / 1000;
    sections.push({ experiment, findings, seconds });
    say(`\n${experiment.title} (${seconds.toFixed(1)} s)\n${findings.text.join("\n")}`);
  }
  const path = join(out, "lab.html");
  const { commit, dirty } = sources();
  const made = [
    new Date().toISOString(),
    `sources ${commit ?? "unknown"}${dirty ? ", with changes" : ""}`,
    backend.name,
    `seeds ${seeds.join(", ")}`,
    ["pnpm lab", ...process.argv.slice(2)].join(" "),
    describeBusyness(busyness()),
  ];
  writeFileSync(path, await reportHtml(sections, made.join(" · ")));
  say(`\n${path}\n${made.join("\n")}`);
  return 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

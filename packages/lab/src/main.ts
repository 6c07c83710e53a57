// `pnpm lab`: runs the experiments and writes what they found as one HTML page.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bestBackend, randomStream } from "@pkg/tensor";
import { experiments } from "./experiments/index.ts";
import { reportHtml, type Section } from "./report.ts";

const HELP = `pnpm lab [flags]
  --only <name>   one experiment; may be repeated: ${experiments.map(({ name }) => name).join(", ")}
  --out <dir>     where to write lab.html (default out)
  --seed <n>      where all random numbers come from (default 0)
`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    out: { type: "string", default: "out" },
    seed: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const unknown = flags.only.find((name) => experiments.every((experiment) => experiment.name !== name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: want one of ${experiments.map(({ name }) => name).join(", ")}`);
  const root = randomStream(Number(flags.seed));
  mkdirSync(flags.out, { recursive: true });
  const backend = await bestBackend({ onChoice: (reason) => say(`backend: ${reason}`) });
  const sections: Section[] = [];
  for (const experiment of experiments) {
    if (flags.only.length > 0 && !flags.only.includes(experiment.name)) continue;
    const began = performance.now();
    const findings = await experiment.run({ backend, rng: root.split(experiment.name) });
    const seconds = (performance.now() - began) / 1000;
    sections.push({ experiment, findings, seconds });
    say(`\n${experiment.title} (${seconds.toFixed(1)} s)\n${findings.text.join("\n")}`);
  }
  const path = join(flags.out, "lab.html");
  writeFileSync(path, await reportHtml(sections, `${backend.name}, seed ${flags.seed}, pnpm lab`));
  say(`\n${path}`);
  backend.dispose();
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

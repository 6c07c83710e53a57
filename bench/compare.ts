// `pnpm bench:compare A.json B.json`: what became slower or faster from one run to another. Exit code 1 when something got slower.
import { answer, type Command, describeBusyness, runAsProgram } from "@pkg/command";
import { changes, comparisonTable } from "./changes.ts";
import { readResult } from "./result.ts";

export const compare: Command = {
  name: "bench:compare",
  about: "Says what became slower or faster from one run to another; exit code 1 when something got slower.",
  flags: {},
  operands: ["A.json", "B.json"],
  notes: "Both are files that bench --json wrote.",
  onlyPrints: () => true,
  run: async (_, files) => {
    const [before, after] = await Promise.all(files.map(readResult));
    const found = changes(before, after);
    process.stdout.write(`${comparisonTable(found)}\n`);
    for (const [k, { environment }] of [before, after].entries()) {
      if (environment.isBusy) process.stdout.write(`${files[k]}: ${describeBusyness(environment)}\n`);
    }
    return found.some(({ verdict }) => verdict === "slower") ? 1 : 0;
  },
};

await runAsProgram(import.meta.url, (words) => answer(compare, words));

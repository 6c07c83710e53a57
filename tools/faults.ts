// `pnpm faults` plants faults, one at a time, in a copy of the repository, and says which tests notice. docs/numerics.md has the
// result; the command fails when a fault goes unnoticed.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { answer, type Command, contains, expectSome, type FlagTable, runAsProgram } from "@pkg/command";
import { type Fault, faults } from "./plantedFaults.mjs";
import { copyOfRepository } from "./repositoryCopy.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = join(root, "node_modules/vitest/vitest.mjs");

const FLAGS = { filter: { help: "faults whose name contains it", default: "" } } as const satisfies FlagTable;

export const faultsCommand: Command<keyof typeof FLAGS> = {
  name: "faults",
  about:
    "Plants faults, one at a time, in a copy of the repository, and says which tests notice; exit code 1 when none does.",
  flags: FLAGS,
  onlyPrints: () => true,
  run: async (flags) => main(flags.word("filter")),
};

await runAsProgram(import.meta.url, (words) => answer(faultsCommand, words));

function main(filter: string): number {
  expectSome(
    filter,
    faults.map(({ name }) => name),
  );
  const copy = copyOfRepository("faults");
  let unnoticed = 0;
  try {
    for (const fault of faults.filter(({ name }) => contains(name, filter))) {
      const failed = testsThatNotice(fault, copy);
      if (failed.length === 0) unnoticed++;
      const first = failed.length === 0 ? "UNNOTICED" : failed[0].trim();
      process.stdout.write(`${fault.name} (${fault.file})\n    ${failed.length} tests fail: ${first}\n`);
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
  return unnoticed > 0 ? 1 : 0;
}

/** @returns the names of the tests that fail. @throws Error when the file has changed so that the fault cannot be planted */
function testsThatNotice({ name, file, from, to, tests, only }: Fault, copy: string): string[] {
  const path = join(copy, file);
  const text = readFileSync(path, "utf8");
  if (!text.includes(from)) throw new Error(`faults: no "${from}" in ${file} for "${name}", want its new wording`);
  const report = join(copy, "report.json");
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  try {
    const files = tests.map((test) => `test/${test}.test.ts`);
    const named = only ? ["-t", only] : [];
    const command = [vitest, "run", ...files, ...named, "--reporter=json", `--outputFile=${report}`];
    spawnSync(process.execPath, command, { cwd: copy, stdio: "ignore" });
    const { testResults } = JSON.parse(readFileSync(report, "utf8"));
    const results: { fullName: string; status: string }[] = testResults.flatMap(
      ({ assertionResults }: { assertionResults: object[] }) => assertionResults,
    );
    if (!results.some(({ status }) => status !== "skipped")) throw new Error(`faults: no test ran for "${name}"`);
    return results.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);
  } finally {
    writeFileSync(path, text);
    rmSync(report, { force: true });
  }
}

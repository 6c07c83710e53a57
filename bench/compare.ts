// `pnpm bench:compare A.json B.json`: what became slower or faster from one run to another. Exit code 1 when something got slower.
import { parseArgs } from "node:util";
import { changes, comparisonTable } from "./changes.ts";
import { readResult } from "./result.ts";

const { positionals } = parseArgs({ allowPositionals: true });
if (positionals.length !== 2) {
  process.stderr.write("usage: pnpm bench:compare A.json B.json, two files that bench --json wrote\n");
  process.exitCode = 2;
} else {
  const [before, after] = positionals.map(readResult);
  const found = changes(before, after);
  process.stdout.write(`${comparisonTable(found)}\n`);
  process.exitCode = found.some(({ verdict }) => verdict === "slower") ? 1 : 0;
}

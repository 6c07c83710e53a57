// `pnpm numerics`: every op's cases on every backend of this machine, as one table: worst error in units of its tolerance.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Backend, cpu, webgpu } from "@pkg/tensor";
import { allOps, checkCase, type Finding } from "./tensor/checkCase.ts";

const HELP = `pnpm numerics [flags]
  --filter <text>   ops whose name contains it
  --json <file>     write every finding as JSON
`;

const KINDS = ["value", "value of strided inputs", "repetition", "gradient", "second gradient"] as const;

/** The findings of one op on one backend. */
interface Row {
  readonly op: string;
  readonly backend: string;
  readonly cases: number;
  readonly worst: Readonly<Record<Finding["what"], number>>;
  readonly failures: readonly string[];
}

const { values: flags } = parseArgs({
  options: {
    filter: { type: "string", default: "" },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) process.stdout.write(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const backends = await openBackends();
  const rows: Row[] = [];
  for (const op of allOps.filter(({ name }) => name.includes(flags.filter))) {
    for (const { label, backend } of backends) {
      const findings: Finding[] = [];
      const failures: string[] = [];
      for (const [index, given] of op.cases.entries()) {
        try {
          const found = await checkCase(op, given, index, backend);
          findings.push(...found);
          failures.push(
            ...found.filter(({ relative }) => !(relative <= 1)).map((f) => `case ${index}, ${f.what}: ${f.message}`),
          );
        } catch (error) {
          failures.push(`case ${index}: ${error instanceof Error ? error.message : error}`);
        }
      }
      const worst = (kind: Finding["what"]) =>
        Math.max(0, ...findings.filter(({ what }) => what === kind).map((f) => f.relative));
      const row: Row = {
        op: op.name,
        backend: label,
        cases: op.cases.length,
        worst: Object.fromEntries(KINDS.map((kind) => [kind, worst(kind)])) as Row["worst"],
        failures,
      };
      rows.push(row);
      print(row);
    }
  }
  const failed = rows.filter(({ failures }) => failures.length > 0).length;
  process.stdout.write(`${rows.length - failed} of ${rows.length} rows within tolerance\n`);
  if (flags.json)
    writeFileSync(
      flags.json,
      `${JSON.stringify({ schema: 1, backends: backends.map(({ label, backend }) => ({ label, name: backend.name })), rows })}\n`,
    );
  for (const { backend } of backends) backend.dispose();
  return failed > 0 ? 1 : 0;
}

async function openBackends(): Promise<{ label: string; backend: Backend }[]> {
  const opened = [{ label: "cpu", backend: cpu({ poison: true }) }];
  for (const profile of ["direct", "tiled"] as const) {
    try {
      opened.push({ label: `webgpu ${profile}`, backend: await webgpu({ poison: true, profile }) });
    } catch (error) {
      process.stdout.write(`webgpu ${profile}: not run: ${error instanceof Error ? error.message : error}\n`);
    }
  }
  for (const { label, backend } of opened) process.stdout.write(`${label} is ${backend.name}\n`);
  process.stdout.write(`${"op".padEnd(22)}${"backend".padEnd(16)}cases  worst error as a share of what is allowed\n`);
  return opened;
}

function print({ op, backend, cases, worst, failures }: Row): void {
  const shares = KINDS.map((kind) => `${kind} ${worst[kind].toPrecision(2)}`).join(", ");
  process.stdout.write(`${op.padEnd(22)}${backend.padEnd(16)}${`${cases}`.padStart(5)}  ${shares}\n`);
  for (const failure of failures) process.stdout.write(`    FAILED ${failure}\n`);
}

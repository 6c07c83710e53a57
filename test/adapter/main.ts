// `pnpm adapter`: what the machine's adapter does where WGSL leaves it open, as a table and as JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openGpu } from "../../bench/gpuDevice.ts";
import { describeAdapter } from "../../packages/tensor/src/backends/webgpu/device.ts";
import { recordedAnswers, withTables } from "./document.ts";
import { type Answers, holds, text } from "./probe.ts";
import { probes } from "./probes.ts";
import { tables } from "./tables.ts";

const HELP = `pnpm adapter [flags]
  --json <file>   write the answers as JSON too; docs/adapters/ has those of the adapters seen so far
  --name <text>   what stands above the adapter's column; its own name by default
  --document      ask nobody: make the tables of docs/adapters.md from docs/adapters/*.json

The machine's adapter answers; TWEEDIE_ADAPTER=swiftshader asks the software adapter of the tests.
The exit code is 1 where an op of the engine gives a wrong value on the adapter.
`;

const { values: flags } = parseArgs({
  options: {
    json: { type: "string" },
    name: { type: "string" },
    document: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) process.stdout.write(HELP);
else if (flags.document) {
  writeFileSync("docs/adapters.md", withTables(readFileSync("docs/adapters.md", "utf8"), recordedAnswers("docs")));
} else process.exitCode = await ask();

async function ask(): Promise<number> {
  const { backend, adapter, device } = await openGpu();
  const answers: Record<string, Answers> = {};
  const wrong: string[] = [];
  for (const probe of probes) {
    answers[probe.topic] = await probe.ask(device, adapter);
    const checks = (await probe.ours?.(backend)) ?? [];
    for (const check of checks.filter((one) => !holds(one))) {
      const { what, found, want } = check;
      wrong.push(`${probe.topic}: ${what} is ${text(found)} by the engine, want ${text(want)}`);
    }
  }
  const recorded = { name: flags.name ?? describeAdapter(adapter), adapter: describeAdapter(adapter), answers };
  process.stdout.write(`${recorded.adapter}\n\n${tables([recorded])}\n`);
  process.stdout.write([...wrong, `${wrong.length} wrong values of the engine`].map((line) => `${line}\n`).join(""));
  const json = `${JSON.stringify(recorded, null, 2)}\n`;
  if (flags.json) writeFileSync(flags.json, json);
  else process.stdout.write(`\n${json}`);
  backend.dispose();
  return wrong.length > 0 ? 1 : 0;
}

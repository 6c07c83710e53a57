// `pnpm adapter`: what the machine's adapter does where WGSL leaves it open, as a table and as JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { answer, type Command, closedAtEnd, type FlagTable, type FlagValues, runAsProgram } from "@pkg/command";
import { openGpu } from "../../bench/gpuDevice.ts";
import { describeAdapter } from "../../packages/tensor/src/backends/webgpu/device/device.ts";
import { recordedAnswers, withTables } from "./document.ts";
import { type Answers, holds, text } from "./probe.ts";
import { probes } from "./probes.ts";
import { tables } from "./tables.ts";

const FLAGS = {
  json: {
    help: "where to write the answers as JSON too; docs/adapters/ has those of the adapters seen so far",
    isOutput: true,
  },
  name: { help: "what stands above the adapter's column; by default its own name" },
  document: { help: "ask nobody: make the tables of docs/adapters.md from docs/adapters/*.json", isSwitch: true },
} as const satisfies FlagTable;
type Flags = FlagValues<keyof typeof FLAGS>;

export const adapterCommand: Command<keyof typeof FLAGS> = {
  name: "adapter",
  about: "Asks the machine's adapter what it does where WGSL leaves it open, and prints a table and JSON.",
  flags: FLAGS,
  notes: `TWEEDIE_ADAPTER=swiftshader asks the software adapter of the tests.
The exit code is 1 where an op of the engine gives a wrong value on the adapter.`,
  onlyPrints: (flags) => flags.given("json") === undefined && !flags.isOn("document"),
  run: async (flags) => {
    if (!flags.isOn("document")) return ask(flags);
    writeFileSync("docs/adapters.md", withTables(readFileSync("docs/adapters.md", "utf8"), recordedAnswers("docs")));
    return 0;
  },
};

await runAsProgram(import.meta.url, (words) => answer(adapterCommand, words));

async function ask(flags: Flags): Promise<number> {
  const { backend, adapter, device } = await openGpu();
  closedAtEnd(backend);
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
  const recorded = {
    name: flags.given("name") ?? describeAdapter(adapter),
    adapter: describeAdapter(adapter),
    answers,
  };
  process.stdout.write(`${recorded.adapter}\n\n${tables([recorded])}\n`);
  process.stdout.write([...wrong, `${wrong.length} wrong values of the engine`].map((line) => `${line}\n`).join(""));
  const json = `${JSON.stringify(recorded, null, 2)}\n`;
  const file = flags.given("json");
  if (file) writeFileSync(file, json);
  else process.stdout.write(`\n${json}`);
  return wrong.length > 0 ? 1 : 0;
}

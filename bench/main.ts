// `pnpm bench`: every kernel on every backend of this machine, checked against float64, timed, and set against the ceilings.
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Backend, cpu, wasm, webgpu } from "@pkg/tensor";
import type { BenchCase } from "./case.ts";
import { attentions } from "./cases/attention.ts";
import { contractions } from "./cases/contraction.ts";
import { memoryBound } from "./cases/memoryBound.ts";
import { measureCeilings, probeRate } from "./ceilings.ts";
import { endToEndTable, measureEndToEnd } from "./endToEnd.ts";
import { type Contender, FULL, type Measurement, measure, QUICK } from "./measure.ts";
import { type Ceilings, table } from "./report.ts";

const HELP = `pnpm bench [flags]
  --filter <text>    cases whose name or size contains it
  --backend <name>   cpu, wasm or webgpu; may be repeated (default: all that can be had)
  --quick            fewer samples, and no case that takes longer than 0.3 s
  --json <file>      write everything measured as JSON
`;

const { values: flags } = parseArgs({
  options: {
    filter: { type: "string", default: "" },
    backend: { type: "string", multiple: true, default: ["cpu", "wasm", "webgpu"] },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const openers: Record<string, () => Promise<Backend>> = {
    cpu: async () => cpu(),
    wasm: () => wasm(),
    webgpu: () => webgpu(),
  };
  const environment = {
    node: process.version,
    cpu: `${cpus()[0].model} × ${cpus().length}`,
    platform: process.platform,
  };
  say(`${environment.cpu}, Node ${environment.node}`);
  const contenders: Contender[] = [];
  const ceilings = new Map<string, Ceilings>();
  for (const label of flags.backend) {
    const open = openers[label];
    if (!open) throw new Error(`--backend ${label}: want ${Object.keys(openers).join(" or ")}`);
    try {
      const backend = await open();
      contenders.push({ label, backend, expectedRate: await probeRate(backend) });
      ceilings.set(label, await measureCeilings(backend));
      say(`${backend.name}: ${describe(ceilings.get(label))}`);
    } catch (error) {
      say(`${label}: not measured: ${error instanceof Error ? error.message : error}`);
    }
  }
  const all: BenchCase[] = [...contractions, ...attentions, ...memoryBound];
  const cases = all.filter(({ name, size }) => `${name} ${size}`.includes(flags.filter));
  const effort = flags.quick ? QUICK : FULL;
  const measurements: Measurement[] = [];
  for (const given of cases) {
    const found = await measure(given, contenders, effort);
    measurements.push(...found);
    process.stderr.write(`${given.name} ${given.size}: ${found.length} of ${contenders.length} backends\n`);
  }
  say(`\n${table(measurements, ceilings)}`);
  const networks = await measureEndToEnd(flags.filter, contenders, effort);
  say(`\n${endToEndTable(networks)}`);
  if (flags.json) {
    const backends = contenders.map(({ label, backend }) => ({ label, name: backend.name, ...ceilings.get(label) }));
    writeFileSync(flags.json, `${JSON.stringify({ schema: 1, environment, backends, measurements, networks })}\n`);
  }
  for (const { backend } of contenders) backend.dispose();
}

function describe(ceilings: Ceilings | undefined): string {
  const parts = [
    ceilings?.flops && `${(ceilings.flops / 1e9).toFixed(1)} GFLOP/s of multiply-adds`,
    ceilings && `${(ceilings.bandwidth / 1e9).toFixed(1)} GB/s of copying`,
  ];
  return parts.filter(Boolean).join(", ");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

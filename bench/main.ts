// `pnpm bench`: every kernel on every backend of this machine, checked against float64, timed, and set against the ceilings.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { cpu, wasm } from "@pkg/tensor";
import type { BenchCase } from "./case.ts";
import { attentions } from "./cases/attention.ts";
import { contractions } from "./cases/contraction.ts";
import { memoryBound } from "./cases/memoryBound.ts";
import { training } from "./cases/training.ts";
import { type Ceilings, measureCeilings, probeRate } from "./ceilings.ts";
import { type Manner, ours } from "./contender.ts";
import { type EndToEnd, measureEndToEnd, type Stage } from "./endToEnd.ts";
import { type AdapterFacts, adapterFacts, environment, finished } from "./environment.ts";
import { measureGpuCosts } from "./gpuCosts.ts";
import { openGpu } from "./gpuDevice.ts";
import { htmlReport } from "./htmlReport.ts";
import { FULL, type Measurement, type Missing, measure, QUICK } from "./measure.ts";
import { describeCeilings, endToEndTable, table } from "./report.ts";
import { type BackendFacts, type BenchResult, SCHEMA } from "./result.ts";

const HELP = `pnpm bench [flags]
  --filter <text>    cases whose name or size contains it
  --backend <name>   cpu, wasm, webgpu, webgpu-tuned (its tilings timed first, and kept) or webgpu-mixed (products of float16
                     operands); may be repeated (default: cpu, wasm and webgpu, with --quick not cpu)
  --toggles <names>  Dawn's toggles in Node instead of ours: disable_workgroup_init,allow_unsafe_apis,vulkan_enable_f16_on_nvidia
                     lets webgpu-mixed use the matrix units of NVIDIA's GPUs
  --quick            under 90 s: fewer samples, no case over 0.1 s, 5 steps of sampling
  --json <file>      write everything measured as JSON, for bench:compare
  --html <file>      write a report with plots, one file that needs no network
`;

const { values: flags } = parseArgs({
  options: {
    filter: { type: "string", default: "" },
    backend: { type: "string", multiple: true },
    toggles: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    html: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) process.stdout.write(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  let adapter: AdapterFacts | undefined;
  const openWebgpu = async (manner: Manner = {}) => {
    const {
      backend,
      adapter: found,
      device,
    } = await openGpu({
      precision: manner.isMixed ? "mixed" : "float32",
      ...(flags.toggles && { toggles: [`enable-dawn-features=${flags.toggles}`] }),
    });
    adapter = adapterFacts(found, device);
    return { ...manner, backend, gpu: backend, device };
  };
  const openers: Record<string, () => Promise<Omit<Stage, "label" | "expectedRate"> & { device?: GPUDevice }>> = {
    cpu: async () => ({ backend: cpu() }),
    wasm: async () => ({ backend: await wasm() }),
    webgpu: () => openWebgpu(),
    "webgpu-tuned": () => openWebgpu({ isTuned: true }),
    "webgpu-mixed": () => openWebgpu({ isMixed: true }),
  };
  const began = environment("bench");
  const effort = flags.quick ? QUICK : FULL;
  say(`${began.cpu} × ${began.cores}, Node ${began.node}`);
  const stages: Stage[] = [];
  const backends: BackendFacts[] = [];
  const measured = new Map<string, Ceilings>();
  for (const label of flags.backend ?? (flags.quick ? ["wasm", "webgpu"] : ["cpu", "wasm", "webgpu"])) {
    const open = openers[label];
    if (!open) throw new Error(`--backend ${label}: want ${Object.keys(openers).join(" or ")}`);
    try {
      const { device, ...opened } = await open();
      const { backend } = opened;
      const stage = { label, ...opened, expectedRate: await probeRate(backend) };
      const ceilings = await measureCeilings(backend);
      const costs = device && (await measureGpuCosts(device));
      stages.push(stage);
      measured.set(label, ceilings);
      backends.push({ label, name: backend.name, ceilings, ...(costs && { costs }) });
      say(`${backend.name}: ${describeCeilings(ceilings, costs)}`);
    } catch (error) {
      say(`${label}: not measured: ${error instanceof Error ? error.message : error}`);
    }
  }
  const contenders = stages.map((stage) => ours(stage.label, stage.backend, stage.expectedRate, stage));
  const all: BenchCase[] = [...contractions, ...attentions, ...memoryBound, ...training];
  const [measurements, failures, absent]: [Measurement[], Missing[], Missing[]] = [[], [], []];
  // After each case, so that what was measured is there if the next one never ends.
  const networks: EndToEnd[] = [];
  const save = (): BenchResult => {
    const result: BenchResult = {
      schema: SCHEMA,
      environment: { ...finished(began), ...(adapter && { adapter }) },
      backends,
      measurements,
      networks,
      failures,
      absent,
    };
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify(result)}\n`);
    return result;
  };
  for (const given of all.filter(({ name, size }) => `${name} ${size}`.includes(flags.filter))) {
    const outcome = await measure(given, contenders, effort);
    measurements.push(...outcome.measurements);
    failures.push(...outcome.failures);
    absent.push(...outcome.absent);
    const note = `${given.name} ${given.size}: ${outcome.measurements.length} of ${contenders.length} backends`;
    process.stderr.write(`${note}\n`);
    for (const failure of outcome.failures) process.stderr.write(`${failed(failure)}\n`);
    save();
  }
  if (measurements.length > 0) say(`\n${table(measurements, measured)}`);
  const whole = await measureEndToEnd(flags.filter, stages, effort, (done) => {
    networks.push(done);
    save();
  });
  failures.push(...whole.failures);
  absent.push(...whole.absent);
  if (networks.length > 0) say(`\n${endToEndTable(networks)}`);
  for (const failure of failures) say(failed(failure));
  const result = save();
  if (flags.html) writeFileSync(flags.html, await htmlReport(result));
  for (const { backend } of stages) backend.dispose();
  return failures.length > 0 ? 1 : 0;
}

function failed({ name, size, backend, reason }: Missing): string {
  return `FAILED ${name} ${size} on ${backend}: ${reason}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

// `pnpm bench`: every kernel on every backend of this machine, checked against float64, timed, and set against the ceilings.
import { writeFileSync } from "node:fs";
import {
  answer,
  type Command,
  closedAtEnd,
  contains,
  describeBusyness,
  expectSome,
  type FlagTable,
  type FlagValues,
  runAsProgram,
} from "@pkg/command";
import { cpu, wasm } from "@pkg/tensor";
import type { BenchCase } from "./case.ts";
import { attentions } from "./cases/attention.ts";
import { contractions } from "./cases/contraction.ts";
import { memoryBound } from "./cases/memoryBound.ts";
import { training } from "./cases/training.ts";
import { type Ceilings, measureCeilings, probeRate } from "./ceilings.ts";
import { type Manner, ours } from "./contender.ts";
import { type EndToEnd, measureEndToEnd, NETWORKS, type Stage } from "./endToEnd.ts";
import { type AdapterFacts, adapterFacts, environment } from "./environment.ts";
import { measureGpuCosts } from "./gpuCosts.ts";
import { openGpu } from "./gpuDevice.ts";
import { htmlReport } from "./htmlReport.ts";
import { FULL, type Measurement, type Missing, measure, QUICK } from "./measure.ts";
import { describeCeilings, endToEndTable, explainWide, stepsOf, table } from "./report.ts";
import { type BackendFacts, type BenchResult, SCHEMA } from "./result.ts";

const FLAGS = {
  filter: { help: "cases whose name or size contains it", default: "" },
  backend: {
    help: "what computes: webgpu-tuned times its tilings first and keeps them, webgpu-mixed multiplies float16; by default cpu, wasm and webgpu, with --quick not cpu",
    choices: ["cpu", "wasm", "webgpu", "webgpu-tuned", "webgpu-mixed"],
    isRepeated: true,
  },
  toggles: {
    help: "Dawn's toggles in Node instead of ours: disable_workgroup_init,allow_unsafe_apis,vulkan_enable_f16_on_nvidia lets webgpu-mixed use the matrix units of NVIDIA's GPUs",
  },
  quick: { help: "under 90 s: fewer samples, no case over 0.1 s, 5 steps of sampling", isSwitch: true },
  json: { help: "where to write everything measured as JSON, for bench:compare", isOutput: true },
  html: { help: "where to write a report with plots, one file that needs no network", isOutput: true },
} as const satisfies FlagTable;

export const bench: Command<keyof typeof FLAGS> = {
  name: "bench",
  about:
    "Checks every kernel on every backend of this machine against float64, times it, and sets it against the ceilings.",
  flags: FLAGS,
  onlyPrints: (flags) => (flags.given("json") ?? flags.given("html")) === undefined,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(bench, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const [isQuick, filter] = [flags.isOn("quick"), flags.word("filter")];
  const all: BenchCase[] = [...contractions, ...attentions, ...memoryBound, ...training];
  expectSome(filter, [
    ...all.map(({ name, size }) => `${name} ${size}`),
    ...NETWORKS.map(({ network }) => network.name),
  ]);
  let adapter: AdapterFacts | undefined;
  const toggles = flags.given("toggles");
  const openWebgpu = async (manner: Manner = {}) => {
    const {
      backend,
      adapter: found,
      device,
    } = await openGpu({
      precision: manner.isMixed ? "mixed" : "float32",
      ...(toggles !== undefined && { toggles: [`enable-dawn-features=${toggles}`] }),
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
  const present = environment("bench");
  const began = present();
  const effort = isQuick ? QUICK : FULL;
  say(`${began.cpu} × ${began.cores}, Node ${began.node}`);
  const stages: Stage[] = [];
  const backends: BackendFacts[] = [];
  const measured = new Map<string, Ceilings>();
  const chosen = flags.words("backend");
  const usual = isQuick ? ["wasm", "webgpu"] : ["cpu", "wasm", "webgpu"];
  for (const label of chosen.length > 0 ? new Set(chosen) : usual) {
    try {
      const { device, ...opened } = await openers[label]();
      const backend = closedAtEnd(opened.backend);
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
  const [measurements, failures, absent]: [Measurement[], Missing[], Missing[]] = [[], [], []];
  // After each case, so that what was measured is there if the next one never ends.
  const networks: EndToEnd[] = [];
  const save = (): BenchResult => {
    const result: BenchResult = {
      schema: SCHEMA,
      environment: { ...present(), ...(adapter && { adapter }) },
      backends,
      measurements,
      networks,
      failures,
      absent,
    };
    const json = flags.given("json");
    if (json) writeFileSync(json, `${JSON.stringify(result)}\n`);
    return result;
  };
  for (const given of all.filter(({ name, size }) => contains(`${name} ${size}`, filter))) {
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
  const whole = await measureEndToEnd(filter, stages, effort, (done) => {
    networks.push(done);
    save();
  });
  failures.push(...whole.failures);
  absent.push(...whole.absent);
  if (networks.length > 0) say(`\n${endToEndTable(networks)}`);
  for (const failure of failures) say(failed(failure));
  const result = save();
  const mark = explainWide([...measurements, ...stepsOf(networks)]);
  if (mark) say(mark);
  say(describeBusyness(result.environment));
  const html = flags.given("html");
  if (html) writeFileSync(html, await htmlReport(result));
  return failures.length > 0 ? 1 : 0;
}

function failed({ name, size, backend, reason }: Missing): string {
  return `FAILED ${name} ${size} on ${backend}: ${reason}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

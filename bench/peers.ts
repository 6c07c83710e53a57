// `pnpm bench:peers`: the same problems on the libraries that people would use instead, in turn with ours, and the ratios.
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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
import { wasm, webgpu } from "@pkg/tensor";
import { peerCases } from "./cases/peers.ts";
import { probeRate } from "./ceilings.ts";
import { type Contender, ours } from "./contender.ts";
import { environment } from "./environment.ts";
import { htmlReport } from "./htmlReport.ts";
import { type Effort, FULL, type Measurement, type Missing, measure } from "./measure.ts";
import { type Peer, startPeer } from "./peer.ts";
import { comparison } from "./peerReport.ts";
import { openReferences } from "./references.ts";
import { type BenchResult, SCHEMA } from "./result.ts";

const FLAGS = {
  filter: { help: "cases whose name or size contains it", default: "" },
  peer: {
    help: "contenders whose label contains it, besides ours; by default all that can be had",
    isRepeated: true,
  },
  without: { help: "contenders left out", isRepeated: true },
  folder: { help: "where the peers' programs are; by default peers, beside this program" },
  references: {
    help: "a JSON file of float64 results: short ones that are in it are taken, and added where they are missing, also with no contender left. The reference takes minutes for the largest networks",
    isOutput: true,
  },
  quick: { help: "fewer samples", isSwitch: true },
  json: { help: "where to write everything measured as JSON", isOutput: true },
  html: { help: "where to write a report with plots", isOutput: true },
} as const satisfies FlagTable;
type Flags = FlagValues<keyof typeof FLAGS>;
const EFFORT: Effort = { ...FULL, samples: 9, warmTime: 500, mostTime: 8000, rest: 200 };
/** Operands and results rounded to 11 bits, by at most 2⁻¹¹ of themselves each. */
const ROUNDED_TOLERANCE = 4 * 2 ** -11;
const QUICK: Effort = { ...EFFORT, samples: 3, warmTime: 100 };

export const peersCommand: Command<keyof typeof FLAGS> = {
  name: "bench:peers",
  about: "Times the same problems on the libraries that people would use instead, in turn with ours.",
  flags: FLAGS,
  onlyPrints: (flags) => (flags.given("json") ?? flags.given("html")) === undefined,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(peersCommand, words));

async function main(flags: Flags): Promise<number> {
  const [filter, file] = [flags.word("filter"), flags.given("references")];
  expectSome(
    filter,
    peerCases.map(({ name, size }) => `${name} ${size}`),
  );
  const references = file === undefined ? undefined : openReferences(file);
  const contenders: Contender[] = [];
  const descriptions: Record<string, string> = {};
  for (const [kind, open] of Object.entries({ wasm, webgpu })) {
    const label = `tweedie ${kind}`;
    if (flags.words("without").some((text) => label.includes(text))) continue;
    try {
      const backend = closedAtEnd(await open());
      contenders.push(ours(label, backend, await probeRate(backend)));
      descriptions[label] = backend.name;
    } catch (error) {
      say(`${label}: not measured: ${error instanceof Error ? error.message : error}`);
    }
  }
  const peers = await startPeers(contenders, flags);
  for (const { label, description } of peers) descriptions[label] = description;
  contenders.push(...peers);
  for (const [label, description] of Object.entries(descriptions)) say(`${label}: ${description}`);
  const present = environment("bench:peers", () => peers.map(({ pid }) => pid));
  const [measurements, failures, absent]: [Measurement[], Missing[], Missing[]] = [[], [], []];
  // After each case, so that what was measured is there if the next one never ends.
  const save = (): BenchResult => {
    const result: BenchResult = {
      schema: SCHEMA,
      environment: present(),
      backends: Object.entries(descriptions).map(([label, name]) => ({ label, name })),
      measurements,
      networks: [],
      failures,
      absent,
    };
    const json = flags.given("json");
    if (json) writeFileSync(json, `${JSON.stringify(result)}\n`);
    return result;
  };
  for (const given of peerCases.filter(({ name, size }) => contains(`${name} ${size}`, filter))) {
    const outcome = await measure(given, contenders, flags.isOn("quick") ? QUICK : EFFORT, references);
    measurements.push(...outcome.measurements);
    failures.push(...outcome.failures);
    absent.push(...outcome.absent);
    say(`${given.name} ${given.size}`);
    say(comparison(outcome.measurements));
    for (const { backend, reason } of outcome.absent) say(`  ${backend}: ${reason}`);
    for (const { name, size, backend, reason } of outcome.failures)
      say(`FAILED ${name} ${size} on ${backend}: ${reason}`);
    save();
  }
  const result = save();
  say(describeBusyness(result.environment));
  const html = flags.given("html");
  if (html) writeFileSync(html, await htmlReport(result));
  for (const peer of peers) peer.stop();
  return failures.length > 0 ? 1 : 0;
}

async function startPeers(own: readonly Contender[], flags: Flags): Promise<Peer[]> {
  const [wanted, without] = [flags.words("peer"), flags.words("without")];
  const folder = flags.given("folder") ?? fileURLToPath(new URL("peers", import.meta.url));
  const isGpu = own.some((contender) => contender.isGpu);
  // Software adapters run a kernel for minutes where nobody stops them: theirs are expected to be as fast as ours.
  const webgpuRate = own.find(({ label }) => label.endsWith("webgpu"))?.expectedRate;
  const node = (library: string, device: string) => [process.execPath, join(folder, "host.mjs"), library, device];
  // Debian's packages belong to /usr/bin/python3, which need not be the first in the path.
  const withPython = (...library: string[]) =>
    ["python3", "/usr/bin/python3"].map((program) => [program, join(folder, "host.py"), ...library]);
  const commands: Record<string, readonly (readonly string[])[]> = {
    "tfjs wasm": [node("tfjs", "wasm")],
    "jax-js wasm": [node("jax", "wasm")],
    "onnxruntime-web wasm": [node("onnx", "wasm")],
    numpy: withPython("numpy"),
    torch: withPython("torch", "float32"),
    "torch tf32": withPython("torch", "tf32"),
    "torch autocast": withPython("torch", "autocast"),
    "tfjs webgpu": [node("tfjs", "webgpu")],
    "jax-js webgpu": [node("jax", "webgpu")],
    "onnxruntime-web webgpu": [node("onnx", "webgpu")],
  };
  const peers: Peer[] = [];
  const chosen = Object.entries(commands).filter(
    ([label]) =>
      (wanted.length === 0 || wanted.some((text) => label.includes(text))) &&
      !without.some((text) => label.includes(text)),
  );
  if (chosen.some(([label]) => !isPython(label))) install(folder);
  for (const [label, candidates] of chosen) {
    const options = {
      label,
      isGpu: isGpu && /webgpu|torch/.test(label),
      ...(/tf32|autocast/.test(label) && { tolerance: ROUNDED_TOLERANCE }),
      ...(label.endsWith("webgpu") && { expectedRate: webgpuRate }),
    };
    const reasons: string[] = [];
    for (const command of candidates) {
      const peer = await startPeer({ ...options, command });
      if (typeof peer === "string") reasons.push(peer);
      else {
        peers.push(peer);
        break;
      }
    }
    if (reasons.length === candidates.length) {
      const help = isPython(label) ? `; Debian has it: apt-get install python3-${label.split(" ")[0]}` : "";
      say(`${label}: not measured: ${reasons.join("; ")}${help}`);
    }
  }
  return peers;
}

function isPython(label: string): boolean {
  return /^(numpy|torch)/.test(label);
}

/** The peers' packages, which nobody needs but this command. */
function install(folder: string): void {
  if (existsSync(join(folder, "node_modules"))) return;
  say("installing bench/peers (npm ci)");
  const { status } = spawnSync("npm", ["ci"], { cwd: folder, stdio: "inherit", shell: process.platform === "win32" });
  if (status !== 0) throw new Error(`bench:peers: npm ci in ${folder} failed`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

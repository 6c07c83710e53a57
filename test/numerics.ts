// `pnpm numerics`: every op's cases on every backend, in Node and in a browser, as one table of errors in units of what is allowed.
import { writeFileSync } from "node:fs";
import {
  answer,
  type Command,
  closedAtEnd,
  contains,
  expectSome,
  type FlagTable,
  type FlagValues,
  runAsProgram,
} from "@pkg/command";
import { cpu, wasm, webgpu } from "@pkg/tensor";
import type { Kind, Program } from "./browser/page.ts";
import { allOps, checkCase, type Finding, toleranceOf } from "./tensor/ops/checkCase.ts";
import type { AnyOp } from "./tensor/ops/derived.ts";

const FLAGS = {
  filter: { help: "ops whose name contains it", default: "" },
  "node-only": { help: "leave out the browser", isSwitch: true },
  json: {
    help: "where to write what the table shows, by kind of check and with each failure, as JSON",
    isOutput: true,
  },
} as const satisfies FlagTable;

const KINDS = ["value", "value of strided inputs", "repetition", "gradient", "second gradient"] as const;

/** Where cases run. */
interface Place {
  readonly label: string;
  /** What runs the kernels. */
  readonly name: string;
  readonly check: (op: AnyOp, index: number) => Promise<Finding[]>;
  readonly close: () => unknown;
}

/** The findings of one op in one place. */
interface Row {
  readonly op: string;
  readonly backend: string;
  readonly cases: number;
  readonly tolerance: string;
  readonly worst: Readonly<Record<Finding["what"], number | null>>;
  readonly failures: readonly string[];
}

export const numerics: Command<keyof typeof FLAGS> = {
  name: "numerics",
  about: "Measures the error of every op on every backend, in Node and in a browser.",
  flags: FLAGS,
  notes: `A column's two numbers are the worst error of a value and of a gradient, of either order, as shares of what is allowed.
WebGPU runs on SwiftShader; TWEEDIE_ADAPTER=system takes the machine's adapter in Node.`,
  onlyPrints: (flags) => flags.given("json") === undefined,
  run: main,
};

await runAsProgram(import.meta.url, (words) => answer(numerics, words));

async function main(flags: FlagValues<keyof typeof FLAGS>): Promise<number> {
  const filter = flags.word("filter");
  expectSome(
    filter,
    allOps.map(({ name }) => name),
  );
  const places = await openPlaces(flags.isOn("node-only"));
  const heads = places.map(({ label }) => label.padStart(widthOf(label))).join("");
  process.stdout.write(`${"op".padEnd(16)}cases  ${"tolerance".padEnd(24)}${heads}\n`);
  const rows: Row[] = [];
  for (const op of allOps.filter(({ name }) => contains(name, filter))) {
    process.stdout.write(`${op.name.padEnd(16)}${`${op.cases.length}`.padStart(5)}  ${toleranceOf(op).padEnd(24)}`);
    const failures: string[] = [];
    for (const place of places) {
      const row = await rowOf(op, place);
      rows.push(row);
      failures.push(...row.failures.map((failure) => `  ${place.label}, ${failure}\n`));
      process.stdout.write(cellOf(row).padStart(widthOf(place.label)));
    }
    process.stdout.write(`\n${failures.join("")}`);
  }
  const failed = rows.filter(({ failures }) => failures.length > 0).length;
  const cases = rows.reduce((sum, row) => sum + row.cases, 0);
  process.stdout.write(`${cases} cases; ${rows.length - failed} of ${rows.length} cells within tolerance\n`);
  const json = flags.given("json");
  if (json) {
    const backends = places.map(({ label, name }) => ({ label, name }));
    writeFileSync(json, `${JSON.stringify({ schema: 1, backends, rows })}\n`);
  }
  for (const { close } of places) await close();
  return failed > 0 ? 1 : 0;
}

async function openPlaces(isNodeOnly: boolean): Promise<Place[]> {
  const openers = {
    cpu: async () => cpu({ poison: true }),
    wasm: () => wasm({ poison: true }),
    "webgpu-Node": () => webgpu({ poison: true, profile: "direct" }),
    "webgpu-Node tiled": () => webgpu({ poison: true, profile: "tiled" }),
  };
  const places: Place[] = [];
  for (const [label, open] of Object.entries(openers)) {
    try {
      const backend = closedAtEnd(await open());
      const { name } = backend;
      places.push({ label, name, check: (op, index) => checkCase(op, index, backend), close: () => backend.dispose() });
    } catch (error) {
      process.stdout.write(`*** ${label} is NOT run: ${error instanceof Error ? error.message : error} ***\n`);
    }
  }
  if (!isNodeOnly) places.push(...(await openPages({ "webgpu-Chromium": "webgpu", "wasm-Chromium": "wasm" })));
  for (const { label, name } of places) process.stdout.write(`${label} is ${name}\n`);
  return places;
}

async function openPages(kinds: Readonly<Record<string, Kind>>): Promise<Place[]> {
  // Only here, so that the rest runs on machines that have neither a browser nor what drives it.
  const { browserMissing, openBrowser, runInPage } = await import("../tools/browser.mjs");
  if (browserMissing) {
    process.stdout.write(`*** Chromium is NOT run: ${browserMissing} ***\n`);
    return [];
  }
  const browser = await openBrowser();
  const call = await runInPage<Program>(browser, "test/browser/page.ts");
  const pages = Object.entries(kinds).map(async ([label, kind]) => ({
    label,
    name: `${await call("name", kind)}, in Chromium ${browser.version}`,
    check: (op: AnyOp, index: number) => call("checkCase", kind, op.name, index),
    close: browser.close,
  }));
  return Promise.all(pages);
}

async function rowOf(op: AnyOp, { label, check }: Place): Promise<Row> {
  const findings: Finding[] = [];
  const failures: string[] = [];
  for (const index of op.cases.keys()) {
    try {
      const found = await check(op, index);
      findings.push(...found);
      const failed = found.filter(({ relative }) => !(relative <= 1));
      failures.push(...failed.map(({ what, message }) => `case ${index}, ${what}: ${message}`));
    } catch (error) {
      failures.push(`case ${index}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const worst = (kind: Finding["what"]): number | null => {
    const errors = findings.filter(({ what }) => what === kind).map(({ relative }) => relative);
    return errors.length > 0 ? Math.max(...errors) : null;
  };
  const byKind = Object.fromEntries(KINDS.map((kind) => [kind, worst(kind)])) as Row["worst"]; // KINDS are its keys
  return {
    op: op.name,
    backend: label,
    cases: op.cases.length,
    tolerance: toleranceOf(op),
    worst: byKind,
    failures,
  };
}

/** "0.43 0.01": the worst value, then the worst gradient if there is one. */
function cellOf({ worst, failures }: Row): string {
  if (failures.length > 0) return "FAILED";
  const { gradient } = worst;
  const shares = [Math.max(worst.value ?? 0, worst["value of strided inputs"] ?? 0)];
  if (gradient !== null) shares.push(Math.max(gradient, worst["second gradient"] ?? 0));
  return shares.map(shareOf).join(" ");
}

/** Room for a column's head and two numbers. */
function widthOf(label: string): number {
  return Math.max(label.length, "<0.001 <0.001".length) + 2;
}

function shareOf(share: number): string {
  return share === 0 ? "0" : share < 1e-3 ? "<0.001" : share.toPrecision(2);
}

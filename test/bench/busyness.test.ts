// What is said of a machine that others use: shares that are known, and marks in terminal, JSON and HTML.
import { spawn } from "node:child_process";
import { describeBusyness, isBusy, watchBusyness } from "@pkg/command";
import { expect, onTestFinished, test } from "vitest";
import { htmlReport } from "../../bench/htmlReport.ts";
import { explainWide, table } from "../../bench/report.ts";
import { measurement, result } from "./made.ts";

const STEADY = measurement("matmul", [10, 10, 10, 10, 10]);
const WIDE = measurement("conv2d", [10, 10, 10, 30, 30]);

test("a share of more than a tenth is busy, and the line says so", () => {
  const quiet = { load: [0.1, 0.2], others: 0.1 } as const;
  expect(isBusy(quiet)).toBe(false);
  expect(describeBusyness(quiet)).toBe("load average 0.1 → 0.2, other processes used 10 % of the cores");
  const busy = { load: [1, 2.25], others: 0.25 } as const;
  expect(isBusy(busy)).toBe(true);
  expect(describeBusyness(busy)).toMatch(/^load average 1\.0 → 2\.3, other processes used 25 % of the cores: BUSY, /);
  expect(describeBusyness({ load: [1, 2], others: null })).toBe("load average 1.0 → 2.0");
});

/** A process that computes without end. */
async function burner(): Promise<{ pid: number; end: () => Promise<unknown> }> {
  const child = spawn(process.execPath, ["-e", "console.log(1); for (;;);"]);
  const ended = new Promise((resolve) => child.once("close", resolve));
  const end = () => {
    child.kill("SIGKILL");
    return ended;
  };
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return { pid: child.pid ?? 0, end };
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("what another process uses counts; what a measured one uses does not", async () => {
  const { pid, end } = await burner();
  const [asOther, asOwn] = [watchBusyness(), watchBusyness(() => [pid])];
  await later(1500);
  const [with_, without] = [asOther().others ?? 0, asOwn().others ?? 0];
  expect(with_).toBeGreaterThan(0);
  expect(with_).toBeLessThanOrEqual(1);
  if (process.platform !== "linux") return; // others don't say what a process used
  expect(without).toBeLessThan(with_);
  await end();
  expect(asOther().others).toBeLessThan((with_ + without) / 2); // the child's time has become this process's own
});

test("wide rows are marked in the terminal, and the mark is explained", () => {
  const [, steady, wide] = table([STEADY, WIDE], new Map()).split("\n");
  expect(steady).not.toContain("!");
  expect(wide).toContain("10.0–30.0 !");
  expect(explainWide([STEADY, WIDE])).toMatch(/^! 1 of 2 rows: p90 is more than twice p10/);
  expect(explainWide([STEADY])).toBe("");
});

test("wide rows and a busy machine are marked in JSON and in HTML", async () => {
  const quiet = result([STEADY]);
  const busy = result([WIDE], { environment: { ...quiet.environment, others: 0.5, isBusy: true } });
  const json = JSON.parse(JSON.stringify(busy));
  expect([json.environment.isBusy, json.environment.others, json.measurements[0].isWide]).toEqual([true, 0.5, true]);
  const [calm, marked] = [await htmlReport(quiet), await htmlReport(busy)];
  expect(marked).toContain('<span class="failure">10.0–30.0 !</span>');
  expect(marked).toMatch(/<p class="failure">load average [^<]* 50 % of the cores: BUSY/);
  expect(marked).toContain("! 1 of 1 rows");
  expect(calm).not.toContain('class="failure"');
  expect(calm).toContain("other processes used 4 % of the cores");
});

// How a process ends: by signals, with a save or at once, with a device at work, and when nobody reads what it prints.
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { repetitions } from "../setup/repetitions.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "tweedie-ending-"));
afterAll(() => rmSync(work, { recursive: true }));

/** A program whose command does `body`, given `flags`. */
function begin(name: string, body: string, more = "", stdio: StdioOptions = "pipe"): ChildProcess {
  const file = join(work, `${name}.ts`);
  writeFileSync(
    file,
    `import { answer, closedAtEnd, exitCodeOf, runAsProgram, stopSignal } from "@pkg/command";
    import { randomStream, tidy, webgpu } from "@pkg/tensor";
    const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const say = (text: string) => process.stdout.write(text + "\\n");
    const command = { name: "x", about: "", flags: {}, ${more} run: async () => { ${body} } };
    await runAsProgram(import.meta.url, (words) => answer(command, words));`,
  );
  return spawn(process.execPath, [join(root, "tools/run.mjs"), file], { cwd: work, stdio });
}

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly error: string;
}

/** Waits for the end; `onLine` is told of each line on standard output. */
function ended(child: ChildProcess, onLine: (line: string) => void = () => {}): Promise<End> {
  let [out, error] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    out += chunk;
    for (const line of String(chunk).trim().split("\n")) onLine(line);
  });
  child.stderr?.on("data", (chunk) => {
    error += chunk;
  });
  return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, out, error })));
}

const SAVING = `const signal = stopSignal();
  const waits = setInterval(() => {}, 1000);
  say("ready");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  say("stopping");
  await later(300);
  clearInterval(waits);
  say("saved");
  return exitCodeOf(signal);`;

test.each([
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s lets a command save, and the exit code is %i", async (signal, code) => {
  const child = begin(`saving-${signal}`, SAVING);
  const end = await ended(child, (line) => line === "ready" && child.kill(signal));
  expect(end).toMatchObject({ code, out: "ready\nstopping\nsaved\n", error: "" });
});

test("a second SIGHUP, as closing a terminal sends, does not cut the save short", async () => {
  const child = begin("twice", SAVING);
  const end = await ended(child, (line) => ["ready", "stopping"].includes(line) && child.kill("SIGHUP"));
  expect(end).toMatchObject({ code: 129, out: "ready\nstopping\nsaved\n" });
});

test.each(["SIGINT", "SIGTERM"] as const)("a second %s ends the process at once, by that signal", async (signal) => {
  const child = begin(`second-${signal}`, SAVING.replace("300", "60_000"));
  const end = await ended(child, (line) => ["ready", "stopping"].includes(line) && child.kill(signal));
  expect(end).toMatchObject({ code: null, signal, out: "ready\nstopping\n", error: "" });
});

test("the first signal ends a command that has nothing to save", async () => {
  const child = begin("nothing", `say("ready"); await later(60_000); return 0;`);
  const end = await ended(child, () => child.kill("SIGTERM"));
  expect(end).toMatchObject({ code: null, signal: "SIGTERM", error: "" });
});

describe.skipIf(!gpuAvailable)("a device at work", () => {
  const WORKING = `const signal = stopSignal();
    const backend = closedAtEnd(await webgpu());
    const a = randomStream(0).normal([256, 256], { backend });
    for (let k = 0; ; k++) {
      tidy(() => void a.matmul(a).sin().matmul(a));
      if (k % 16 > 0) continue;
      if (k === 16) say("ready");
      if (signal.aborted) say("going on");
      if (k % 32 === 0) await backend.settled();
      await later(0);
    }`;

  const ALONE = WORKING.replace("stopSignal()", "{ aborted: false }");
  // Each with the signal that goes out at "ready" and at the first "going on", and how the process then ends.
  const endings: readonly {
    readonly how: string;
    readonly body: string;
    readonly signals: readonly NodeJS.Signals[];
    readonly want: readonly [End["code"], End["signal"], error: RegExp];
  }[] = [
    { how: "a second Ctrl-C", body: WORKING, signals: ["SIGINT", "SIGINT"], want: [null, "SIGINT", /^$/] },
    { how: "a second SIGTERM", body: WORKING, signals: ["SIGTERM", "SIGTERM"], want: [null, "SIGTERM", /^$/] },
    { how: "a first Ctrl-C", body: ALONE, signals: ["SIGINT"], want: [null, "SIGINT", /^$/] },
    { how: "a closed terminal", body: ALONE, signals: ["SIGHUP"], want: [null, "SIGHUP", /^$/] },
    {
      how: "an error",
      body: WORKING.replace('say("ready")', 'throw new Error("on purpose")'),
      signals: [],
      want: [1, null, /^error: Error: on purpose\n/],
    },
    { how: "a return", body: WORKING.replace('say("ready")', "return 7"), signals: [], want: [7, null, /^$/] },
  ];

  test("ends as it was told, and never by a crash", async () => {
    for (let k = 0; k < repetitions("ends with a device at work"); k++) {
      const { how, body, signals, want } = endings[k % endings.length];
      const child = begin(`working-${k % endings.length}`, body);
      let sent = 0;
      const end = await ended(child, (line) => {
        const wanted = ["ready", "going on"][sent];
        if (sent < signals.length && line === wanted) child.kill(signals[sent++]);
      });
      const [code, signal, error] = want;
      expect([end.code, end.signal], `${how}, run ${k}: ${end.error}`).toEqual([code, signal]);
      expect(end.error).toMatch(error);
    }
  });
});

describe("a standard output that nobody reads", () => {
  const TALKING = `for (let k = 0; k < 10; k++) { say("line " + k); await later(20); } return 5;`;

  test("does not stop a command that makes files", async () => {
    const child = begin("talking", TALKING);
    const end = await ended(child, () => child.stdout?.destroy());
    expect(end).toMatchObject({ code: 5, error: "" });
  });

  test("ends a command that only prints, without a word, as SIGPIPE would", async () => {
    const child = begin("printing", TALKING.replaceAll("10;", "3000;"), "onlyPrints: () => true,");
    const end = await ended(child, () => child.stdout?.destroy());
    expect(end).toMatchObject({ code: 141, error: "" });
  });
});

describe.skipIf(process.platform !== "linux")("a standard output that is full", () => {
  async function ontoFullDevice(name: string, more = ""): Promise<End> {
    const full = openSync("/dev/full", "w");
    try {
      return await ended(
        begin(name, `say("one"); await later(50); say("two"); return 5;`, more, ["ignore", full, "pipe"]),
      );
    } finally {
      closeSync(full);
    }
  }

  test("is told of once, and a command that makes files goes on", async () => {
    const { code, error } = await ontoFullDevice("full");
    expect(error).toMatch(/^standard output: ENOSPC[^\n]*; going on without it\n$/);
    expect(code).toBe(5);
  });

  test("is an error of a command that only prints", async () => {
    const { code, error } = await ontoFullDevice("full-printing", "onlyPrints: () => true,");
    expect(error).toMatch(/^error: standard output: ENOSPC[^\n]*\n$/);
    expect(code).toBe(1);
  });
});

// Every command × everything that people mistype: help, or one line that names the mistake, and never a stack.
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { answer, answerOneOf, type Command, contains, type Flag, ForeseenError, readArguments } from "@pkg/command";
import { DeviceLostError, DeviceStalledError, OutOfMemoryError } from "@pkg/tensor";
import { afterAll, describe, expect, test, vi } from "vitest";
import { compare } from "../../bench/compare.ts";
import { gpuSession } from "../../bench/gpuSession.ts";
import { growth } from "../../bench/growth.ts";
import { bench } from "../../bench/main.ts";
import { memory } from "../../bench/memory.ts";
import { peersCommand } from "../../bench/peers.ts";
import { soak } from "../../bench/soak.ts";
import { COMMANDS } from "../../packages/cli/src/main.ts";
import { text } from "../../packages/cli/src/text/main.ts";
import { lab } from "../../packages/lab/src/main.ts";
import { faultsCommand } from "../../tools/faults.ts";
import { adapterCommand } from "../adapter/main.ts";
import { numerics } from "../numerics.ts";
import { orders } from "../orders.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
// Each knows its own flags alone; here they are all alike.
const others = [
  bench,
  compare,
  growth,
  memory,
  gpuSession,
  soak,
  peersCommand,
  lab,
  text,
  numerics,
  orders,
  adapterCommand,
  faultsCommand,
] as Command[];
const commands: readonly Command[] = [...(COMMANDS as readonly Command[]), ...others];

const folder = mkdtempSync(join(tmpdir(), "tweedie-commands-"));
afterAll(() => rmSync(folder, { recursive: true }));
/** Opening it would wait for somebody at its other end, and no signal would be heard. */
const pipe = join(folder, "pipe");
if (process.platform === "win32") mkdirSync(pipe);
else execFileSync("sh", ["-c", 'mkfifo "$0"', pipe]);

/** What a command line is answered with: exit code and what was printed. */
async function answered(ask: () => Promise<number>): Promise<{ code: number; out: string; error: string }> {
  const printed = { out: "", error: "" };
  const collect = (stream: "out" | "error") => (text: string | Uint8Array) => {
    printed[stream] += text;
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(collect("out")),
    vi.spyOn(process.stderr, "write").mockImplementation(collect("error")),
  ];
  try {
    const code = await ask();
    return { code, ...printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Values that a flag must refuse. */
function badValues({ range, choices, isSwitch, isOutput, integer, isOpen }: Flag): string[] {
  if (isSwitch) return ["=yes", "=", "=false"];
  if (choices) return ["=", "=x", `=${choices[0]} `, `=${choices[0].toUpperCase()}`];
  if (!range)
    return [
      "",
      ...(isOutput
        ? ["=/", `=${pipe}`, `=${join(root, "README.md/x")}`, `=${join(tmpdir(), "no/such/folder/x")}`]
        : []),
    ];
  const [least, most] = range;
  const beyond = [least - 1, most * 2 + 1, 1e300, -1e300, ...(isOpen ? [most] : []), ...(integer ? [least + 0.5] : [])];
  return ["", "= ", "=x", "=1,x", "=NaN", "=Infinity", "=1n", "=--", ...beyond.map((value) => `=${value}`)];
}

test("every script of package.json that runs a program is a command here", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const names = Object.keys(scripts).filter((name) => /run\.mjs (?!--from-caller)/.test(scripts[name]));
  expect(commands.map(({ name }) => name).sort()).toEqual(names.sort());
});

describe.each(commands.map((command) => [command.name, command] as const))("%s", (name, command) => {
  const operands = command.operands ?? [];

  test("--help and -h explain every flag, whatever stands beside them", async () => {
    for (const words of [["--help"], ["-h"], ["--nonsense", "--help"], [...operands, "-h"]]) {
      const { code, out, error } = await answered(() => answer(command, words));
      expect([code, error]).toEqual([0, ""]);
      expect(out).toContain(`pnpm ${name}`);
      for (const flag of Object.keys(command.flags)) expect(out).toContain(`--${flag}`);
    }
  });

  const wrong = [
    ["--nonsense", "1"],
    ["--nonsense.x", "1"],
    ["--out.x", "1"],
    ["-x"],
    ["more", ...operands],
    ...Object.entries(command.flags).flatMap(([flag, entry]) => badValues(entry).map((bad) => [`--${flag}${bad}`])),
    ...Object.keys(command.flags).map((flag) => [`--${flag}.x`, "1"]),
  ];
  test.each(wrong.map((words) => [words]))("%j gets one line and exit code 2", async (words) => {
    const { code, out, error } = await answered(() =>
      answer(command, [...words, ...(words[0] === "more" ? [] : operands)]),
    );
    expect(error).toMatch(/^error: [^\n]+\n$/);
    expect([code, out]).toEqual([2, ""]);
  });

  test("values at the ends of their ranges are taken", () => {
    for (const [flag, { range, choices, isOpen, integer }] of Object.entries(command.flags)) {
      const ends = range ? [range[0], isOpen ? range[1] * (1 - 2 ** -53) : range[1]].map(String) : (choices ?? []);
      for (const value of ends) {
        const read = readArguments(command, [`--${flag}`, value, ...operands]);
        expect("flags" in read && read.flags.given(flag), `--${flag} ${value}, ${integer}`).toBe(value);
      }
    }
  });

  test("its script finds it", async () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    const [node, ...words] = scripts[name].split(" ");
    expect(node).toBe("node");
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...words, "--help"], { cwd: root });
    expect(stdout).toMatch(new RegExp(`^pnpm ${name}\\b`));
    expect(stderr).toBe("");
  });
});

test("a command's name that is none is one line", async () => {
  const programs = COMMANDS as readonly Command[];
  for (const words of [[], ["fly"], ["--seed", "1"]]) {
    const { code, error } = await answered(() => answerOneOf(programs, words));
    expect([code, error]).toEqual([
      2,
      `error: ${words[0] ?? "no command"}: want one of start, train, sample, fid, export (--help explains)\n`,
    ]);
  }
  const { code, out } = await answered(() => answerOneOf(programs, ["--help"]));
  expect(code).toBe(0);
  for (const { name } of programs) expect(out).toContain(`pnpm ${name}`);
});

test.each([bench, peersCommand, numerics, faultsCommand].map((command) => [command.name, command as Command] as const))(
  "%s refuses a --filter that chooses nothing, before any work",
  async (_, command) => {
    const { code, out, error } = await answered(() => answer(command, ["--filter", "no such thing"]));
    expect(error).toMatch(/^error: --filter no such thing: nothing contains it, want a part of one of [^\n]+\n$/);
    expect([code, out]).toEqual([2, ""]);
  },
);

test("a filter's capitals do not matter", () => {
  expect([contains("groupNorm + SiLU 2×32²×64", "silu"), contains("SiLU", "gelu")]).toEqual([true, false]);
});

test("what is missing or no result is one line to bench:compare", async () => {
  for (const file of [join(root, "nothing.json"), join(root, "README.md"), join(root, "package.json")]) {
    const { code, error } = await answered(() => answer(compare, [file, file]));
    expect(error).toMatch(/^error: .*want schema 2 [^\n]*\n$/);
    expect(code).toBe(2);
  }
});

test.each([
  ["OutOfMemoryError", new OutOfMemoryError("buffer: 5 bytes,\nwant fewer")],
  ["a lost device", new DeviceLostError("webgpu: the device is gone")],
  ["a device that ends nothing", new DeviceStalledError("webgpu: nothing ended for 60 s")],
  ["a training that cannot go on", new ForeseenError("the last save failed")],
  ["an array that V8 refuses", catching(() => new Float32Array(1e15))],
  ["a file that the system refuses", catching(() => readFileSync(root))],
])("%s is one line and exit code 1", async (_, thrown) => {
  const command: Command = { name: "x", about: "", flags: {}, run: () => Promise.reject(thrown) };
  const { code, error } = await answered(() => answer(command, []));
  expect(error).toMatch(/^error: [^\n]+\n$/);
  expect(error).toContain(thrown.message.split("\n")[0]);
  expect(code).toBe(1);
});

test("a fault in the program keeps its stack", async () => {
  const command: Command = {
    name: "x",
    about: "",
    flags: {},
    run: () => Promise.reject(new TypeError("x is undefined")),
  };
  const { code, error } = await answered(() => answer(command, []));
  expect(error).toMatch(/^error: TypeError: x is undefined\n +at /);
  expect(code).toBe(1);
});

function catching(f: () => unknown): Error {
  try {
    f();
  } catch (error) {
    return error as Error; // what these throw
  }
  throw new Error("nothing was thrown");
}

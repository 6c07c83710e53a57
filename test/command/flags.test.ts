// Flags as people type them: text stays text, numbers are checked, and what is wrong is named with its value.
import { type FlagTable, type FlagValues, readFlags } from "@pkg/command";
import { describe, expect, test } from "vitest";

const TABLE = {
  out: { help: "", default: "out" },
  note: { help: "", default: "" },
  minutes: { help: "", default: 2, range: [0, 1e6] },
  share: { help: "", default: 0.5, range: [0, 1], isOpen: true },
  seed: { help: "", default: 0, range: [0, 2 ** 53 - 1], integer: true },
  guidance: { help: "", default: 1, range: [-100, 100] },
  levels: { help: "", default: "1,2", range: [1, 9], integer: true, isList: true },
  kind: { help: "", default: "a", choices: ["a", "b"] },
  only: { help: "", isRepeated: true },
  resume: { help: "", isSwitch: true },
} as const satisfies FlagTable;
type Name = keyof typeof TABLE;

function flagsOf(...words: string[]): FlagValues<Name> {
  const read = readFlags<Name>(TABLE, words);
  if (read === "help") throw new Error("help");
  return read.flags;
}

test.each(["2026.10", "007", "1e3", "0x10", "1_000", "true", "NaN", "-", "a b", "ä/ö", "=", "x=y"])(
  "--out %s is that text",
  (text) => {
    expect(flagsOf(`--out=${text}`).word("out")).toBe(text);
    if (!text.startsWith("-")) expect(flagsOf("--out", text).word("out")).toBe(text);
  },
);

test("what was not given has its default, and is not given", () => {
  const flags = flagsOf();
  expect([flags.word("out"), flags.number("minutes"), flags.numbers("levels"), flags.words("only")]).toEqual([
    "out",
    2,
    [1, 2],
    [],
  ]);
  expect([flags.given("out"), flags.isOn("resume")]).toEqual([undefined, false]);
});

test("numbers may begin with a minus, be exponents, and come after = or a space", () => {
  expect(flagsOf("--guidance", "-2").number("guidance")).toBe(-2);
  expect(flagsOf("--guidance=-1e1").number("guidance")).toBe(-10);
  expect(flagsOf("--seed", "1e3").number("seed")).toBe(1000);
  expect(flagsOf("--levels", "3,1,9").numbers("levels")).toEqual([3, 1, 9]);
});

test("a flag that may be repeated keeps all of its values, in order", () => {
  expect(flagsOf("--only", "x", "--only=1.0").words("only")).toEqual(["x", "1.0"]);
});

test("an empty text is one only where that is the default", () => {
  expect(flagsOf("--note=").given("note")).toBe("");
  expect(() => flagsOf("--out=")).toThrow("--out: want a value");
});

describe("one line names the flag, its value and what was wanted", () => {
  test.each<[string[], string]>([
    [["--minutes="], "--minutes: want a number in [0, 1000000]"],
    [["--minutes"], "--minutes: want a number in [0, 1000000]"],
    [["--minutes", " "], "--minutes  : want a number in [0, 1000000]"],
    [["--minutes", "soon"], "--minutes soon: want a number in [0, 1000000]"],
    [["--minutes", "NaN"], "--minutes NaN: want a number in [0, 1000000]"],
    [["--minutes", "Infinity"], "--minutes Infinity: want a number in [0, 1000000]"],
    [["--share", "1"], "--share 1: want a number in [0, 1)"],
    [["--seed", "-1"], "--seed -1: want an integer in [0, 9007199254740991]"],
    [["--seed", "1.5"], "--seed 1.5: want an integer in [0, 9007199254740991]"],
    [["--seed", "1e17"], "--seed 1e17: want an integer in [0, 9007199254740991]"],
    [["--levels", "1,,2"], "--levels 1,,2: want integers separated by commas, each in [1, 9]"],
    [["--levels="], "--levels: want integers separated by commas, each in [1, 9]"],
    [["--kind", "c"], "--kind c: want a or b"],
    [["--out"], "--out: want a value"],
    [["--out", "--resume"], "--out --resume: want a value (--out=--resume if this is it)"],
    [["--resume=yes"], "--resume yes: want it without a value"],
    [["--seed", "1", "--seed", "2"], "--seed 1 and 2: want it once"],
    [["--sed", "1"], "--sed: no such flag (--help lists them)"],
    [["--minutes.x", "1"], "--minutes.x: no such flag (--help lists them)"],
    [["--no-resume"], "--no-resume: no such flag (--help lists them)"],
    [["--constructor", "1"], "--constructor: no such flag (--help lists them)"],
    [["--__proto__", "1"], "--__proto__: no such flag (--help lists them)"],
    [["-o", "x"], "-o: no such flag (--help lists them)"],
    [["-1"], "-1: no such flag (--help lists them)"],
  ])("%j", (words, message) => {
    expect(() => flagsOf(...words)).toThrow(expect.objectContaining({ name: "InputError", message }));
  });
});

test("help is given whatever else was typed", () => {
  for (const words of [["--help"], ["-h"], ["--seed", "x", "--help"], ["--nonsense", "-h"]]) {
    expect(readFlags(TABLE, words)).toBe("help");
  }
});

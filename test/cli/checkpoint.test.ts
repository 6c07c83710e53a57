// No checkpoint is believed: whatever is wrong with one is said in one line, before anything is made of it.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu, parseSafetensors, randomStream, serializeSafetensors, tidy } from "@pkg/tensor";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportWeights, loadCheckpoint, type Purpose } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { dryShapes } from "../../packages/cli/src/checkpoint/stateShapes.ts";
import { averagedModel } from "../../packages/cli/src/images/drawImages.ts";
import { InputError } from "../../packages/cli/src/inputError.ts";
import { restoreRun } from "../../packages/cli/src/training/run.ts";
import { repetitions } from "../setup/repetitions.ts";
import { temporaryDirectory } from "./bundled.ts";
import { partsOf, saveSmall, writeParts } from "./smallRun.ts";

const backend = cpu();
const PURPOSES: readonly Purpose[] = ["draw", "resume"];
let good: ReturnType<typeof partsOf>;
let goodBytes: Uint8Array;

beforeAll(async () => {
  const path = join(work, "good.safetensors");
  await saveSmall(path, backend);
  good = partsOf(path);
  goodBytes = readFileSync(path);
});

const work = mkdtempSync(join(tmpdir(), "tweedie-checkpoint-"));
afterAll(() => rmSync(work, { recursive: true }));
const path = join(work, "changed.safetensors");

/** What the commands make of a checkpoint before their first step: a network to draw with, or a run. */
function load(purpose: Purpose): void {
  const checkpoint = loadCheckpoint(path, purpose);
  tidy(() => {
    if (purpose === "resume") restoreRun(checkpoint, backend);
    else averagedModel(checkpoint.header.settings, checkpoint.tensors("ema", backend), backend);
  });
}

/** The message of the refusal, which has to be an InputError of one line that begins with the file's name; "" where there is none. */
function refusal(purpose: Purpose): string {
  try {
    load(purpose);
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as Error;
    expect(message.startsWith(`${path}: `), message).toBe(true);
    expect(message, message).not.toContain("\n");
    expect(message.length, message).toBeLessThan(1000);
    return message.slice(path.length + 2);
  }
}

/** Writes the good checkpoint with other text as our metadata. */
function writeMetadata(text: string): void {
  const { header, data } = good;
  writeParts(path, { ...header, __metadata__: { tweedie: text } }, data);
}

type Json = { [key: string]: Json };
const goodHeader = (): Json => JSON.parse(good.header.__metadata__.tweedie);

/** Sets a field, named with dots, to a value; undefined removes it. */
function setField(header: Json, name: string, value: unknown): void {
  const keys = name.split(".");
  const last = keys.pop()!;
  const parent = keys.reduce((at, key) => at[key], header);
  if (value === undefined) delete parent[last];
  else parent[last] = value as Json;
}

test("the checkpoint that the cases begin with is good", () => {
  writeFileSync(path, goodBytes);
  for (const purpose of PURPOSES) expect(refusal(purpose)).toBe("");
});

test.each<[string, unknown, string]>([
  ["format", 2, "format 2, want 1"],
  ["settings", undefined, "settings missing, want a value"],
  ["settings", [], "settings.model missing, want a value"],
  ["settings.model", null, "settings.model null, want an object"],
  ["settings.schedule", 7, "settings.schedule 7, want linear or cosine"],
  ["settings.diffusionSteps", 1e8, "settings.diffusionSteps 100000000, want an integer in [1, 100000]"],
  ["settings.batch", 1e9, "settings.batch 1000000000, want an integer in [1, 65536]"],
  ["settings.lr", null, "settings.lr null, want a number in [0, 1]"],
  ["settings.lr", "x", 'settings.lr "x", want a number in [0, 1]'],
  ["settings.lr", -1, "settings.lr -1, want a number in [0, 1]"],
  ["settings.lrDecay", "cosine", 'settings.lrDecay "cosine", want an object'],
  [
    "settings.lrDecay",
    { schedule: "step", steps: 1 },
    'settings.lrDecay.schedule "step", want cosine or linear or invsqrt',
  ],
  ["settings.lrDecay", { schedule: "cosine" }, "settings.lrDecay.steps missing, want a value"],
  ["settings.optimizer", "adam", 'settings.optimizer "adam", want adamw or sgd or lion or muon'],
  ["settings.optimizer", "sgd", "optimizer.momentum.0 missing, want [2,8]"],
  ["settings.warmup", 0.5, "settings.warmup 0.5, want an integer in [0, 1000000000]"],
  ["settings.clipNorm", -1, "settings.clipNorm -1, want a number in [0, 1000000000]"],
  ["settings.emaDecay", 1, "settings.emaDecay 1, want a number in [0, 1)"],
  ["settings.seed", 2 ** 53, "settings.seed 9007199254740992, want an integer from 0"],
  ["settings.labelDropout", undefined, "settings.labelDropout missing, want one in a network with classes"],
  ["settings.momentum", 0.9, "settings.momentum 0.9, want no such field"],
  ["settings.model.blocks", 1e9, "settings.model.blocks 1000000000, want 1 as in its weights"],
  ["settings.model.blocks", undefined, "settings.model.blocks missing, want 1 as in its weights"],
  ["settings.model.channels", 6, "settings.model.channels 6, want 2 as in its weights"],
  ["settings.model.channels", "2", 'settings.model.channels "2", want an integer from 1'],
  ["settings.model.multipliers", [1], "settings.model.multipliers [1], want [1,2] as in its weights"],
  ["settings.model.multipliers", 3, "settings.model.multipliers 3, want a list"],
  ["settings.model.multipliers", [1, null], "settings.model.multipliers.1 null, want a positive number"],
  ["settings.model.attentionLevels", [], "settings.model.attentionLevels [], want [1] as in its weights"],
  ["settings.model.classes", 9, "settings.model.classes 9, want 10 as in its weights"],
  ["settings.model.outChannels", 2, "settings.model.outChannels 2, want 1 as in its weights"],
  ["settings.model.inChannels", 1e15, "settings.model.inChannels 1000000000000000, want 1 as in its weights"],
  ["settings.model.scaleShift", true, "settings.model.scaleShift true, want false as in its weights"],
  ["settings.model.scaleShift", "no", 'settings.model.scaleShift "no", want true or false'],
  ["settings.model.heads", 1e12, "settings.model.heads 1000000000000, want at most 12, the widest of its weights"],
  ["settings.model.heads", 3, "settings.model: attention: 3 heads of 4 channels, want a divisor"],
  ["settings.model.groups", 3, "settings.model: groupNorm: 3 groups of 2 channels, want a divisor"],
  ["settings.model.dropout", 1, "settings.model.dropout 1, want a number in [0, 1)"],
  ["image", undefined, "image missing, want a value"],
  ["image.height", 1e9, "image.height 1000000000, want an integer in [1, 4096]"],
  ["image.width", 0, "image.width 0, want an integer in [1, 4096]"],
  ["step", -1, "step -1, want an integer in [0, 4503599627370496]"],
  ["step", Number.MAX_SAFE_INTEGER, "step 9007199254740991, want an integer in [0, 4503599627370496]"],
  ["step", "many", 'step "many", want an integer in [0, 4503599627370496]'],
  ["rng", {}, "rng.generator missing, want a value"],
  ["rng.generator", "mt19937", 'rng.generator "mt19937", want philox4x32-10'],
  ["rng.key", "0x", 'rng.key "0x", want up to 16 digits after 0x'],
  ["rng.index", 1.5, "rng.index 1.5, want an integer in [0, 4503599627370496]"],
])("a header with %s %j is refused", (name, value, wanted) => {
  const header = goodHeader();
  setField(header, name, value);
  writeMetadata(JSON.stringify(header));
  for (const purpose of PURPOSES) expect(refusal(purpose)).toBe(wanted);
});

test.each([
  ["", 'metadata "", want JSON written by train or start'],
  ["{", 'metadata "{", want JSON written by train or start'],
  ["[]", "metadata [], want an object"],
  ["null", "metadata null, want an object"],
  ["[".repeat(50_000), `metadata "${"[".repeat(59)}…, want JSON written by train or start`],
  ['{"__proto__":{"format":1}}', "format missing, want a value"],
])("metadata %j is refused", (text, wanted) => {
  writeMetadata(text);
  for (const purpose of PURPOSES) expect(refusal(purpose)).toBe(wanted);
});

test("tensors that are missing, extra, misshapen, of another type or not finite are refused, naming one", () => {
  const { tensors, metadata } = parseSafetensors(goodBytes);
  const rewrite = (change: (copy: typeof tensors) => void) => {
    const copy = new Map(tensors);
    change(copy);
    writeFileSync(path, serializeSafetensors(copy, metadata));
    return PURPOSES.map(refusal);
  };
  const bias = tensors.get("ema.input.bias")!;
  const named = (group: string) => [...tensors.keys()].filter((name) => name.startsWith(`${group}.`));
  const both = (message: string) => [message, message];
  expect(rewrite((copy) => copy.delete("ema.input.bias"))).toEqual(both("ema.input.bias missing, want [2]"));
  expect(rewrite((copy) => copy.delete("optimizer.first.3"))).toEqual(both("optimizer.first.3 missing, want [8]"));
  expect(rewrite((copy) => copy.set("ema.more", bias))).toEqual(both("ema.more [2], want no such tensor"));
  expect(rewrite((copy) => copy.set("more", bias))).toEqual(both("tensors named more.…, want model, ema, optimizer"));
  const integers = { dtype: "I64" as const, shape: [2], data: new BigInt64Array(2) };
  expect(rewrite((copy) => copy.set("ema.input.bias", integers))).toEqual(
    both("ema.input.bias I64, want F32 or F16 or BF16"),
  );
  const infinite = { dtype: "F32" as const, shape: [2], data: Float32Array.of(0, Number.NaN) };
  expect(rewrite((copy) => copy.set("ema.input.bias", infinite))).toEqual(
    both("ema.input.bias NaN at 1, want finite numbers"),
  );
  const long = { dtype: "F32" as const, shape: [3], data: new Float32Array(3) };
  expect(rewrite((copy) => copy.set("model.input.bias", long))).toEqual(both("model.input.bias [3], want [2]"));
  // What `export` writes has enough to draw, and not to go on.
  const exported = rewrite((copy) => {
    for (const name of [...named("model"), ...named("optimizer")]) copy.delete(name);
  });
  expect(exported).toEqual(["", "no tensors named model.…, want model, ema, optimizer"]);
  expect(rewrite((copy) => copy.clear())).toEqual([
    "no tensors named ema.…, want ema",
    "no tensors named model.…, want model, ema, optimizer",
  ]);
});

test("weights too large for half precision are not exported", () => {
  const { tensors, metadata } = parseSafetensors(goodBytes);
  const large = { dtype: "F32" as const, shape: [2], data: Float32Array.of(65_519, -65_520) };
  writeFileSync(path, serializeSafetensors(tensors.set("ema.input.bias", large), metadata));
  const to = join(work, "none.safetensors");
  expect(() => exportWeights(to, loadCheckpoint(path, "draw"))).toThrow(
    new InputError("ema.input.bias has -65520, want less than 65520 for half precision"),
  );
  expect(existsSync(to)).toBe(false);
});

test("a checkpoint that was read is that one, whatever a training saves meanwhile", async () => {
  writeFileSync(path, goodBytes);
  const checkpoint = loadCheckpoint(path, "resume");
  await saveSmall(`${path}.next`, backend);
  renameSync(`${path}.next`, path);
  expect(restoreRun(checkpoint, backend).optimizer.steps).toBe(0);
});

test("names of very many stages, axes or metadata keys are refused at once", () => {
  const { tensors, metadata } = parseSafetensors(goodBytes);
  const empty = { dtype: "F32" as const, shape: [0], data: new Float32Array(0) };
  const stages = new Map(tensors);
  for (let k = 1; k < 3000; k++) {
    stages.set(`ema.down.${k}.stages.0`, empty);
    stages.set(`ema.down.0.stages.${k}.x`, empty);
  }
  const header = goodHeader();
  setField(header, "settings.model.blocks", 3000);
  setField(header, "settings.model.multipliers", Array(3000).fill(1));
  writeFileSync(path, serializeSafetensors(stages, { ...metadata, tweedie: JSON.stringify(header) }));
  for (const purpose of PURPOSES)
    expect(refusal(purpose)).toMatch(/^(ema: \d+ tensors, want those of|settings\.model\.multipliers)/);

  const deep = { dtype: "F32" as const, shape: Array(200_000).fill(1), data: new Float32Array(1) };
  writeFileSync(path, serializeSafetensors(new Map(tensors).set("ema.deep", deep), metadata));
  for (const purpose of PURPOSES)
    expect(refusal(purpose)).toBe(
      "ema.deep [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1…, want no such tensor",
    );

  const keys = Array.from({ length: 200_000 }, (_, k) => `"${k}k":""`).join(",");
  writeParts(path, `{"__metadata__":{${keys}}}`, new Uint8Array(0));
  for (const purpose of PURPOSES)
    expect(refusal(purpose)).toMatch(/^safetensors: header of 2\d+ bytes, want at most 2097152 in a checkpoint$/);
});

test("what is no file is refused and not read", () => {
  const directory = temporaryDirectory();
  const cases: [string, string][] = [
    [directory, "is a folder, want a file"],
    [join(directory, "none"), "is not there, want a checkpoint"],
  ];
  if (process.platform !== "win32") {
    execFileSync("sh", ["-c", 'mkfifo "$0"', join(directory, "pipe")]);
    symlinkSync("/dev/zero", join(directory, "zeros"));
    cases.push(
      [join(directory, "pipe"), "is a pipe, want a file"],
      [join(directory, "zeros"), "is a device, want a file"],
    );
  }
  for (const [at, wanted] of cases) {
    for (const purpose of PURPOSES)
      expect(() => loadCheckpoint(at, purpose)).toThrow(new InputError(`${at}: ${wanted}`));
  }
});

// The right values of each field, written down without the code that checks them.
const isInteger = (low: number, high: number) => (x: unknown) =>
  Number.isSafeInteger(x) && (x as number) >= low && (x as number) <= high;
const isNumber = (low: number, high: number) => (x: unknown) => typeof x === "number" && x >= low && x <= high;
const isOneOf =
  (...values: unknown[]) =>
  (x: unknown) =>
    values.some((value) => JSON.stringify(value) === JSON.stringify(x));
const RIGHT: Readonly<Record<string, (x: unknown) => boolean>> = {
  format: isOneOf(1),
  "settings.model.inChannels": isOneOf(1),
  "settings.model.outChannels": isOneOf(undefined, 1),
  "settings.model.channels": isOneOf(2),
  "settings.model.multipliers": isOneOf([1, 2]),
  "settings.model.blocks": isOneOf(1),
  "settings.model.attentionLevels": isOneOf([1], [1, 1]),
  "settings.model.heads": isOneOf(undefined, 1, 2, 4),
  "settings.model.groups": isOneOf(undefined, 1, 2),
  "settings.model.dropout": (x) => x === undefined || (isNumber(0, 1)(x) && x !== 1),
  "settings.model.classes": isOneOf(10),
  "settings.model.scaleShift": isOneOf(undefined, false),
  "settings.model.checkpoint": isOneOf(undefined, false, true),
  "settings.schedule": isOneOf("linear", "cosine"),
  "settings.diffusionSteps": isInteger(1, 100_000),
  "settings.batch": isInteger(1, 65_536),
  "settings.accumulate": isOneOf(undefined, 1, 2, 4),
  "settings.lr": isNumber(0, 1),
  "settings.powerEma": isOneOf(undefined),
  "settings.lrDecay": isOneOf(undefined),
  "settings.optimizer": isOneOf(undefined),
  "settings.warmup": isInteger(0, 1e9),
  "settings.clipNorm": isNumber(0, 1e9),
  "settings.emaDecay": (x) => isNumber(0, 1)(x) && x !== 1,
  "settings.seed": isInteger(0, Number.MAX_SAFE_INTEGER),
  "settings.labelDropout": isNumber(0, 1),
  "image.height": isInteger(1, 4096),
  "image.width": isInteger(1, 4096),
  step: isInteger(0, 2 ** 52),
  "rng.generator": isOneOf("philox4x32-10"),
  "rng.key": (x) => typeof x === "string" && /^0x[0-9a-f]{1,16}$/.test(x),
  "rng.index": isInteger(0, 2 ** 52),
};
const BRANCHES = ["settings", "settings.model", "image", "rng"];

// As JSON has them; 1e999 is read as an infinity.
const VALUES = [
  "null",
  "true",
  "false",
  '""',
  '"x"',
  '"1"',
  '"cosine"',
  "[]",
  "{}",
  "[1]",
  "[1,2]",
  "[1,1]",
  "[0]",
  "[null]",
  '[["a"]]',
  '{"a":{"b":1}}',
].concat([
  "-1",
  "-0",
  "0",
  "0.5",
  "1",
  "2",
  "3",
  "4",
  "6",
  "10",
  "1000",
  "65536",
  "65537",
  "1e5",
  "1e9",
  "1e15",
  "9007199254740993",
  "1e300",
  "1e999",
  "-1e999",
  "1e-300",
  '"0x0"',
  '"0xfffffffffffffffff"',
]);

test("of 20,000 changed headers (300 in a quick run), exactly the wrong ones are refused, in one line", () => {
  const draws = randomStream(20).host;
  const pick = <Item>(items: readonly Item[]): Item => items[draws.integers(0, items.length, [1])[0]];
  const names = [...Object.keys(RIGHT), ...BRANCHES];
  let refused = 0;
  const total = repetitions("checkpoint headers");
  for (let k = 0; k < total; k++) {
    const header = goodHeader();
    for (let changes = pick([1, 1, 1, 2, 3]); changes > 0; changes--) {
      const name = pick(names);
      const kind = pick(["value", "value", "value", "value", "remove", "add"]);
      try {
        if (kind === "add")
          setField(header, `${pick(BRANCHES)}.${pick(["x", "constructor", "toString", "__proto__x"])}`, 1);
        else setField(header, name, kind === "remove" ? undefined : `@${pick(VALUES)}`);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError); // an earlier change took away what holds the field
      }
    }
    const text = JSON.stringify(header).replace(/"@((?:[^"\\]|\\.)*)"/g, (_, value) => JSON.parse(`"${value}"`));
    writeMetadata(text);
    const isRight = isRightHeader(JSON.parse(text));
    for (const purpose of PURPOSES) expect(refusal(purpose) === "", `${purpose}: ${text}`).toBe(isRight);
    if (!isRight) refused++;
  }
  expect(refused).toBeGreaterThan(total / 2);
  expect(refused).toBeLessThan(total);
});

function isRightHeader(header: Json): boolean {
  const found = new Map<string, unknown>();
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const visit = (value: Json, prefix: string): boolean =>
    Object.entries(value).every(([key, item]) => {
      const name = `${prefix}${key}`;
      if (BRANCHES.includes(name)) return isObject(item) && visit(item, `${name}.`);
      found.set(name, item);
      return Object.hasOwn(RIGHT, name);
    });
  return (
    isObject(header) && visit(header, "") && Object.entries(RIGHT).every(([name, isRight]) => isRight(found.get(name)))
  );
}

test("of 2,000 files with some bytes of the header changed (200 in a quick run), none ends in anything but one line", () => {
  const draws = randomStream(21).host;
  const length = goodBytes.length - good.data.length;
  for (let k = 0; k < repetitions("checkpoint bytes"); k++) {
    const bytes = Uint8Array.from(goodBytes);
    for (const at of draws.integers(0, length, [1 + (k % 4)])) bytes[at] = draws.integers(0, 256, [1])[0];
    writeFileSync(path, bytes);
    for (const purpose of PURPOSES) refusal(purpose);
  }
});

// Takes 13 s and a file system that can hold holes.
if (process.env.TWEEDIE_FULL) {
  test("one of more than 2 GiB is loaded, by the tensor", () => {
    const settings = { ...JSON.parse(good.header.__metadata__.tweedie).settings };
    settings.model = { ...settings.model, channels: 480 };
    const { model, optimizer } = dryShapes(path, settings);
    const header: Parameters<typeof writeParts>[1] = {
      __metadata__: { tweedie: JSON.stringify({ ...JSON.parse(good.header.__metadata__.tweedie), settings }) },
    };
    let end = 0;
    for (const [group, shapes] of Object.entries({ model, ema: model, optimizer })) {
      for (const [name, shape] of shapes) {
        const begin = end;
        end += 4 * shape.reduce((a, b) => a * b, 1);
        header[`${group}.${name}`] = { dtype: "F32", shape, data_offsets: [begin, end] };
      }
    }
    expect(end).toBeGreaterThan(2 ** 31);
    writeParts(path, header, new Uint8Array(0));
    truncateSync(path, readFileSync(path).length + end); // a hole, which reads as zeros
    const average = loadCheckpoint(path, "resume").tensors("ema", backend);
    expect(average.get("input.weight")?.shape).toEqual([3, 3, 1, 480]);
    for (const tensor of average.values()) tensor.dispose();
  }, 600_000);
}

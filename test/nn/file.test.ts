// A module's state in a file and as bytes: whole or not at all, any float type, and what does not fit.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, freeze, linear, load, save, stateBytes, stateDict } from "@pkg/nn";
import { cpu, parseSafetensors, randomStream, serializeSafetensors, tensor } from "@pkg/tensor";
import { afterAll, describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const folder = mkdtempSync(join(tmpdir(), "tweedie-save-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "model.safetensors");

const make = (backend = cpu(), seed = 0) => ({
  layers: [linear(2, 3, { backend, rng: randomStream(seed) })],
  mean: buffer(tensor([seed, 1], { backend })),
  count: tensor(Int32Array.of(seed), { backend }),
  seen: tensor([seed % 2, 1], { backend, dtype: "bool" }),
});
const values = async (module: object) =>
  Promise.all([...stateDict(module)].map(async ([name, t]) => [name, [...(await t.data())]]));

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("a state is saved and loaded with its frozen tensors, buffers and metadata", async () => {
    const backend = await open();
    const module = make(backend, 3);
    freeze(module.layers);
    await save(module, path, { note: "é" });
    expect(readdirSync(folder)).toEqual(["model.safetensors"]);
    const other = make(backend, 4);
    expect(await load(other, path)).toEqual({ note: "é" });
    expect(await values(other)).toEqual(await values(module));
    const third = make(backend, 5);
    await load(third, await stateBytes(module));
    expect(await values(third)).toEqual(await values(module));
    backend.dispose();
  });
});

test("float64 keeps its bits, and half precision is read", async () => {
  const exact = cpu({ precision: "float64" });
  const module = { w: tensor([1 / 3], { backend: exact }) };
  const bytes = await stateBytes(module);
  expect(parseSafetensors(bytes).tensors.get("w")?.dtype).toBe("F64");
  const other = { w: tensor([0], { backend: exact }) };
  await load(other, bytes);
  expect(await other.w.item()).toBe(1 / 3);
  const half = { dtype: "F16", shape: [1], data: Float32Array.of(0.25) } as const;
  await load(other, serializeSafetensors(new Map([["w", half]])));
  expect(await other.w.item()).toBe(0.25);
});

test("whole numbers come as they are in the file, or not at all", async () => {
  const backend = cpu();
  const read = async (dtype: "int32" | "uint32" | "bool", stored: Parameters<typeof serializeSafetensors>[0]) => {
    const module = { n: tensor([1], { backend, dtype }) };
    await load(module, serializeSafetensors(stored));
    return [...(await module.n.data())];
  };
  const file = (dtype: "U32" | "I32", value: number) =>
    new Map([
      dtype === "U32"
        ? ["n", { dtype, shape: [1], data: Uint32Array.of(value) } as const]
        : ["n", { dtype, shape: [1], data: Int32Array.of(value) } as const],
    ]);
  expect(await read("int32", file("U32", 7))).toEqual([7]);
  expect(await read("bool", file("I32", 0))).toEqual([0]);
  await expect(read("int32", file("U32", 2 ** 32 - 1))).rejects.toThrow(
    "load: n holds 4294967295 in the file, want int32",
  );
  await expect(read("uint32", file("I32", -1))).rejects.toThrow("load: n holds -1 in the file, want uint32");
  await expect(read("bool", file("I32", 7))).rejects.toThrow("load: n holds 7 in the file, want bool");
});

test("what does not fit changes nothing", async () => {
  const module = { a: tensor([1, 2], { backend: cpu() }), b: tensor(Int32Array.of(3), { backend: cpu() }) };
  const before = await values(module);
  const f32 = (shape: number[]) => ({ dtype: "F32", shape, data: new Float32Array(shape[0]) }) as const;
  const bytes = (entries: Record<string, ReturnType<typeof f32>>) =>
    serializeSafetensors(new Map(Object.entries(entries)));
  await expect(load(module, bytes({ a: f32([3]), c: f32([1]) }))).rejects.toThrow(
    "state: does not fit the module: b is missing; c is not part of it; a is [3], want [2]",
  );
  await expect(load(module, bytes({ a: f32([2]), b: f32([1]) }))).rejects.toThrow(
    "load: b is F32 in the file, want int32",
  );
  await expect(load(module, join(folder, "missing"))).rejects.toThrow("ENOENT");
  await expect(load(module, 3 as unknown as string)).rejects.toThrow("load: source is 3, want the path of a file");
  expect(await values(module)).toEqual(before);
});

test("a save that fails leaves the old file, and nothing beside it", async () => {
  const old = join(folder, "old");
  writeFileSync(old, "old");
  const broken = { w: tensor([1], { backend: cpu() }), "\ud800": tensor([1], { backend: cpu() }) };
  await expect(save(broken, old)).rejects.toThrow("half a surrogate pair");
  expect(readFileSync(old, "utf8")).toBe("old");
  await expect(save({ w: broken.w }, join(folder, "no", "where"))).rejects.toThrow("where stays as it was: ENOENT");
  expect(existsSync(join(folder, "no"))).toBe(false);
});

test.skipIf(process.platform === "win32")(
  "a link stays a link, and a folder or pipe is neither replaced nor read",
  async () => {
    const module = { w: tensor([1], { backend: cpu() }) };
    const own = mkdtempSync(join(folder, "links-"));
    const [file, link, lost, pipe] = ["file", "link", "lost", "pipe"].map((name) => join(own, name));
    writeFileSync(file, "old");
    symlinkSync("file", link);
    symlinkSync("nowhere", lost);
    execFileSync("sh", ["-c", 'mkfifo "$0"', pipe]);
    const neighbour = `${file}.tmp-${process.pid}`;
    writeFileSync(neighbour, "somebody's");
    await save(module, link);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    await load(module, file);
    for (const path of [own, lost, pipe]) {
      await expect(save(module, path)).rejects.toThrow(`save: ${path} stays as it was: it is not a file`);
    }
    await expect(load(module, pipe)).rejects.toThrow(`fileSource: ${pipe} is not a file, want one`);
    expect(readFileSync(neighbour, "utf8")).toBe("somebody's");
    expect(readdirSync(own).sort()).toEqual(["file", `file.tmp-${process.pid}`, "link", "lost", "pipe"]);
  },
);

test("what is assigned while a state is read is not saved", async () => {
  const module = { w: tensor([1], { backend: cpu() }) };
  const pending = stateBytes(module);
  module.w.assign(tensor([2], { backend: module.w.backend }));
  expect(parseSafetensors(await pending).tensors.get("w")?.data).toEqual(Float32Array.of(1));
});

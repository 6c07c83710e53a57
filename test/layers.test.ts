// The layers that CONTRIBUTING.md has, as lint enforces them: each forbidden import is an error, and each allowed one is none.
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { afterAll, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const copy = realpathSync(mkdtempSync(join(tmpdir(), "layers-")));
afterAll(() => rmSync(copy, { recursive: true }));
for (const file of ["biome.jsonc", ".gitignore"]) cpSync(join(root, file), join(copy, file));

interface Layer {
  readonly name: string;
  /** In packages/tensor/src; one of a folder stands for all. */
  readonly files: readonly string[];
  readonly imports: string;
}

const table = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
const layers = [
  ...(/\| layer \| files \| imports \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(table)?.[1] ?? "").matchAll(/.+/g),
]
  .map(([row]) => row.split("|").map((cell) => cell.trim()))
  .map(([, name, files, imports]): Layer => {
    const paths = [...files.matchAll(/`([^`]+)`/g)].map(([, path]) => (path.endsWith("/") ? `${path}probe.ts` : path));
    // In one backend's and one family's room.
    const rooms = paths.map((path) =>
      path.replace("backends/probe", "backends/cpu/probe").replace("ops/", "ops/conv/"),
    );
    return { name, files: rooms, imports };
  });

const isAllowed = (from: Layer, to: Layer): boolean =>
  from.imports === "all" ||
  (from.imports === "all but backends" ? to.name !== "backends" : from.imports.split(", ").includes(to.name));

/** Lines of a file, given by its path and what it imports, at which lint complains of an import. */
function refusedLines(files: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, readonly number[]> {
  for (const [path, imports] of files) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    writeFileSync(join(copy, path), imports.map((one) => `import type {} from "${one}";\n`).join(""));
  }
  const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
  const options = ["lint", "--only=style/noRestrictedImports", "--reporter=github", "--max-diagnostics=none"];
  let out = "";
  try {
    out = execFileSync(process.execPath, [biome, ...options, "."], { cwd: copy, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    out = (error as { stdout: string }).stdout; // of execFileSync, for an exit code that is not 0
  }
  const found = new Map([...files.keys()].map((path): [string, number[]] => [path, []]));
  for (const [, path, line] of out.matchAll(/file=([^,]+),line=(\d+)/g)) {
    found.get(relative(copy, path))?.push(Number(line) - 1);
  }
  for (const lines of found.values()) lines.sort((a, b) => a - b);
  return found;
}

test("the engine's layers import what their table says, and lint refuses the rest", () => {
  expect(layers).toHaveLength(7);
  const source = "packages/tensor/src";
  const targets = layers.flatMap((to) => to.files.map((file) => ({ to, file })));
  const pairs = layers.flatMap((from) =>
    from.files.map((file) => ({
      path: join(source, file),
      from,
      targets: targets.filter((target) => target.to !== from && target.to.name !== "face"),
    })),
  );
  const files = new Map(
    pairs.map(({ path, targets: all }) => [
      path,
      all.map(({ file }) => {
        const specifier = relative(dirname(path), join(source, file));
        return specifier.startsWith(".") ? specifier : `./${specifier}`;
      }),
    ]),
  );
  const refused = refusedLines(files);
  for (const { path, from, targets: all } of pairs) {
    const wanted = all.flatMap(({ to, file }) => (isAllowed(from, to) ? [] : [file]));
    expect(
      refused.get(path)?.map((line) => all[line].file),
      `refused in ${path}`,
    ).toEqual(wanted);
  }
  // All files but index.ts are refused something.
  expect([...refused.values()].filter((lines) => lines.length > 0).length).toBeGreaterThan(20);
});

test("packages import those before them, by name, and nobody imports the laboratory", () => {
  const order = ["tensor", "nn", "diffusion", "cli"];
  const names = [...order, "lab"].map((name) => `@pkg/${name}`);
  const files = new Map(order.map((name) => [`packages/${name}/src/probe.ts`, names]));
  const refused = refusedLines(
    new Map([
      ...files,
      ["bench/probe.ts", ["@pkg/lab", "../packages/lab/src/data.ts"]],
      ["packages/lab/src/probe.ts", ["../../tensor/src/shape.ts", "@pkg/tensor", "@pkg/command"]],
    ]),
  );
  for (const [at, name] of order.entries()) {
    const later = names.flatMap((_, k) => (k > at ? [k] : []));
    expect(refused.get(`packages/${name}/src/probe.ts`), name).toEqual(later);
  }
  expect(refused.get("bench/probe.ts")).toEqual([0, 1]);
  expect(refused.get("packages/lab/src/probe.ts")).toEqual([0]);
});

test("a room of ops, backends or kernels holds at most 17 files, none of more than 350 lines", () => {
  const rooms = ["packages/tensor/src/ops", "packages/tensor/src/backends", "kernels"].flatMap((room) => [
    room,
    ...readdirSync(join(root, room), { recursive: true, withFileTypes: true })
      .filter(
        (entry) => entry.isDirectory() && !entry.parentPath.includes("node_modules") && entry.name !== "node_modules",
      )
      .map((entry) => relative(root, join(entry.parentPath, entry.name))),
  ]);
  expect(rooms.length).toBeGreaterThan(25);
  for (const room of rooms) {
    const files = readdirSync(join(root, room), { withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.length, room).toBeLessThanOrEqual(17);
    for (const { name } of files) {
      const lines = readFileSync(join(root, room, name), "utf8").split("\n").length - 1;
      expect(lines, join(room, name)).toBeLessThanOrEqual(350);
    }
  }
});

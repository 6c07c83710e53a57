// Grids are checked pixel by pixel, after decoding by the PNG standard's words and not by the encoder's library.
import { inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { gridPng } from "../../packages/cli/src/imageGrid.ts";

/** The bytes of each row of an 8-bit, not interlaced and not filtered PNG. */
function rows(png: Uint8Array): number[][] {
  const file = Buffer.from(png);
  expect([...file.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks: { type: string; data: Buffer }[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    const length = file.readUInt32BE(at);
    chunks.push({ type: file.toString("latin1", at + 4, at + 8), data: file.subarray(at + 8, at + 8 + length) });
  }
  expect(chunks.at(-1)!.type).toBe("IEND");
  const header = chunks[0]!.data;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = { 0: 1, 2: 3 }[header[9]!]!; // colour types: grey, RGB
  expect([chunks[0]!.type, header[8], header[12]]).toEqual(["IHDR", 8, 0]);
  const data = inflateSync(Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map((chunk) => chunk.data)));
  const stride = 1 + width * channels;
  expect(data.length).toBe(height * stride);
  return Array.from({ length: height }, (_, y) => {
    expect(data[y * stride]).toBe(0);
    return [...data.subarray(y * stride + 1, (y + 1) * stride)];
  });
}

test("grey images lie row by row, two white pixels apart, and missing ones are white", () => {
  const images = Float32Array.of(-1, -1, /**/ 0, 0, /**/ 0.5, 1);
  const W = 255;
  expect(rows(gridPng(images, { count: 3, height: 2, width: 1, channels: 1 }, 2))).toEqual([
    [0, W, W, 128],
    [0, W, W, 128],
    [W, W, W, W],
    [W, W, W, W],
    [191, W, W, W],
    [255, W, W, W],
  ]);
});

test("the grid is no wider than its images", () => {
  expect(rows(gridPng(new Float32Array(2), { count: 2, height: 1, width: 1, channels: 1 }, 8))).toEqual([
    [128, 255, 255, 128],
  ]);
});

test("colours keep their places, and zoom repeats pixels but not the gap", () => {
  const images = Float32Array.of(1, 0, -1, /**/ -1, -1, 1); // two images of one pixel
  const row = [255, 128, 0, 255, 128, 0, 255, 255, 255, 0, 0, 255, 0, 0, 255];
  expect(rows(gridPng(images, { count: 2, height: 1, width: 1, channels: 3 }, 2, { zoom: 2, gap: 1 }))).toEqual([
    row,
    row,
  ]);
});

test("every byte can be reached, and values outside [-1, 1] are clamped", () => {
  const ramp = Float32Array.from({ length: 258 }, (_, i) => (i - 1) / 127.5 - 1);
  const expected = [0, ...Array.from({ length: 256 }, (_, i) => i), 255];
  expect(rows(gridPng(ramp, { count: 1, height: 1, width: 258, channels: 1 }, 1))).toEqual([expected]);
});

test.each<[string, number[], Partial<Parameters<typeof gridPng>[1]>, number, object, string]>([
  ["NaN", [0, Number.NaN], {}, 1, {}, "gridPng: value NaN at 1, want finite values"],
  ["infinity", [0, Number.NEGATIVE_INFINITY], {}, 1, {}, "gridPng: value -Infinity at 1, want finite values"],
  ["too few values", [0], {}, 1, {}, "gridPng: 1 values for [1, 1, 2, 1], want 2"],
  ["two channels", [0, 0], { width: 1, channels: 2 }, 1, {}, "gridPng: 2 channels, want 1 or 3"],
  ["no images", [], { count: 0 }, 1, {}, "gridPng: count 0, want a whole number from 1"],
  ["no columns", [0, 0], {}, 0, {}, "gridPng: columns 0, want a whole number from 1"],
  ["half a zoom", [0, 0], {}, 1, { zoom: 0.5 }, "gridPng: zoom 0.5, want a whole number from 1"],
])("refuses %s", (_, values, shape, columns, options, message) => {
  const whole = { count: 1, height: 1, width: 2, channels: 1, ...shape };
  expect(() => gridPng(Float32Array.from(values), whole, columns, options)).toThrow(message);
});

// Grids are checked pixel by pixel, after decoding by the PNG standard's words and not by the encoder's library.
import { expect, test } from "vitest";
import { gridPng } from "../../packages/cli/src/images/imageGrid.ts";
import { rows } from "./pngRows.ts";

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

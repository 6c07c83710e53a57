// Which steps samplers visit, against what numpy gives diffusers: golden/spacing.json, made by golden/makeSpacing.py.
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { spacedTimes } from "@pkg/diffusion";
import { expect, test } from "vitest";

type Checksums = Readonly<Record<string, readonly number[]>>;
const golden: { readonly linspace: Checksums; readonly trailing: Checksums } = JSON.parse(
  readFileSync(new URL("../../golden/spacing.json", import.meta.url), "utf8"),
);

test.each(
  (["linspace", "trailing"] as const).flatMap((spacing) => [100, 1000, 4000].map((total) => [spacing, total] as const)),
)("%s of %i steps is numpy's for every number of steps up to 1000", (spacing, total) => {
  const wrong = golden[spacing][total].flatMap((wanted, block) => {
    const lists = Array.from({ length: 10 }, (_, k) => spacedTimes(total, 10 * block + k + 1, spacing).join(","));
    return crc32(lists.join("\n")) === wanted ? [] : [`${10 * block + 1} to ${10 * block + 10} steps`];
  });
  expect(wrong).toEqual([]);
});

test("halves go to the even step", () => {
  expect(spacedTimes(1000, 7, "linspace")).toEqual([999, 832, 666, 500, 333, 166, 0]); // 832.5, 499.5 and 166.5 among them
  expect(spacedTimes(1000, 16, "trailing").slice(0, 4)).toEqual([999, 937, 874, 811]); // 937.5 and 812.5 less 1
  expect(spacedTimes(4, 1, "trailing")).toEqual([3]);
});

// The same seed gives the same bits as it did when test/golden/bits.json was made: of losses, noise, samples and training, on cpu and
// wasm. A case that is new gets its digests by `node tools/run.mjs test/golden/makeBits.ts`, which leaves all others as they are.
import { describe, expect, test } from "vitest";
import golden from "../../golden/bits.json" with { type: "json" };
import { openers } from "../../setup/backends.ts";
import { type Golden, rooms } from "./cases.ts";
import { digests } from "./digest.ts";

const deterministic = openers.filter(({ name }) => name !== "webgpu");

describe.each(Object.entries(rooms))("bits of %s", (room, cases) => {
  test("the golden digests are of these cases", () => {
    expect(Object.keys((golden as Golden)[room])).toEqual(Object.keys(cases));
  });

  test.each(deterministic)("hold on $name", async ({ name, open }) => {
    const backend = await open();
    const found: Record<string, Record<string, string>> = {};
    const wanted: Record<string, Record<string, string>> = {};
    for (const [title, run] of Object.entries(cases)) {
      found[title] = await digests(run, backend);
      wanted[title] = (golden as Golden)[room][title][name];
    }
    expect(found).toEqual(wanted);
  });
});

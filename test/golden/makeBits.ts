// `node tools/run.mjs test/golden/makeBits.ts`: writes the digests of test/diffusion/bits that test/golden/bits.json lacks into it.
// Digests that are there stay as they are, whatever is computed now: to make one anew, delete it first, and say why in the commit.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpu, wasm } from "@pkg/tensor";
import { type Golden, rooms } from "../diffusion/bits/cases.ts";
import { digests } from "../diffusion/bits/digest.ts";

const FILE = "test/golden/bits.json";
const before: Golden = existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) : {};
const backends = { cpu: cpu(), wasm: await wasm({ threads: 1 }) };

const golden: Golden = {};
for (const [room, cases] of Object.entries(rooms)) {
  golden[room] = {};
  for (const [title, run] of Object.entries(cases)) {
    golden[room][title] = { ...before[room]?.[title] };
    for (const [name, backend] of Object.entries(backends)) golden[room][title][name] ??= await digests(run, backend);
  }
}
writeFileSync(FILE, `${JSON.stringify(golden, null, 2)}\n`);

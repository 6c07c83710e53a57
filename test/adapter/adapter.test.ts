// What adapters do where WGSL leaves it open: asks the adapter of the tests, and the engine's ops that must be right on any.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type OpenedGpu, openGpu } from "../../bench/gpuDevice.ts";
import { describeAdapter } from "../../packages/tensor/src/backends/webgpu/device/device.ts";
import { gpuAvailable } from "../setup/gpu.ts";
import { recordedAnswers, withTables } from "./document.ts";
import { holds, type Probe } from "./probe.ts";
import { probes, VARYING } from "./probes.ts";

const docs = fileURLToPath(new URL("../../docs", import.meta.url));
const guarded = probes.filter((probe): probe is Probe & Required<Pick<Probe, "ours">> => probe.ours !== undefined);

describe.skipIf(!gpuAvailable)("the adapter", () => {
  let gpu: OpenedGpu;
  beforeAll(async () => {
    gpu = await openGpu();
  });
  afterAll(() => gpu.backend.dispose());

  test.each(probes)("answers as docs/adapters.md says, or is new there: $topic", async ({ topic, ask }) => {
    const answers = await ask(gpu.device, gpu.adapter);
    expect(Object.keys(answers).length).toBeGreaterThan(0);
    const known = recordedAnswers(docs).find(({ adapter }) => adapter === describeAdapter(gpu.adapter));
    if (known && topic !== VARYING) expect(answers).toEqual(known.answers[topic]);
  });

  test.each(guarded)("the engine is right on it: $topic", async ({ ours }) => {
    const checks = await ours(gpu.backend);
    expect(checks.filter((check) => !holds(check))).toEqual([]);
  });
});

test("docs/adapters.md has the tables that follow from docs/adapters/, SwiftShader's and lavapipe's among them", () => {
  const all = recordedAnswers(docs);
  expect(all.map(({ name }) => name)).toEqual(expect.arrayContaining(["SwiftShader", "lavapipe"]));
  const text = readFileSync(`${docs}/adapters.md`, "utf8");
  expect(withTables(text, all)).toBe(text);
});

// Results of runs that never took place, for testing what reads them.
import type { Measurement } from "../../bench/measure.ts";
import { type BenchResult, SCHEMA } from "../../bench/result.ts";
import { spread } from "../../bench/statistics.ts";

export function measurement(name: string, samples: readonly number[], more: Partial<Measurement> = {}): Measurement {
  return {
    name,
    size: "512³",
    backend: "wasm",
    flop: 2e8,
    bytes: 3e6,
    samples,
    ...spread(samples),
    error: 3e-7,
    tolerance: 5e-6,
    ...more,
  };
}

export function result(measurements: readonly Measurement[], more: Partial<BenchResult> = {}): BenchResult {
  return {
    schema: SCHEMA,
    environment: {
      date: "2000-01-01T00:00:00.000Z",
      command: "bench --quick",
      node: "v20.0.0",
      v8: "11.3",
      os: "Linux 6 x64",
      cpu: "Made-up CPU",
      cores: 2,
      memoryBytes: 2 ** 34,
      commit: "0123456789abcdef",
      dirty: true,
      load: [0.5, 1.5],
      others: 0.04,
      isBusy: false,
    },
    backends: [{ label: "wasm", name: "wasm: 2 threads", ceilings: { flops: 1e11, bandwidth: 2e10 } }],
    measurements,
    networks: [],
    failures: [],
    absent: [],
    ...more,
  };
}

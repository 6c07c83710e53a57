// Ours beside others', problem by problem.
import type { Measurement } from "./measure.ts";
import { quantile } from "./statistics.ts";

/** One line a contender of one case: its time, and ours of the same kind as a multiple of it. */
export function comparison(measurements: readonly Measurement[]): string {
  const lines = measurements.map((m) => {
    const own = measurements.find(({ backend }) => backend === ownLabel(m.backend, measurements));
    const ratio = own && own !== m ? `ours takes ${ratioOf(own, m).toFixed(2)}×` : "";
    return `  ${m.backend.padEnd(24)}${m.median.toPrecision(4).padStart(10)} ms  ±${m.mad.toPrecision(2).padEnd(8)}${ratio.padEnd(20)} error ${m.error.toExponential(1)}`;
  });
  return lines.join("\n");
}

/** The median over rounds of ours / theirs: the two samples of a round saw the same load. */
export function ratioOf(own: Measurement, other: Measurement): number {
  const rounds = Math.min(own.samples.length, other.samples.length);
  return quantile(
    Array.from({ length: rounds }, (_, k) => own.samples[k] / other.samples[k]),
    0.5,
  );
}

/** Which of ours a contender is measured against: its own kind where that took part, else the other. */
export function ownLabel(label: string, measurements: readonly Pick<Measurement, "backend">[]): string {
  const [own, other] = label.endsWith("webgpu") ? ["webgpu", "wasm"] : ["wasm", "webgpu"];
  return measurements.some(({ backend }) => backend === `tweedie ${own}`) ? `tweedie ${own}` : `tweedie ${other}`;
}

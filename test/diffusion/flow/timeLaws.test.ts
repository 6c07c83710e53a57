// Laws of times: each density integrates to 1 and is that of the draws.
import {
  cosMapLaw,
  logitNormalLaw,
  logSnrLaw,
  modeLaw,
  resolutionShift,
  shiftedLaw,
  shiftedTime,
  type TimeLaw,
  uniformLaw,
  vpInterpolant,
} from "@pkg/diffusion";
import { randomStream } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const LAWS: Readonly<Record<string, TimeLaw>> = {
  uniform: uniformLaw(),
  "logit-normal": logitNormalLaw(),
  "logit-normal, moved": logitNormalLaw({ mean: -0.8, deviation: 0.6 }),
  mode: modeLaw(),
  "mode, light in the middle": modeLaw({ scale: -0.7 }),
  cosmap: cosMapLaw(),
  "normal log SNR": logSnrLaw({ mean: 1, deviation: 2 }),
  "normal log SNR on the variance-preserving interpolant": logSnrLaw({ deviation: 2.4, interpolant: vpInterpolant() }),
  "uniform log SNR": logSnrLaw({ min: -8, max: 10 }),
  "uniform log SNR on the variance-preserving interpolant": logSnrLaw({
    min: -5,
    max: 5,
    interpolant: vpInterpolant(),
  }),
  "shifted uniform": shiftedLaw(uniformLaw(), 3),
  "shifted logit-normal": shiftedLaw(logitNormalLaw({ mean: 0.5 }), resolutionShift(1024 ** 2, 512 ** 2)),
};

const CELLS = 50_000;
const DRAWS = 20_000;

describe.each(Object.entries(LAWS))("%s", (_, law) => {
  /** P(t ≤ k / CELLS), by the midpoint rule. */
  const cumulative = () => {
    const sums = new Float64Array(CELLS + 1);
    for (let k = 0; k < CELLS; k++) sums[k + 1] = sums[k] + law.density((k + 0.5) / CELLS) / CELLS;
    return sums;
  };

  test("the density integrates to 1, and there is none outside [0, 1]", () => {
    // The jumps of a uniform log SNR are within a cell: 1e-3 of log SNR 18 wide at its ends.
    expect(cumulative()[CELLS]).toBeCloseTo(1, 3);
    expect([law.density(-0.1), law.density(1.1)]).toEqual([0, 0]);
  });

  test("draws have the density: Kolmogorov and Smirnov's distance is that of chance", () => {
    const sums = cumulative();
    const drawn = law.draw(DRAWS, randomStream(11)).sort();
    expect(drawn).toHaveLength(DRAWS);
    expect(drawn[0] >= 0 && drawn[DRAWS - 1] <= 1).toBe(true);
    let distance = 0;
    for (const [k, t] of drawn.entries()) {
      const share = sums[Math.min(CELLS, Math.round(t * CELLS))];
      distance = Math.max(distance, Math.abs(share - k / DRAWS), Math.abs(share - (k + 1) / DRAWS));
    }
    // Larger in one of 1,000 runs: √(−½ ln 0.0005).
    expect(distance).toBeLessThan(1.95 / Math.sqrt(DRAWS) + 1e-3);
  });

  test("a seed gives its numbers, by one draw of the stream", () => {
    const [a, b] = [randomStream(3), randomStream(3)];
    expect(law.draw(5, a)).toEqual(law.draw(5, b));
    b.host.normal([1]);
    expect(law.draw(5, a)).not.toEqual(law.draw(5, b));
  });
});

test("known values: cosmap and mode are the paper's maps, a shift moves times and back", () => {
  const half = randomStream(0);
  /** A stream whose uniform number is this one. */
  const fixed = (value: number): typeof half =>
    Object.assign(Object.create(half), { host: { uniform: () => Float32Array.of(value) } });
  expect(cosMapLaw().draw(1, fixed(0.5))[0]).toBeCloseTo(0.5, 6);
  expect(cosMapLaw().density(0.5)).toBeCloseTo(4 / Math.PI, 12);
  expect(modeLaw({ scale: 1.29 }).draw(1, fixed(0.25))[0]).toBeCloseTo(
    0.75 - 1.29 * (Math.cos(Math.PI / 8) ** 2 - 0.75),
    6,
  );
  expect(modeLaw({ scale: 0 }).density(0.3)).toBeCloseTo(1, 12);
  expect(shiftedTime(0.5, 3)).toBe(0.75);
  expect(shiftedTime(shiftedTime(0.3, 3), 1 / 3)).toBeCloseTo(0.3, 12);
  expect(resolutionShift(1024 ** 2, 512 ** 2)).toBe(2);
  // A log SNR of N(m, s²) is a logit of N(−m / 2, s² / 4) on the linear interpolant.
  for (const t of [0.1, 0.5, 0.8])
    expect(logSnrLaw({ mean: 1, deviation: 2 }).density(t)).toBeCloseTo(
      logitNormalLaw({ mean: -0.5, deviation: 1 }).density(t),
      10,
    );
});

test("what does not fit is refused by name", () => {
  expect(() => logitNormalLaw({ deviation: 0 })).toThrow("logitNormalLaw: deviation is 0, want a positive number");
  expect(() => logitNormalLaw({ mean: Number.NaN })).toThrow("logitNormalLaw: mean is NaN, want a finite number");
  expect(() => modeLaw({ scale: 2 })).toThrow("modeLaw: scale is 2, want a number in [−1, 1.75");
  expect(() => logSnrLaw({ min: 1, max: 0 })).toThrow("logSnrLaw: min is 1 and max 0, want finite numbers");
  expect(() => logSnrLaw({} as never)).toThrow("logSnrLaw: min is undefined and max undefined");
  expect(() => shiftedLaw(uniformLaw(), 0)).toThrow("shiftedLaw: shift is 0, want a positive number");
  expect(() => shiftedTime(2, 1)).toThrow("shiftedTime: t is 2, want a number in [0, 1]");
  expect(() => resolutionShift(0, 4)).toThrow("resolutionShift: pixels is 0, want a positive number");
  expect(() => uniformLaw().draw(2, 3 as never)).toThrow("uniformLaw: rng is 3, want a random stream");
});

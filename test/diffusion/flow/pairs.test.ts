// Pairs of data and noise: exact assignment against every permutation, and the flow's own pairs, which straighten it.
import {
  cosine,
  discretePath,
  eulerMaruyama,
  flowPath,
  gaussianOracle,
  type Model,
  mixtureOracle,
  optimalPairs,
  oraclePath,
  reflowPairs,
  rungeKutta,
  straightness,
  vpInterpolant,
} from "@pkg/diffusion";
import { cpu, randomStream, type Tensor, tensor, wasm } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { leastAssignment } from "../../../packages/diffusion/src/flow/assignment.ts";
import { heldBy, stillHeld } from "../../setup/heldTensors.ts";

const backend = cpu({ precision: "float64" });

/** Every order of 0 … n − 1. */
function* orders(n: number): Generator<number[]> {
  if (n === 0) yield [];
  else
    for (const rest of orders(n - 1)) for (let k = 0; k < n; k++) yield [...rest.slice(0, k), n - 1, ...rest.slice(k)];
}

const costOf = (costs: ArrayLike<number>, order: ArrayLike<number>) => {
  const n = order.length;
  return Array.from(order).reduce((sum, column, row) => sum + costs[row * n + column], 0);
};

describe("the least assignment", () => {
  test.each([1, 2, 3, 5, 7])("of %i is that of every order, of costs of any sign and with ties", (n) => {
    const rng = randomStream(n);
    for (let trial = 0; trial < 20; trial++) {
      const costs = trial % 2 ? rng.host.normal([n, n]) : Float32Array.from(rng.host.integers(-2, 3, [n, n]));
      const found = leastAssignment(costs, n);
      expect([...found].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, k) => k));
      let least = Number.POSITIVE_INFINITY;
      for (const order of orders(n)) least = Math.min(least, costOf(costs, order));
      expect(costOf(costs, found)).toBeCloseTo(least, 6);
    }
  });

  test("of 512 points on a line and as many others is that of both sorted", () => {
    const [a, b] = [1, 2].map((seed) => [...randomStream(seed).host.normal([512])]);
    const costs = Float64Array.from({ length: 512 ** 2 }, (_, i) => (a[Math.floor(i / 512)] - b[i % 512]) ** 2);
    const [up, down] = [a, b].map((list) => [...list].sort((x, y) => x - y));
    const wanted = up.reduce((sum, x, k) => sum + (x - down[k]) ** 2, 0);
    expect(costOf(costs, leastAssignment(costs, 512))).toBeCloseTo(wanted, 8);
  });
});

describe("optimal pairs", () => {
  test("find each datum's own noise again, of any shape, on every backend", async () => {
    for (const on of [cpu(), await wasm({ threads: 1 })]) {
      const x0 = randomStream(1).normal([40, 2, 3], { backend: on });
      const order = randomStream(2).permutation(40);
      const moved = x0.gather(tensor(Int32Array.from(order), { backend: on })).mul(0.9);
      const found = await (await optimalPairs(x0, moved)).data();
      for (const [i, value] of [...(await x0.data())].entries()) expect(found[i]).toBeCloseTo(0.9 * value, 5);
    }
  });

  test("what does not fit is refused by name", async () => {
    const x0 = randomStream(1).normal([3, 2], { backend });
    await expect(optimalPairs(x0, x0.slice([0, 2]))).rejects.toThrow("optimalPairs: noise is [2,2] for x [3,2]");
    await expect(optimalPairs(x0, x0.div(0))).rejects.toThrow("optimalPairs: x0 or noise of samples 0 and 0");
    const many = randomStream(1).normal([513, 1], { backend });
    await expect(optimalPairs(many, many)).rejects.toThrow("optimalPairs: x0 has 513 samples, want at most 512");
  });
});

describe("pairs of a flow", () => {
  test("that fail leave nothing alive, nor does a straightness, which is of the linear interpolant alone", async () => {
    const wide: Model = { forward: (x) => x.sum(1) };
    const path = flowPath({ steps: 3 });
    const before = heldBy(backend);
    for (const work of [reflowPairs, straightness])
      await expect(work(path, wide, [2, 2], randomStream(0), { backend })).rejects.toThrow("want x's shape");
    expect(stillHeld(backend)).toEqual(before);
    for (const other of [flowPath({ steps: 3, interpolant: vpInterpolant() }), discretePath(cosine(10), { steps: 3 })])
      await expect(straightness(other, wide, [2, 2], randomStream(0), { backend })).rejects.toThrow(
        /^straightness: path has signal .* and noise .* at t = .*, want 1 − t and t: flowPath\(\)$/,
      );
  });

  test("of Gaussian data lead from noise z to μ + σ z, by any solver of the ODE", async () => {
    const path = oraclePath(flowPath({ steps: 200 }), gaussianOracle({ mean: [1, -2], variance: 0.25 }));
    const { x0, noise } = await reflowPairs(path, path.model, [8, 2], randomStream(3), { backend, solver: rungeKutta });
    const [data, z] = [await x0.data(), await noise.data()];
    for (const [i, value] of [...data].entries()) expect(value).toBeCloseTo([1, -2][i % 2] + 0.5 * z[i], 3);
    expect([...z]).toEqual([...(await randomStream(3).normal([8, 2], { backend }).data())]);
    await expect(
      reflowPairs(path, path.model, [2, 2], randomStream(0), { backend, solver: eulerMaruyama as never }),
    ).rejects.toThrow("reflowPairs: the solver draws noise, want one of the ODE");
  });

  test("are straight where the velocity is one that keeps its way, and the next flow is straighter than the first", async () => {
    // A point: u = (x − x₀) / t is ε − x₀ all the way.
    const on = (oracle: Parameters<typeof oraclePath>[1]) => oraclePath(flowPath({ steps: 40 }), oracle);
    const point = on(gaussianOracle({ mean: [1], variance: 1e-12 }));
    const of = (path: ReturnType<typeof on>, model: Model) =>
      straightness(path, model, [200, 1], randomStream(5), { backend });
    expect(await of(point, point.model)).toBeLessThan(1e-8);
    const first = on(mixtureOracle({ means: [[-1], [1]], variances: 0.01 }));
    const bent = await of(first, first.model);
    expect(bent).toBeGreaterThan(0.05);
    // The flow of its own pairs (x₀, ε) in one dimension, where ways that keep their order never cross: at x_t the pair is found again.
    const pairs = await reflowPairs(first, first.model, [4000, 1], randomStream(6), { backend });
    const [data, noise] = [await pairs.x0.data(), await pairs.noise.data()];
    const sorted = [...noise.keys()].sort((a, b) => noise[a] - noise[b]);
    const next: Model = {
      forward: (x, [t]: readonly number[]) => {
        const ways = sorted.map((k) => ({ place: (1 - t) * data[k] + t * noise[k], velocity: noise[k] - data[k] }));
        return nearest(x, ways);
      },
    };
    const path = flowPath({ times: Array.from({ length: 40 }, (_, k) => 1 - k / 40) });
    expect(await straightness(path, next, [50, 1], randomStream(7), { backend })).toBeLessThan(bent / 10);
  });
});

/** The velocity of the way that passes nearest to each x, [batch, 1]. */
function nearest(x: Tensor, ways: readonly { readonly place: number; readonly velocity: number }[]): Tensor {
  const places = tensor(
    ways.map(({ place }) => place),
    { backend },
  );
  const best = x.sub(places).abs().argmin(1);
  return tensor(
    ways.map(({ velocity }) => velocity),
    { backend },
  )
    .gather(best)
    .reshape(x.shape);
}

// Scores from energies, and divergences: exact ones and Hutchinson's, against Jacobians that are known.
import { dividedBySigma, drawProbes, exactDivergence, hutchinsonDivergence, scoreOfEnergy } from "@pkg/diffusion";
import { cpu, grad, liveTensors, randomStream, ShapeError, type Tensor, tensor, tidy } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { heldTensors } from "../../setup/heldTensors.ts";

const backend = cpu({ precision: "float64" });
const x = randomStream(1).normal([5, 3], { backend });
// Not symmetric: what the estimate sees is the symmetric part.
const matrix = tensor(
  [
    [0.5, 2, -1],
    [1, -0.25, 3],
    [-2, 0.5, 1.5],
  ],
  { backend },
);
const TRACE = 1.75;
const linearField = (y: Tensor) => y.matmul(matrix);

describe("the exact divergence", () => {
  test("of a linear field is the trace of its matrix", async () => {
    const { value, divergence } = exactDivergence(linearField, x);
    expect(await value.sub(linearField(x)).abs().max().item()).toBe(0);
    expect(divergence.shape).toEqual([5]);
    for (const found of await divergence.data()) expect(found).toBeCloseTo(TRACE, 12);
  });

  test("of x ↦ sin x + x₀ is Σ cos xᵢ + 1 at each point, for samples of any shape", async () => {
    const field = (y: Tensor) => y.sin().add(y.slice(null, [0, 1], [0, 1]));
    const images = randomStream(2).normal([4, 2, 3], { backend });
    const { divergence } = exactDivergence(field, images);
    const wanted = await images.cos().sum([1, 2]).add(1).data();
    for (const [k, found] of [...(await divergence.data())].entries()) expect(found).toBeCloseTo(wanted[k], 12);
    const numbers = randomStream(2).normal([4], { backend });
    const one = await exactDivergence((y) => y.square(), numbers)
      .divergence.sub(numbers.mul(2))
      .abs()
      .max()
      .item();
    expect(one).toBeLessThan(1e-12);
  });

  test("needs room for one row of ∇f at a time, not for all d", () => {
    const own = cpu({ precision: "float64" });
    const wide = randomStream(1).normal([4, 256], { backend: own });
    const size = own.memory().bytes;
    tidy(() => exactDivergence((y) => y.sin(), wide));
    expect(own.memory().peakBytes).toBeLessThan(20 * size);
  });

  test("leaves nothing behind but its result", () => {
    tidy(() => exactDivergence(linearField, x));
    const before = heldTensors();
    const { value, divergence } = exactDivergence(linearField, x);
    expect(liveTensors()).toBe(before + 2);
    value.dispose();
    divergence.dispose();
  });
});

describe("Hutchinson's estimate", () => {
  // A = (M + Mᵀ) / 2: with Rademacher probes the variance is 2 Σ_{i≠j} A_ij², with normal ones 2 ‖A‖².
  const offDiagonal = 2 * (1.5 ** 2 + 1.5 ** 2 + 1.75 ** 2);
  const variances = { rademacher: 2 * offDiagonal, normal: 2 * (offDiagonal + 0.5 ** 2 + 0.25 ** 2 + 1.5 ** 2) };

  test.each(["rademacher", "normal"] as const)(
    "with %s probes has the mean and the variance that theory says",
    async (distribution) => {
      const many = tensor(0, { backend }).expand([20_000, 3]);
      const { divergence } = hutchinsonDivergence(
        linearField,
        many,
        drawProbes(many, randomStream(3), { distribution }),
      );
      const wanted = variances[distribution];
      const mean = await divergence.mean().item();
      expect(Math.abs(mean - TRACE)).toBeLessThan(4 * Math.sqrt(wanted / 20_000));
      // The variance of a sample variance is at most (kurtosis − 1) σ⁴ / n; a quadratic form in normals has kurtosis below 15.
      const variance = await divergence.variance().item();
      expect(Math.abs(variance / wanted - 1)).toBeLessThan(4 * Math.sqrt(14 / 20_000));
    },
  );

  test("is the mean over its probes, and exact for Rademacher probes of a diagonal Jacobian", async () => {
    const probes = drawProbes(x, randomStream(4), { count: 3 });
    const each = probes.map((v) => hutchinsonDivergence(linearField, x, [v]).divergence);
    const all = hutchinsonDivergence(linearField, x, probes).divergence;
    const mean = each.reduce((a, b) => a.add(b)).div(3);
    expect(await all.sub(mean).abs().max().item()).toBeLessThan(1e-12);
    const { divergence } = hutchinsonDivergence((y) => y.exp(), x, drawProbes(x, randomStream(5)));
    expect(await divergence.sub(x.exp().sum(1)).abs().max().item()).toBeLessThan(1e-12);
  });

  test("probes differ from one another and are the stream's next draws", async () => {
    const [first, second] = drawProbes(x, randomStream(6), { count: 2, distribution: "normal" });
    const stream = randomStream(6);
    expect([...(await first.data())]).toEqual([...stream.host.normal([5, 3])]);
    expect([...(await second.data())]).toEqual([...stream.host.normal([5, 3])]);
  });
});

test("divergences can be differentiated by what the field is made of, and by x", async () => {
  const scale = tensor(0.7, { backend });
  const f = (a: Tensor, y: Tensor) => exactDivergence((z) => z.mul(a).sin(), y).divergence.sum();
  const [byScale, byX] = grad(f, [scale, x]);
  const cosines = await x.mul(0.7).cos().sub(x.mul(0.7).sin().mul(x).mul(0.7)).sum().item();
  expect(await byScale.item()).toBeCloseTo(cosines, 10);
  expect(await byX.add(x.mul(0.7).sin().mul(0.49)).abs().max().item()).toBeLessThan(1e-12);
});

describe("the score of an energy", () => {
  test("is its downhill slope, sample by sample, with whatever else the energy takes", async () => {
    const score = scoreOfEnergy((y: Tensor, sigmas: readonly number[]) =>
      y
        .square()
        .sum(1)
        .mul(
          tensor(
            sigmas.map((s) => 0.5 / s ** 2),
            { backend },
          ),
        ),
    );
    const sigmas = [1, 2, 0.5, 4, 1];
    const wanted = x.neg().div(
      tensor(
        sigmas.map((s) => [s * s]),
        { backend },
      ),
    );
    expect(await score(x, sigmas).sub(wanted).abs().max().item()).toBeLessThan(1e-12);
  });

  test("has the Laplacian of the energy for its divergence", async () => {
    const { divergence } = exactDivergence(
      scoreOfEnergy((y) => y.square().square().sum(1)),
      x,
    );
    expect(await divergence.add(x.square().sum(1).mul(12)).abs().max().item()).toBeLessThan(1e-10);
  });

  test("wants one energy a sample", () => {
    for (const energy of [(y: Tensor) => y, (y: Tensor) => y.sum(), (y: Tensor) => y.sum(1, { keepAxes: true })])
      expect(() => scoreOfEnergy(energy)(x)).toThrow(
        /scoreOfEnergy: energies of shape \[.*\], want \[5\], one per sample/,
      );
  });
});

test("a network divided by σ", async () => {
  const score = dividedBySigma((y) => y.neg());
  const sigmas = [1, 2, 0.5, 4, 10];
  const wanted = x.neg().div(
    tensor(
      sigmas.map((s) => [s]),
      { backend },
    ),
  );
  expect(await score(x, sigmas).sub(wanted).abs().max().item()).toBeLessThan(1e-15);
});

test("what does not fit is refused", () => {
  const cut = (y: Tensor) => y.slice(null, [0, 2]);
  expect(() => exactDivergence(cut, x)).toThrow(
    new ShapeError("exactDivergence: the field is [5, 2] at x [5, 3], want x's shape"),
  );
  expect(() => hutchinsonDivergence(cut, x, drawProbes(x, randomStream(0)))).toThrow(
    "hutchinsonDivergence: the field is",
  );
  expect(() => hutchinsonDivergence(linearField, x, [])).toThrow("hutchinsonDivergence: no probes, want at least one");
  expect(() => hutchinsonDivergence(linearField, x, [x.slice([0, 4])])).toThrow(
    new ShapeError("hutchinsonDivergence: a probe of shape [4, 3], want x's, [5, 3]"),
  );
  for (const count of [0, -1, 1.5, Number.NaN])
    expect(() => drawProbes(x, randomStream(0), { count })).toThrow(
      `drawProbes: ${count} probes, want a positive integer of them`,
    );
});

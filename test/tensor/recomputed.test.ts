// Values that the graph computes again instead of keeping them: outputs of norms, dropout and reshapes that later ops read.
import { cpu, dropout, grad, ones, randomStream, type Tensor, tidy, vjp } from "@pkg/tensor";
import { expect, test } from "vitest";

const float64 = cpu({ precision: "float64" });

/** Norm, dropout, and a product of what is reshaped: one value is read of each. */
function layer(seed: number) {
  return (x: Tensor, w: Tensor, scale: Tensor): Tensor => {
    const normed = x.groupNorm(scale, scale.mul(0.5), { groups: 2, activation: "silu" });
    return dropout(normed, 0.25, randomStream(seed)).reshape([-1, 4]).matmul(w).reshape(x.shape);
  };
}

test("of a layer the input alone is kept", () => {
  const peak = (layers: number) => {
    const backend = cpu();
    const [x, w, scale] = [ones([64, 4, 4], { backend }), ones([4, 4], { backend }), ones([4], { backend })];
    grad(
      () =>
        Array.from({ length: layers })
          .reduce<Tensor>((y, _, k) => tidy(() => layer(k)(y, w, scale)), x)
          .sum(),
      [w],
    );
    return backend.memory().peakBytes / x.size / 4;
  };
  // Statistics and small tensors come on top.
  expect(peak(20) - peak(10)).toBeGreaterThan(9);
  expect(peak(20) - peak(10)).toBeLessThan(14);
});

test("gradients of both orders are those of differences", async () => {
  const rng = randomStream(0);
  const draw = (...shape: number[]) => rng.normal(shape, { backend: float64 });
  const [x, w, scale] = [draw(2, 3, 4), draw(4, 4), draw(4)];
  const [v, u] = [draw(2, 3, 4), draw(4, 4)];
  const value = (h: number, k: number) => {
    const moved = w.add(u.mul(k));
    return layer(1)(layer(2)(x.add(v.mul(h)), moved, scale), moved, scale)
      .sin()
      .sum();
  };
  const h = 1e-4;
  const along = (f: (t: Tensor) => Tensor, t: Tensor, d: Tensor) => grad(f, [t])[0].mul(d).sum();
  const first = (w: Tensor) =>
    along(
      (x) =>
        layer(1)(layer(2)(x, w, scale), w, scale)
          .sin()
          .sum(),
      x,
      v,
    );
  const slope = ((await value(h, 0).item()) - (await value(-h, 0).item())) / (2 * h);
  expect(await first(w).item()).toBeCloseTo(slope, 5);
  const at = async (h: number, k: number) => value(h, k).item();
  const mixed = ((await at(h, h)) - (await at(h, -h)) - (await at(-h, h)) + (await at(-h, -h))) / (4 * h * h);
  expect(await along(first, w, u).item()).toBeCloseTo(mixed, 4);
});

test("a value outlives the recording that could compute it again", async () => {
  const [x, w, scale] = [
    ones([2, 3, 4], { backend: float64 }).cumsum(1),
    ones([4, 4], { backend: float64 }),
    ones([4], { backend: float64 }),
  ];
  const norm = (x: Tensor) => x.groupNorm(scale, scale, { groups: 2 });
  const loss = (y: Tensor) => (w: Tensor) => y.matmul(w).square().sum();
  const plain = await grad(loss(norm(x)), [w])[0].data();
  const kept = await tidy(() => {
    const y = tidy(() => vjp(norm, [x]).value);
    return { data: grad(loss(y), [w])[0].data() };
  }).data;
  expect(kept).toEqual(plain);
});

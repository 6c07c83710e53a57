// Differentiation: grad, valueAndGrad, vjp and jvp, to any order.
import {
  cpu,
  grad,
  jvp,
  liveTensors,
  ones,
  ShapeError,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
  vjp,
  zeros,
} from "@pkg/tensor";
import { expect, test } from "vitest";
import { heldTensors } from "../setup/heldTensors.ts";

const backend = cpu({ precision: "float64" });
const scalar = (value: number) => tensor(value, { backend });

test("the n-th derivative of x⁴ is what calculus says", async () => {
  const orders: ((x: Tensor) => Tensor)[] = [(x) => x.square().square()];
  for (let n = 1; n <= 5; n++) orders.push((x) => grad(orders[n - 1], [x])[0]);
  const values = await Promise.all(orders.map((f) => f(scalar(1.5)).item()));
  for (const [n, wanted] of [1.5 ** 4, 4 * 1.5 ** 3, 12 * 1.5 ** 2, 24 * 1.5, 24, 0].entries()) {
    expect(values[n]).toBeCloseTo(wanted, 10);
  }
});

test("the gradient of a gradient of a bilinear form is v vᵀ", async () => {
  const v = tensor([1, -2, 3], { backend });
  const f = (x: Tensor) => x.mul(v).sum().square().mul(0.5);
  const rows = [0, 1, 2].map((k) => grad((x) => grad(f, [x])[0].slice(k), [tensor([0.3, 0.1, 7], { backend })])[0]);
  expect(await Promise.all(rows.map((row) => row.array()))).toEqual([
    [1, -2, 3],
    [-2, 4, -6],
    [3, -6, 9],
  ]);
});

test("a function may read the tensors that it is differentiated by from outside", async () => {
  const w = scalar(3);
  const { value, grads } = valueAndGrad(() => w.mul(w), [w]);
  expect([await value.item(), await grads[0].item()]).toEqual([9, 6]);
});

test("a value that does not matter has a gradient of zero", async () => {
  const [gx, gy] = grad((x) => x.mul(2).sum(), [ones([2], { backend }), ones([3], { backend })]);
  expect(await gx.array()).toEqual([2, 2]);
  expect(await gy.array()).toEqual([0, 0, 0]);
});

test("derivatives are partial: what one input was made of does not count", async () => {
  const w = scalar(5);
  const outer = grad(
    (w) => {
      const h = w.mul(2);
      const [gh, gw] = grad(() => h.mul(w), [h, w]); // ∂/∂h = w, ∂/∂w = h
      return gh.add(gw.mul(10)); // w + 20 w
    },
    [w],
  );
  expect(await outer[0].item()).toBe(21);
});

test("the same tensor twice gets its gradient twice", async () => {
  const x = scalar(4);
  const grads = grad(() => x.square(), [x, x]);
  expect(await Promise.all(grads.map((g) => g.item()))).toEqual([8, 8]);
});

test("one tensor in several operands of a fused op has the second derivative that equal tensors have together", async () => {
  const x = tensor(
    [
      [0.3, -1],
      [0.7, 0.2],
      [-0.4, 0.9],
    ],
    { backend },
  );
  const second = (copies: (x: Tensor) => Tensor) =>
    grad(
      (x) => {
        const loss = () => x.attention(copies(x), copies(x)).sin().sum();
        return grad(loss, [x])[0].square().sum();
      },
      [x],
    )[0].data();
  const wanted = await second((x) => x.mul(1));
  for (const [k, value] of (await second((x) => x)).entries()) expect(value).toBeCloseTo(wanted[k], 12);
});

test("a pullback can be called again and again", async () => {
  const x = tensor([1, 2], { backend });
  const { value, pullback } = vjp((x) => x.mul(x), [x]);
  expect(await value.array()).toEqual([1, 4]);
  for (const [k, wanted] of [
    [2, 0],
    [0, 4],
  ].entries()) {
    const cotangent = tensor(k === 0 ? [1, 0] : [0, 1], { backend });
    expect(await pullback(cotangent)[0].array()).toEqual(wanted);
  }
  expect(() => pullback(ones([3], { backend }))).toThrow(new ShapeError("vjp: cotangent has shape [3], want [2]"));
});

test("jvp is the derivative along a direction, and can be differentiated", async () => {
  const x = tensor([0.5, -1], { backend });
  const v = tensor([2, 3], { backend });
  const { value, tangent } = jvp((x) => x.exp().mul(x), [x], [v]);
  const exact = [0.5, -1].map((a, k) => (1 + a) * Math.exp(a) * [2, 3][k]);
  expect(await value.array()).toEqual([0.5, -1].map((a) => Math.exp(a) * a));
  for (const [k, found] of ((await tangent.array()) as number[]).entries()) expect(found).toBeCloseTo(exact[k], 12);
  const [again] = grad((x) => jvp((y) => y.exp().mul(y), [x], [v]).tangent.sum(), [x]);
  const second = [0.5, -1].map((a, k) => (2 + a) * Math.exp(a) * [2, 3][k]);
  for (const [k, found] of ((await again.array()) as number[]).entries()) expect(found).toBeCloseTo(second[k], 12);
});

test("comparisons and integers are constants", async () => {
  const x = tensor([-1, 2], { backend });
  expect(await grad((x) => x.greater(0).cast("float32").mul(x).sum(), [x])[0].array()).toEqual([0, 1]);
});

test("detach stops the gradient", async () => {
  expect(await grad((x) => x.detach().mul(x), [scalar(3)])[0].item()).toBe(3);
});

test("the result must be one element, and parameters must not change meanwhile", () => {
  const x = ones([2], { backend });
  expect(() => grad((x) => x.mul(2), [x])).toThrow(
    "grad: the function's result has shape [2], want one element (sum it)",
  );
  const assigning = (x: Tensor) => {
    x.assign(zeros([2], { backend }));
    return x.sum();
  };
  expect(() => grad(assigning, [x])).toThrow("assign: called inside a function that is being differentiated");
});

test("nothing but the gradients is left alive, also after an error", () => {
  const x = ones([3], { backend });
  const before = { live: heldTensors(), ...backend.memory() };
  const [g] = grad((x) => x.exp().mul(x.sin()).sum(), [x]);
  expect(liveTensors()).toBe(before.live + 1);
  g.dispose();
  expect(() =>
    grad(
      (x) =>
        x
          .exp()
          .mul(ones([4], { backend }))
          .sum(),
      [x],
    ),
  ).toThrow(ShapeError);
  tidy(() => void grad((x) => grad((y) => y.square().square().sum(), [x])[0].sum(), [x]));
  tidy(() => void vjp((x) => x.exp(), [x]).pullback(ones([3], { backend })));
  tidy(() => void jvp((x) => x.exp(), [x], [x]));
  expect({ live: liveTensors(), ...backend.memory(), peakBytes: before.peakBytes }).toEqual(before);
});

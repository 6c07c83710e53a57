// Tensors as users meet them: making, reading, viewing, broadcasting, and what is refused.
import { arange, concat, cpu, full, ones, ShapeError, stack, tensor, zeros } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu();
const x = tensor(
  [
    [1, 2, 3],
    [4, 5, 6],
  ],
  { backend },
);

test("nested arrays give shape and values, and come back", async () => {
  expect(x.shape).toEqual([2, 3]);
  expect(await x.array()).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(await tensor(7, { backend }).item()).toBe(7);
  expect(await tensor([], { backend }).array()).toEqual([]);
});

test("typed arrays give their type, or the one that is asked for", async () => {
  expect(tensor(Int32Array.of(1, 2), { backend }).dtype).toBe("int32");
  expect(tensor(Uint32Array.of(1, 2), { backend }).dtype).toBe("uint32");
  expect(tensor(Uint8Array.of(1, 2), { backend }).dtype).toBe("float32");
  expect(await tensor(Uint8Array.of(1, 2, 3, 4), { backend, shape: [2, 2] }).array()).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test("ragged nesting and wrong shapes are refused", () => {
  expect(() => tensor([[1, 2], [3]], { backend })).toThrow(
    new ShapeError("tensor: nested arrays of shapes [2] and [1], want equal ones"),
  );
  expect(() => tensor([1, 2, 3], { backend, shape: [2, 2] })).toThrow("tensor: 3 values for shape [2, 2], want 4");
  expect(() => zeros([2, -1], { backend })).toThrow("full: shape [2, -1], want integers that are at least 0");
  expect(() => zeros(new Array<number>(9).fill(1), { backend })).toThrow("full: rank 9, want at most 8");
});

test("full tensors take the memory of one element", () => {
  const before = backend.memory().bytes;
  const big = zeros([1000, 1000], { backend });
  expect(backend.memory().bytes - before).toBe(4);
  big.dispose();
  expect(backend.memory().bytes).toBe(before);
});

test("arange counts like NumPy's", async () => {
  expect(await arange(2, 8, { backend, step: 2.5 }).array()).toEqual([2, 4.5, 7]);
  expect(await arange(3, 0, { backend, step: -1 }).array()).toEqual([3, 2, 1]);
  expect(() => arange(0, 1, { backend, step: 0 })).toThrow("arange: from 0 to 1 in steps of 0");
});

test("slices are NumPy's", async () => {
  const v = arange(0, 6, { backend });
  expect(await v.slice(-2).item()).toBe(4);
  expect(await v.slice([1, -1]).array()).toEqual([1, 2, 3, 4]);
  expect(await v.slice([null, null, 2]).array()).toEqual([0, 2, 4]);
  expect(await v.slice([null, null, -1]).array()).toEqual([5, 4, 3, 2, 1, 0]);
  expect(await v.slice([4, 1, -2]).array()).toEqual([4, 2]);
  expect(await v.slice([2, 100]).array()).toEqual([2, 3, 4, 5]);
  expect(await v.slice([4, 2]).array()).toEqual([]);
  expect(await x.slice(null, 1).array()).toEqual([2, 5]);
  expect(await x.slice(1).array()).toEqual([4, 5, 6]);
  expect(() => v.slice(6)).toThrow("slice: index 6 of axis 0, want an integer in [-6, 5]");
  expect(() => v.slice(null, null)).toThrow("slice: 2 parts of [6], want at most 1");
  expect(() => v.slice([0, 1, 0])).toThrow("want integers and a step that is not 0");
});

test("flip, pad, split, concat and stack", async () => {
  expect(await x.flip().array()).toEqual([
    [6, 5, 4],
    [3, 2, 1],
  ]);
  expect(await x.flip(0).array()).toEqual([
    [4, 5, 6],
    [1, 2, 3],
  ]);
  expect(
    await x
      .pad([
        [1, 0],
        [0, 1],
      ])
      .array(),
  ).toEqual([
    [0, 0, 0, 0],
    [1, 2, 3, 0],
    [4, 5, 6, 0],
  ]);
  const [a, b] = x.split(2, 1);
  expect([a.shape, b.shape]).toEqual([
    [2, 2],
    [2, 1],
  ]);
  expect(await concat([b, a], -1).array()).toEqual([
    [3, 1, 2],
    [6, 4, 5],
  ]);
  expect((await stack([x, x], 1)).shape).toEqual([2, 2, 3]);
  expect(() => x.split([1, 1], 1)).toThrow("split: sizes [1,1] of an axis of 3, want integers that add up to it");
  expect(() => concat([])).toThrow("concat: no tensors, want at least one");
});

test("views share memory, and a view that strides cannot say is copied", async () => {
  const before = backend.memory().buffers;
  const views = [x.reshape([3, 2]), x.transpose(), x.slice(1), x.expand([4, 2, 3]), x.unsqueeze(1), x.flatten()];
  expect(backend.memory().buffers).toBe(before);
  const copied = x.transpose().reshape([6]);
  expect(backend.memory().buffers).toBe(before + 1);
  expect(await copied.array()).toEqual([1, 4, 2, 5, 3, 6]);
  for (const view of [...views, copied]) view.dispose();
});

test("operands broadcast, numbers too", async () => {
  expect(await x.add(tensor([10, 20, 30], { backend })).array()).toEqual([
    [11, 22, 33],
    [14, 25, 36],
  ]);
  expect(await x.mul(tensor([[1], [-1]], { backend })).array()).toEqual([
    [1, 2, 3],
    [-4, -5, -6],
  ]);
  expect(await x.sub(1).div(2).array()).toEqual([
    [0, 0.5, 1],
    [1.5, 2, 2.5],
  ]);
  expect(await x.greater(3).array()).toEqual([
    [0, 0, 0],
    [1, 1, 1],
  ]);
  expect(await x.greater(3).where(x, -1).array()).toEqual([
    [-1, -1, -1],
    [4, 5, 6],
  ]);
  expect(() => x.add(ones([2], { backend }))).toThrow(
    "add: [2, 3] and [2] do not broadcast, want equal axes (or 1) from the right",
  );
});

test("integers stay integers", async () => {
  const n = tensor(Int32Array.of(7, -7), { backend });
  expect((await n.add(1).data()).constructor).toBe(Int32Array);
  expect(await n.mul(n).array()).toEqual([49, 49]);
  expect(() => n.add(x.slice(0, [0, 2]))).toThrow(
    "add: types int32, float32, want float32 or int32 or uint32, all equal",
  );
  expect(await tensor([1.7, -1.7, 0], { backend }).cast("int32").array()).toEqual([1, -1, 0]);
  expect(await tensor([1.7, 0], { backend }).cast("bool").array()).toEqual([1, 0]);
});

test("means and extremes over axes", async () => {
  expect(await x.mean().item()).toBe(3.5);
  expect(await x.sum(0).array()).toEqual([5, 7, 9]);
  expect(await x.max(-1, { keepAxes: true }).array()).toEqual([[3], [6]]);
  expect(await x.min().item()).toBe(1);
  expect(await x.sum([]).array()).toEqual(await x.array());
  expect(() => x.sum(2)).toThrow("sum: axis 2, want an integer in [-2, 1] for rank 2");
  expect(() => x.sum([0, -2])).toThrow("sum: axes [0, 0] repeat one");
});

test("what a tensor cannot do is an error that says what it is", async () => {
  const gone = full([2], 1, { backend });
  gone.dispose();
  gone.dispose();
  expect(gone.disposed).toBe(true);
  expect(() => gone.add(1)).toThrow(
    "affine: operand 0, Tensor(float32 [2] on cpu: float32), is disposed, want a live tensor",
  );
  await expect(gone.data()).rejects.toThrow("is disposed");
  const elsewhere = ones([3], { backend: cpu({ precision: "float64" }) });
  expect(() => x.add(elsewhere)).toThrow("add: operands on cpu: float32 and on cpu: float64, want one backend");
  await expect(x.item()).rejects.toThrow("item: shape [2, 3], want one element");
  expect(() => x.assign(ones([2], { backend }))).toThrow(ShapeError);
});

test("assign gives a tensor another's value and uses that up", async () => {
  const target = zeros([2, 3], { backend });
  const value = x.transpose().transpose().add(1);
  target.assign(value);
  expect(value.disposed).toBe(true);
  expect(await target.array()).toEqual([
    [2, 3, 4],
    [5, 6, 7],
  ]);
});

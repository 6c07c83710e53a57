// Tensors without a backend of their own, copies on another one, and what plain JavaScript lets pass.
import { linear } from "@pkg/nn";
import {
  arange,
  type Backend,
  cpu,
  defaultBackend,
  grad,
  ones,
  randomStream,
  setDefaultBackend,
  type Tensor,
  tensor,
  wasm,
  zeros,
} from "@pkg/tensor";
import { afterEach, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

afterEach(() => setDefaultBackend(undefined));

test("the default backend takes what is made without one", () => {
  const backend = cpu();
  setDefaultBackend(backend);
  expect(defaultBackend()).toBe(backend);
  const rng = randomStream(0);
  const made = [tensor([1]), zeros([2]), ones([2]), arange(0, 3), rng.normal([2]), rng.integers(0, 2, [2])];
  for (const one of [
    ...made,
    rng.uniform([1]),
    rng.rademacher([1]),
    rng.bernoulli(0.5, [1]),
    linear(2, 1, { rng }).weight,
  ])
    expect(one.backend).toBe(backend);
  const other = cpu();
  expect(tensor([1], { backend: other }).backend).toBe(other);
});

test("without any backend the message says how to set one", () => {
  const rng = randomStream(0);
  for (const [name, make] of Object.entries({
    tensor: () => tensor([1, 2]),
    full: () => zeros([2]),
    randomNormal: () => rng.normal([2]),
  })) {
    expect(make).toThrow(`${name}: no backend, want { backend } or, once, setDefaultBackend(await bestBackend())`);
  }
  expect(rng.state()).toEqual(randomStream(0).state());
});

test("a backend that was not awaited, and what is none, is named", () => {
  const promised = wasm({ threads: 1 });
  expect(() => tensor([1], { backend: promised as unknown as Backend })).toThrow(
    "tensor: backend is a promise (await it), want a backend, such as cpu() or await wasm()",
  );
  expect(() => setDefaultBackend(promised as unknown as Backend)).toThrow("setDefaultBackend: backend is a promise");
  expect(() => zeros([1], { backend: "cpu" as unknown as Backend })).toThrow('full: backend is "cpu", want a backend');
  return promised.then((backend) => backend.dispose());
});

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("to() copies elements of every type there and back", async () => {
    const [here, there] = [cpu(), await open()];
    for (const dtype of ["float32", "int32", "uint32", "bool"] as const) {
      const x = tensor(
        [
          [1, 0],
          [1, 1],
        ],
        { backend: here, dtype },
      );
      const moved = await x.transpose().to(there);
      expect([moved.backend, moved.dtype]).toEqual([there, dtype]);
      const back = await moved.to(here);
      expect(await back.array()).toEqual([
        [1, 1],
        [0, 1],
      ]);
    }
    there.dispose();
  });
});

test("to() refuses where a gradient would be cut", async () => {
  const backend = cpu();
  const x = tensor([1], { backend });
  let pending: Promise<Tensor> | undefined;
  grad(() => {
    pending = x.mul(2).to(cpu());
    return x.sum();
  }, [x]);
  await expect(pending).rejects.toThrow("to: called inside a function that is being differentiated, want it outside");
  await expect(x.to(Promise.resolve(cpu()) as unknown as Backend)).rejects.toThrow(
    "to: backend is a promise (await it)",
  );
});

test("JavaScript's operators on tensors throw with the methods to use; text is text", () => {
  const a = tensor([1], { backend: cpu() });
  const any = a as unknown as number;
  for (const use of [
    () => any + any,
    () => any * 2,
    () => any < 1,
    () => -any,
    () => Number(a),
    () => any + ("" as never),
  ]) {
    expect(use).toThrow(
      "tensor: an operator of JavaScript on Tensor(float32 [1] on cpu: float32), want methods: a.add(b), a.mul(b)",
    );
  }
  expect(`${a}`).toBe("Tensor(float32 [1] on cpu: float32)");
});

// What is disposed: twice does no harm, use after it is an error that says so, and what others hold stays.
import { type Backend, capture, DeviceLostError, grad, type Tensor, tensor, tidy } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { heldBy, stillHeld } from "../../setup/heldTensors.ts";
import { allOps } from "../ops/checkCase.ts";
import { drawInputs, place, runOp } from "../ops/derived.ts";

const taking = allOps.flatMap((op) => {
  const given = op.cases.find(({ inputs }) => inputs.length > 0);
  return given ? [{ name: op.name, op, given }] : [];
});

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test("a tensor that is disposed twice gives its memory back once, and not that of views", async () => {
      const before = heldBy(backend);
      const x = tensor([1, 2, 3, 4], { backend });
      const view = x.slice([1, 3]);
      for (let k = 0; k < 3; k++) x.dispose();
      expect(x.disposed).toBe(true);
      const other = tensor([5, 6, 7, 8], { backend }); // takes what was given back too early
      expect([...(await view.data())]).toEqual([2, 3]);
      for (const one of [view, other, view, other]) one.dispose();
      expect(stillHeld(backend)).toEqual(before);
    });

    test.each(taking)("$name refuses each operand that is disposed, and takes no memory", ({ op, given }) => {
      for (let k = 0; k < given.inputs.length; k++) {
        const operands = place(drawInputs(given, 1), backend);
        const text = String(operands[k]);
        operands[k].dispose();
        const before = heldBy(backend);
        expect(() => runOp(op, operands, given.attrs, backend)).toThrow(
          new Error(`${op.name}: operand ${k}, ${operands[k]}, is disposed, want a live tensor`),
        );
        expect(text).toContain(`[${operands[k].shape.join(", ")}]`);
        expect(stillHeld(backend)).toEqual(before);
        for (const operand of operands) operand.dispose();
      }
    });

    test("a disposed tensor is not read, assigned, differentiated or captured", async () => {
      const [x, gone] = [tensor([1, 2], { backend }), tensor([3, 4], { backend })];
      gone.dispose();
      const before = heldBy(backend);
      for (const read of [() => gone.data(), () => gone.array(), () => gone.slice(0).item()]) {
        await expect((async () => read())()).rejects.toThrow(/ is disposed/);
      }
      const step = capture((a: Tensor) => a.mul(2).sum());
      for (const use of [
        () => x.assign(gone),
        () => gone.assign(x),
        () => gone.detach(),
        () => grad((a) => a.square().sum(), [gone]),
        () => grad((a) => a.mul(gone).sum(), [x]),
        () => step(gone),
      ]) {
        expect(() => tidy(() => void use())).toThrow(/ is disposed/);
        expect(stillHeld(backend)).toEqual(before);
      }
      expect([...(await x.data())]).toEqual([1, 2]);
      x.dispose();
    });

    test("what is disposed while it is read is read", async () => {
      const x = tensor([1, 2, 3], { backend });
      const y = x.mul(2);
      const reading = [y.data(), y.add(1).data()];
      x.dispose();
      y.dispose();
      tensor([9, 9, 9], { backend }).mul(5).dispose(); // would take the place of y
      expect((await Promise.all(reading)).map((values) => [...values])).toEqual([
        [2, 4, 6],
        [3, 5, 7],
      ]);
    });

    test("a captured function that is disposed twice is refused afterwards, and what it gave stays", async () => {
      const step = capture((a: Tensor) => a.mul(2));
      const x = tensor([1, 2], { backend });
      const results = [0, 1, 2].map(() => step(x));
      for (let k = 0; k < 2; k++) step.dispose();
      expect(() => step(x)).toThrow(new Error("capture: this captured function is disposed, want a live one"));
      for (const result of results) expect([...(await result.data())]).toEqual([2, 4]);
    });

    test("a backend that is disposed twice takes its tensors' ends in any order, and another goes on", async () => {
      const gone = await open();
      const x = tensor([1, 2], { backend: gone });
      const y = x.add(1);
      for (let k = 0; k < 2; k++) gone.dispose();
      for (const one of [y, x, y]) one.dispose();
      const here = tensor([1, 2], { backend });
      expect([...(await here.add(1).data())]).toEqual([2, 3]);
      here.dispose();
    });
  });
}

// The reference's memory is the process's: it has no device to lose.
describe.each(openers.filter(({ name, skip }) => name !== "cpu" && !skip))("on $name", ({ open }) => {
  test("a backend that is disposed makes each use a DeviceLostError", async () => {
    const gone = await open();
    const x = tensor([1, 2], { backend: gone });
    gone.dispose();
    for (let k = 0; k < 2; k++) expect(() => x.add(1)).toThrow(DeviceLostError);
  });
});

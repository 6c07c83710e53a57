// A NaN in any input of any op is found, and the op is named.
import { type Backend, detectNonFinite } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { INJECTIONS } from "./derive/injections.ts";
import { drawInputs, generator, place, runOp } from "./derived.ts";

const ops = [...new Set(INJECTIONS.map(({ op }) => op))];

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test.each(ops.map((op) => ({ name: op.name, op })))(
      "$name is named when any input of it has a NaN",
      async ({ op }) => {
        const uniform = generator(7);
        for (const { index, input } of INJECTIONS.filter((injection) => injection.op === op)) {
          const given = op.cases[index];
          const drawn = drawInputs(given, index + 1);
          const { values } = drawn[input];
          const at = Math.floor(uniform() * values.length);
          const operands = place(drawn.with(input, { ...drawn[input], values: values.with(at, Number.NaN) }), backend);
          const error = await detectNonFinite(() => void runOp(op, operands, given.attrs, backend)).catch(String);
          // An op that overwrites its input is found by what it makes.
          const found = op.inPlace
            ? `is handed, as input ${input},|of .*, makes, as output \\d+,`
            : `is handed, as input ${input},`;
          expect(error, `case ${index}, element ${at}`).toMatch(
            new RegExp(`^Error: detectNonFinite: op 1, ${op.name},? (?:${found}) [1-9]\\d* NaN or infinite of `),
          );
          for (const operand of operands) operand.dispose();
        }
      },
    );
  });
}

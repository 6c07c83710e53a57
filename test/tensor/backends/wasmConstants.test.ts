// The kernels' vector constants: in globals, where V8 reads them fast, with the same bits; those that take one instruction stay.
import { expect, test } from "vitest";
import { assemble, constantsInGlobals } from "../../../tools/wasmConstants.mjs";

const module = `(module
 (type $0 (func (param i32) (result i32)))
 (memory $0 1 1)
 (export "f" (func $f))
 (func $f (param $at i32) (result i32)
  (i32x4.extract_lane 3
   (i32x4.add
    (i32x4.sub
     (v128.const i32x4 0x00000001 0x00000002 0x00000003 0x7fc0dead)
     (v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000)
    )
    (v128.and
     (v128.const i32x4 0xffffffff 0xffffffff 0xffffffff 0xffffffff)
     (v128.const i32x4 0x00000001 0x00000002 0x00000003 0x7fc0dead)
    )
   )
  )
 )
)
`;

test("a constant that is used twice becomes one global, read once; zero and all ones stay where they are", () => {
  const changed = constantsInGlobals(module);
  const [globals, code] = changed.split("\n (func ");
  expect(globals.split("\n").at(-1)).toBe(
    " (global $constant0 (mut v128) (v128.const i32x4 0x00000001 0x00000002 0x00000003 0x7fc0dead))",
  );
  expect(code.match(/global\.get \$constant0/g)).toHaveLength(1);
  expect(code.match(/local\.get \$constant0_here/g)).toHaveLength(2);
  expect(code.match(/v128\.const/g)).toHaveLength(2);
});

test("the module computes what it did, of the bits of a NaN too", async () => {
  for (const text of [module, constantsInGlobals(module)]) {
    const { instance } = await WebAssembly.instantiate(Uint8Array.from(assemble(text)));
    expect((instance.exports.f as (at: number) => number)(0)).toBe((2 * 0x7fc0dead) | 0);
  }
});

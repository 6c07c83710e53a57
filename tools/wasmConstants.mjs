// Keeps the vector constants of WebAssembly kernels in globals. V8 from 13 on (Node 24) makes a constant anew at each of its uses, by
// several instructions, where versions before kept it in a register; it reads a global by one. The binary gets smaller, too.
import binaryen from "assemblyscript/binaryen";

// All bits 0 and all bits 1 take one instruction, and stay.
const CONSTANT =
  /\bv128\.const i32x4 (?!0x0{8}(?: 0x0{8}){3}\b|0xf{8}(?: 0xf{8}){3}\b)0x[0-9a-f]{8}(?: 0x[0-9a-f]{8}){3}/g;

/**
 * A module with each vector constant of its functions in a global of its own. The globals are mutable, though nobody writes them, or they
 * would be made constants again.
 * @param {string} text in the format that asc prints
 * @returns {string}
 */
export function constantsInGlobals(text) {
  const functions = text.indexOf("\n (func ");
  /** @type {Map<string, string>} */
  const names = new Map();
  const code = text.slice(functions).replace(CONSTANT, (constant) => {
    const name = names.get(constant) ?? `$constant${names.size}`;
    names.set(constant, name);
    return `global.get ${name}`;
  });
  const globals = [...names].map(([constant, name]) => `\n (global ${name} (mut v128) (${constant}))`);
  return text.slice(0, functions) + globals.join("") + code;
}

/**
 * The binary of a module in text.
 * @param {string} text
 * @returns {Uint8Array}
 * @throws {Error} where it is none
 */
export function assemble(text) {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.All);
  try {
    if (!module.validate()) throw new Error("wasm kernels: the module with its constants in globals is not valid");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

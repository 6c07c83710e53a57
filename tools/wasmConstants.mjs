// Keeps the vector constants of WebAssembly kernels in globals. V8 from 13 on (Node 24) makes a constant anew at each of its uses, by
// several instructions, where versions before kept it in a register; it reads a global by one. A function reads each once, at its
// start: versions before 13 would read it at every use, which made softmax a third slower there. The binary gets smaller, too.
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
  const [head, ...functions] = text.split(/(?=\n \(func )/);
  /** @type {Map<string, string>} */
  const names = new Map();
  const code = functions.map((body) => {
    /** @type {Map<string, string>} */
    const used = new Map();
    const reading = body.replace(CONSTANT, (constant) => {
      const name = names.get(constant) ?? `$constant${names.size}`;
      names.set(constant, name);
      used.set(name, `${name}_here`);
      return `local.get ${name}_here`;
    });
    const locals = [...used.values()].map((here) => `\n  (local ${here} v128)`);
    const reads = [...used].map(([name, here]) => `\n  (local.set ${here} (global.get ${name}))`);
    // After what the function declares: its parameters, its result and its locals.
    return reading.replace(/^\n \(func [^\n]*(?:\n {2}\(local [^\n]*)*/, (declared) =>
      [declared, ...locals, ...reads].join(""),
    );
  });
  const globals = [...names].map(([constant, name]) => `\n (global ${name} (mut v128) (${constant}))`);
  return head + globals.join("") + code.join("");
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

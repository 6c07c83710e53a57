// Running the garbage collector. Elements lie outside of its heap, so it sees no reason to run.

import { nodeProcess } from "../host/host.ts";

/** Runs a full garbage collection. It also collects what `WeakRef`s kept alive since the last turn of the event loop. */
type Collector = () => void;

let collector: Collector | null | undefined;

/** A function that collects garbage at once; null in browsers, which have none. */
export function garbageCollector(): Collector | null {
  collector ??= nodeCollector();
  return collector;
}

/** The collector of Node and Deno. Reaching it takes a context of its own. */
function nodeCollector(): Collector | null {
  const node = nodeProcess();
  if (!node) return null;
  try {
    const [v8, vm] = [node.getBuiltinModule("node:v8"), node.getBuiltinModule("node:vm")];
    const { gc: exposed } = globalThis as { gc?: Collector };
    if (!exposed) v8.setFlagsFromString("--expose-gc");
    const gc = exposed ?? (vm.runInNewContext("gc") as Collector); // the flag puts it into new contexts
    if (!exposed) v8.setFlagsFromString("--no-expose-gc");
    // The engine keeps the targets of new and read WeakRefs until microtasks end. This context ends its own.
    const context = vm.createContext({}, { microtaskMode: "afterEvaluate" });
    return () => {
      vm.runInContext("0", context);
      gc();
    };
  } catch {
    return null; // the host has these modules in name only
  }
}

/** Buffers of fewer bytes are not worth a mapping. */
const SMALLEST = 2 ** 18;
/** A larger buffer may be refused. */
const LARGEST = 2 ** 28;

/** Buffers that are collected with the tensor they belong to. */
const weights = new WeakMap<object, ArrayBuffer>();
let owed = 0;

/**
 * Makes the collector count `bytes` for an object: a buffer of that size is collected with it. Nobody writes to the buffer, so
 * the system gives it no memory.
 */
export function weighDown(owner: object, bytes: number): void {
  owed += bytes;
  if (owed < SMALLEST) return;
  try {
    // A resizable buffer is mapped, not allocated: no allocator clears it.
    const size = Math.min(owed, LARGEST);
    const buffer = new (ArrayBuffer as ResizableConstructor)(size, { maxByteLength: size });
    if ("resize" in buffer) weights.set(owner, buffer);
  } catch {} // address space is short, and the weight is optional
  owed = 0;
}

/** Undoes `weighDown`. */
export function relieve(owner: object): void {
  const buffer = weights.get(owner) as ResizableBuffer | undefined; // `weighDown` stores no other
  buffer?.resize(0);
  weights.delete(owner);
}

type ResizableBuffer = ArrayBuffer & { resize(bytes: number): void };
type ResizableConstructor = new (bytes: number, options: { readonly maxByteLength: number }) => ArrayBuffer;

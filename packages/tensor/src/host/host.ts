// Node's `process`, if there is one. Built-in modules are requested at run time, so bundlers for browsers see no import.

/** The parts of Node's `process` that the engine uses. */
export interface NodeProcess {
  readonly pid: number;
  readonly platform: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  dlopen(module: { exports: object }, path: string): void;
  getBuiltinModule(name: "node:async_hooks"): { AsyncLocalStorage: new <T>() => AsyncStore<T> };
  getBuiltinModule(name: "node:fs"): {
    readFileSync(path: string, encoding: "utf8"): string;
    appendFileSync(path: string, text: string): void;
    mkdirSync(path: string, options: { recursive: true }): void;
  };
  getBuiltinModule(name: "node:os"): { availableParallelism(): number; homedir(): string };
  getBuiltinModule(name: "node:path"): { dirname(path: string): string; join(...parts: string[]): string };
  getBuiltinModule(name: "node:v8"): { setFlagsFromString(flag: string): void };
  getBuiltinModule(name: "node:vm"): {
    createContext(globals: object, options: { microtaskMode: "afterEvaluate" }): object;
    runInContext(source: string, context: object): unknown;
    runInNewContext(source: string): unknown;
  };
  getBuiltinModule(name: "node:worker_threads"): { Worker: NodeWorkerClass };
}

/** A value that follows the asynchronous calls of the function it is run with. */
export interface AsyncStore<T> {
  run<Result>(value: T, f: () => Result): Result;
  getStore(): T | undefined;
  disable(): void;
}

/** A worker of Node. */
export interface NodeWorker {
  /** Missing in Deno. */
  readonly performance?: { eventLoopUtilization?(): { readonly idle: number } };
  terminate(): void;
  once(event: "message", listener: () => void): void;
  once(event: "error", listener: (error: Error) => void): void;
  once(event: "exit", listener: (code: number) => void): void;
  unref(): void;
}

type NodeWorkerClass = new (source: string, options: { eval: true; workerData: unknown }) => NodeWorker;

/** `process` of Node, Deno or Bun; undefined in browsers, and for a substitute without built-in modules. */
export function nodeProcess(): NodeProcess | undefined {
  const { process } = globalThis as { process?: NodeProcess }; // the types of Node are missing in a browser
  return process?.getBuiltinModule ? process : undefined;
}

// The backend that --backend names.

import { closedAtEnd } from "@pkg/command";
import { type Backend, bestBackend, cpu, wasm, webgpu } from "@pkg/tensor";
import { InputError } from "./inputError.ts";
import { say } from "./say.ts";
import type { FlagValues } from "./settings/flags.ts";

const OPENERS: Readonly<Record<string, () => Backend | Promise<Backend>>> = { cpu, wasm, webgpu };

/** Opens it and says which. @throws InputError when it cannot be had */
export async function openBackend(flags: FlagValues): Promise<Backend> {
  const onChoice = (reason: string) => say(`backend: ${reason}`);
  const wanted = flags.word("backend");
  if (wanted === "best") return closedAtEnd(await bestBackend({ onChoice }));
  try {
    const backend = closedAtEnd(await OPENERS[wanted]());
    onChoice(`${backend.name} (--backend ${wanted})`);
    return backend;
  } catch (error) {
    throw new InputError(`--backend ${wanted}: ${error instanceof Error ? error.message : error}`);
  }
}

// Steps without capture on a backend that has it: what replays are compared with.
import type { Backend } from "@pkg/tensor";

/** Runs `f` while nothing on the backend is captured. */
export async function plainly<Result>(backend: Backend, f: () => Promise<Result> | Result): Promise<Result> {
  const { record } = backend;
  Object.assign(backend, { record: undefined });
  try {
    return await f();
  } finally {
    Object.assign(backend, { record });
  }
}

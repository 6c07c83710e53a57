// What samplers say when their first argument is no path.

import { wrongArgument } from "@pkg/tensor";

/** @throws Error naming the sampler when it gets a schedule, sigmas or anything else in the place of a path */
export function expectPath(name: string, path: unknown): void {
  const { levels, denoise } = (path ?? {}) as { levels?: unknown; denoise?: unknown };
  if (Array.isArray(levels) && typeof denoise === "function") return;
  throw wrongArgument(name, "path", path, "a NoisePath: discretePath(schedule), sigmaPath(sigmas) or sdePath(sde)");
}

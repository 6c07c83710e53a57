// Tensors that are made once and used at every step, such as the tables of a schedule, whatever is under way when they are first asked for.

import { expectFunction } from "../argument.ts";
import { outsideOfStep } from "../capture/step.ts";
import type { Tensor } from "../tensor.ts";
import { onFailure } from "./atomic.ts";
import { outsideOfScopes } from "./memory.ts";

/**
 * What `make` makes, outside of every `tidy` and captured step: it lives until disposed or collected. A step that is all or nothing
 * disposes of it again when it fails.
 * @param make uses no tensor of a captured step
 */
export function lasting<T extends Tensor>(make: () => T): T {
  expectFunction("lasting", "make", make);
  const made = outsideOfScopes(() => outsideOfStep(make));
  onFailure(() => made.dispose());
  return made;
}

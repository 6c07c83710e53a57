// What reads a person's input: any error in it is theirs to mend.

import { InputError } from "@pkg/command";

export { InputError };

/** Runs it; an error becomes one line with exit code 2. */
export function readingInput<Result>(f: () => Result): Result {
  try {
    return f();
  } catch (error) {
    throw error instanceof Error ? new InputError(error.message, { cause: error }) : error;
  }
}

// Mistakes that the person at the command line can mend: printed as one line, with exit code 2.

/** Bad flags, unreadable files, checkpoints that do not fit. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** Runs what reads a person's input: any error in it is theirs to mend. */
export function readingInput<Result>(f: () => Result): Result {
  try {
    return f();
  } catch (error) {
    throw error instanceof Error ? new InputError(error.message, { cause: error }) : error;
  }
}

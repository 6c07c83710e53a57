// What ends a command without a mistake in what was typed and without a fault in the program: one line, with exit code 1.

/** A training that diverged, a disk that stayed full, a device that was lost again and again. */
export class ForeseenError extends Error {
  override readonly name: string = "ForeseenError";
}

// A mistake in the command line: printed as one line, exit code 2.

/** A mistake in the command line: a bad flag, an unreadable file, a file that does not fit. */
export class InputError extends Error {
  override readonly name = "InputError";
}

// A mistake that the person at the command line can mend: printed as one line, with exit code 2.

/** Bad flags, unreadable files, files that do not fit. */
export class InputError extends Error {
  override readonly name = "InputError";
}

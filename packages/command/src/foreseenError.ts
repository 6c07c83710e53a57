// An error that is neither a mistake in the command line nor a fault in the program: one line, exit code 1.

/** A failure that is no fault of the program: training diverged, a disk stayed full, a device was lost repeatedly. */
export class ForeseenError extends Error {
  override readonly name: string = "ForeseenError";
}

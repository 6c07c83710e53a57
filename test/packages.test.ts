// The packages as their users get them: built, packed, installed without this workspace, then imported by Node and Vite.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { createLogger, build as viteBuild } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

interface Tarball {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tweedie-packages-"));
const folders: Readonly<Record<string, string>> = {
  "@pkg/kernels": "kernels",
  "@pkg/tensor": "packages/tensor",
  "@pkg/nn": "packages/nn",
  "@pkg/diffusion": "packages/diffusion",
};
const tarballs = new Map<string, Tarball>();

/** Every package does something: the engine computes, the others offer exports. */
const program = `
import * as diffusion from "@pkg/diffusion";
import * as nn from "@pkg/nn";
import { cpu, tensor, wasm } from "@pkg/tensor";

const dots = [cpu(), await wasm()].map((backend) => {
  const x = tensor([1, 2, 3], { backend });
  return x.mul(x).sum().item();
});
export const results = [...(await Promise.all(dots)), Object.keys(nn).length > 0, Object.keys(diffusion).length > 0];
console.log(JSON.stringify(results));
`;

beforeAll(() => {
  run("node", ["tools/build.mjs"], root);
  for (const [name, path] of Object.entries(folders)) {
    const output = run(...pnpm("pack", "--json", "--pack-destination", folder), join(root, path));
    tarballs.set(name, JSON.parse(output));
  }
  const consumer = join(folder, "consumer");
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }));
  writeFileSync(join(consumer, "main.js"), program);
  const files = [...tarballs.values()].map(({ filename }) => filename);
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", "--cache", join(folder, "npm"), ...files], consumer);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(Object.keys(folders))("%s", (name) => {
  test("has a package.json and files that publint accepts", async () => {
    const tarball = readFileSync(packed(name).filename);
    const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true });
    expect(messages).toEqual([]);
  });

  test("has types that resolve under node16 and bundlers", () => {
    const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
    run("node", [attw, packed(name).filename, "--profile", "esm-only"], root);
  });

  test("holds its sources, what is built from them, and no more", () => {
    const allowed =
      /^(LICENSE|package\.json|wgsl\.d\.ts|[a-z0-9_]+\.wgsl|src\/.*\.(ts|as)|dist\/.*\.(js|d\.ts)(\.map)?)$/;
    const paths = packed(name).files.map(({ path }) => path);
    expect(paths.filter((path) => !allowed.test(path) || /test|bench|\.mjs$/i.test(path))).toEqual([]);
    expect(paths).toContain("LICENSE");
  });

  test("names released versions and no condition of this workspace", () => {
    const manifest = readFileSync(join(folder, "consumer/node_modules", name, "package.json"), "utf8");
    expect(manifest).not.toMatch(/workspace:|x-source/);
  });
});

test("@pkg/kernels holds a module for every kernel", () => {
  const kernels = readdirSync(join(root, "kernels")).filter((file) => file.endsWith(".wgsl"));
  const paths = packed("@pkg/kernels").files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(kernels.map((file) => `dist/${file.replace(/wgsl$/, "js")}`)));
});

test("plain Node runs a program that imports them", () => {
  expect(JSON.parse(run("node", ["main.js"], join(folder, "consumer")))).toEqual([14, 14, true, true]);
});

test("TypeScript checks the same program without this workspace's settings", () => {
  const options = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--module", "nodenext", "--target", "es2023"];
  run("node", [join(root, "node_modules/typescript/bin/tsc"), ...options, "main.js"], join(folder, "consumer"));
});

test("Vite builds a page that imports them, without a warning", async () => {
  const consumer = join(folder, "consumer");
  writeFileSync(join(consumer, "index.html"), '<script type="module" src="/main.js"></script>');
  const warnings: string[] = [];
  const customLogger = { ...createLogger("warn"), warn: (message: string) => void warnings.push(message) };
  await viteBuild({ root: consumer, configFile: false, customLogger, logLevel: "warn" });
  expect(warnings).toEqual([]);
  expect(readdirSync(join(consumer, "dist/assets")).some((file) => file.endsWith(".js"))).toBe(true);
});

function packed(name: string): Tarball {
  const tarball = tarballs.get(name);
  if (!tarball) {
    throw new Error(`packages: ${name} is not packed`);
  }
  return tarball;
}

/** pnpm as this process was started by it, or else through npx. */
function pnpm(...options: string[]): [string, string[]] {
  if (process.env.npm_config_user_agent?.startsWith("pnpm/")) {
    return ["pnpm", options];
  }
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return ["npx", ["-y", packageManager, ...options]];
}

/** Standard output; throws with all output when the command fails. The environment keeps nothing of pnpm or the tests. */
function run(command: string, options: readonly string[], cwd: string): string {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|VITEST|LD_)/.test(name)),
  );
  try {
    return execFileSync(command, options, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${options.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

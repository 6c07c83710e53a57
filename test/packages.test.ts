// The packages as their users get them: built, packed, installed without this workspace, then imported by Node and Vite.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { createLogger, build as viteBuild } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBrowser } from "../tools/browser.mjs";
import { browserAvailable } from "./setup/browser.ts";

interface Tarball {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tweedie-packages-"));
const names = ["@pkg/kernels", "@pkg/tensor", "@pkg/nn", "@pkg/diffusion"];
const tarballs = new Map<string, Tarball>();

/** What the program of each README prints: a formula; Σ x³'s derivatives; a small loss; about the data's mean of 3. */
const SHOWN: Readonly<Record<string, RegExp>> = {
  "@pkg/kernels": /^\/\/ ./,
  "@pkg/tensor": /^\[ 3, 12, 27 \]\n\[ 6, 12, 18 \]\n2\n$/,
  "@pkg/nn": /^loss (0\.00\d+|\d\.\d+e-\d+)\n$/,
  "@pkg/diffusion": /^mean (2\.[5-9]|3\.[0-4])\d*\n$/,
};

/** Two steps of training on each backend, by its name. */
const program = `
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, parameters, unet } from "@pkg/nn";
import { cpu, randomStream, wasm, webgpu } from "@pkg/tensor";

const backends = [cpu(), await wasm()];
if ("gpu" in (globalThis.navigator ?? {})) backends.push(await webgpu());
const losses = backends.map(async (backend) => {
  const rng = randomStream(0);
  const model = unet({ inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1 }, { backend, rng });
  const optimizer = adamW(parameters(model), { lr: 1e-3 });
  const x0 = rng.uniform([4, 8, 8, 1], { backend, low: -1 });
  const step = () => optimizer.minimize(() => noisePrediction(model, cosine(100), x0, rng)).item();
  return /** @type {const} */ ([backend.name, [await step(), await step()]]);
});
export const results = await Promise.all(losses);
console.log(JSON.stringify(results));
`;

beforeAll(() => {
  run("node", ["tools/build.mjs"], root);
  const packing = pnpm("--filter", "@pkg/diffusion...", "pack", "--json", "--pack-destination", folder);
  for (const tarball of JSON.parse(run(...packing, root)) as Tarball[]) tarballs.set(tarball.name, tarball);
  const consumer = join(folder, "consumer");
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }));
  writeFileSync(join(consumer, "main.js"), program);
  const files = [...[...tarballs.values()].map(({ filename }) => filename), ...packedDependencies()];
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", "--cache", join(folder, "npm"), ...files], consumer);
});

/** Tarballs of what the packages depend on, and of what that depends on: the test has no registry. */
function packedDependencies(): string[] {
  const found = new Set<string>();
  const visit = (directory: string): void => {
    if (found.has(directory)) return;
    found.add(directory);
    const { dependencies = {} } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
    for (const name of Object.keys(dependencies)) visit(realpathSync(join(directory, "..", name)));
  };
  visit(realpathSync(join(root, "packages/nn/node_modules/ml-matrix")));
  return [...found].map((directory) => {
    const text = run("npm", ["pack", directory, "--json", "--ignore-scripts", "--pack-destination", folder], folder);
    return join(folder, (JSON.parse(text) as { filename: string }[])[0].filename);
  });
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(names)("%s", (name) => {
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
      /^(LICENSE|README\.md|package\.json|wgsl\.d\.ts|[a-z]+\/[a-z0-9_]+\.wgsl|src\/.*\.(ts|as)|dist\/.*\.(js|d\.ts)(\.map)?)$/;
    const paths = packed(name).files.map(({ path }) => path);
    expect(paths.filter((path) => !allowed.test(path) || /test|bench|\.mjs$/i.test(path))).toEqual([]);
    expect(paths).toEqual(expect.arrayContaining(["LICENSE", "README.md"]));
  });

  test("shows one program in its README, which plain Node runs", () => {
    const consumer = join(folder, "consumer");
    const text = readFileSync(join(consumer, "node_modules", name, "README.md"), "utf8");
    const programs = [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code);
    expect(programs).toHaveLength(1);
    writeFileSync(join(consumer, "shown.js"), programs[0]);
    expect(run("node", ["shown.js"], consumer)).toMatch(SHOWN[name]);
  });

  test("names released versions and no condition of this workspace", () => {
    const manifest = readFileSync(join(folder, "consumer/node_modules", name, "package.json"), "utf8");
    expect(manifest).not.toMatch(/workspace:|x-source/);
  });
});

test("@pkg/kernels holds a module for every kernel", () => {
  const all = readdirSync(join(root, "kernels"), { recursive: true, encoding: "utf8" });
  const kernels = all.filter((file) => file.endsWith(".wgsl")).map((file) => file.replaceAll("\\", "/"));
  expect(kernels.length).toBeGreaterThan(50);
  const paths = packed("@pkg/kernels").files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(kernels.map((file) => `dist/${file.replace(/wgsl$/, "js")}`)));
});

test("README says to build, pack and install as it is done here", () => {
  const text = readFileSync(join(root, "README.md"), "utf8");
  expect(text).toMatch(/^npx -y pnpm@\S+ build$/m);
  expect(text).toMatch(/^npx -y pnpm@\S+ --filter "@pkg\/diffusion\.\.\." pack --pack-destination \S+$/m);
  expect(text).toMatch(/^npm install \S*pkg-\*\.tgz webgpu@\S+$/m);
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  expect(text).toContain(`webgpu@${manifest.devDependencies.webgpu}`);
});

test("plain Node runs a program that trains with them", () => {
  checkTraining(run("node", ["main.js"], join(folder, "consumer")), ["cpu", "wasm"]);
});

describe("without this workspace's settings, and with every declaration checked,", () => {
  const options = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--module", "nodenext", "--target", "es2023"];

  // 5.9 knows no WebGPU; 7 has its types.
  test.each(["typescript-5.9", "typescript"])("%s checks the same program, in browsers and elsewhere", (typescript) => {
    const consumer = join(folder, "consumer");
    const check = (...more: string[]) =>
      run("node", [join(root, "node_modules", typescript, "bin/tsc"), ...options, ...more], consumer);
    check("main.js");
    writeFileSync(join(consumer, "elsewhere.js"), 'export { cpu, webgpu } from "@pkg/tensor";\n');
    check("--lib", "es2023,esnext.disposable", "elsewhere.js");
  });
});

describe("a page that imports them", () => {
  const page = join(folder, "consumer/dist");

  test("is built by Vite without a warning", async () => {
    const consumer = join(folder, "consumer");
    writeFileSync(join(consumer, "index.html"), '<script type="module" src="/main.js"></script>');
    const warnings: string[] = [];
    const customLogger = { ...createLogger("warn"), warn: (message: string) => void warnings.push(message) };
    await viteBuild({ root: consumer, configFile: false, customLogger, logLevel: "warn" });
    expect(warnings).toEqual([]);
    expect(readdirSync(join(page, "assets")).some((file) => file.endsWith(".js"))).toBe(true);
  });

  test.skipIf(!browserAvailable)("trains in Chromium as Node does", async () => {
    const names = readdirSync(page, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("."));
    const browser = await openBrowser();
    try {
      const open = await browser.open(new Map(names.map((name) => [name, readFileSync(join(page, name))])));
      const printed = async () => (await open.consoleMessages()).filter((message) => message.type() === "log");
      const ended = async () => (await printed()).length + (await open.pageErrors()).length > 0;
      await expect.poll(ended, { timeout: 60_000 }).toBe(true);
      expect(await open.pageErrors()).toEqual([]);
      checkTraining((await printed())[0].text(), ["cpu", "wasm", "webgpu"]);
    } finally {
      await browser.close();
    }
  });
});

/** The output of `program`: a loss near Var ε = 1 while the network's output is zero, equal on all backends; then a close one. */
function checkTraining(output: string, backends: readonly string[]): void {
  const results: [string, [number, number]][] = JSON.parse(output);
  expect(results.map(([name]) => name.split(":", 1)[0])).toEqual(backends);
  const [, [first, second]] = results[0];
  expect(Math.abs(first - 1)).toBeLessThan(5 * Math.sqrt(2 / 256)); // of 256 squares, each of variance 2
  for (const [name, losses] of results) {
    expect(Math.abs(losses[0] - first), name).toBeLessThan(1e-6);
    expect(Math.abs(losses[1] - second), name).toBeLessThan(1e-4);
  }
}

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

// A headless Chromium from npm, with WebGPU on SwiftShader, and programs that run in its pages.
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { bundleOptions } from "./bundleOptions.mjs";
import { canUnpack, unpackChromium } from "./chromiumFiles.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Why no browser can be had here; empty where one can. */
export const browserMissing = canUnpack
  ? ""
  : `@sparticuz/chromium is for linux-x64, this is ${process.platform}-${process.arch}`;

const flags = [
  "--no-sandbox", // it needs privileges that containers withhold, and the pages are our own
  "--enable-unsafe-webgpu", // or Chromium for Linux offers no software adapter
  "--use-webgpu-adapter=swiftshader",
  "--enable-dawn-features=disable_workgroup_init", // as the engine asks for in Node: SwiftShader compiles four times as fast
  "--disable-gpu-watchdog", // compiling a large kernel takes SwiftShader longer than the watchdog's patience
  // No look-ups of names and no requests but the page's.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--disable-sync",
  "--no-pings",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** With them a page is cross-origin isolated: it may share memory with its workers. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const types = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", wasm: "application/wasm" };

/**
 * What a page offers: functions of its `globalThis.program`, whose arguments and results are plain data.
 * @typedef {Record<string, (...args: never[]) => unknown>} Program
 */

/**
 * Calls a function of the page's program; rejects with its error.
 * @template {Program} P
 * @typedef {<Name extends keyof P>(name: Name, ...args: Parameters<P[Name]>) => Promise<Awaited<ReturnType<P[Name]>>>} Call
 */

/**
 * @typedef {object} Browser
 * @property {string} version
 * @property {(files: Files, options?: PageOptions) => Promise<import("playwright-core").Page>} open a page with these files
 * @property {() => Promise<void>} crashGpu kills the process behind WebGPU, as a driver's crash would
 * @property {() => Promise<void>} close
 */

/**
 * Names, as "index.html", and contents.
 * @typedef {ReadonlyMap<string, string | Uint8Array>} Files
 */

/**
 * @typedef {object} PageOptions
 * @property {boolean} [isolated] whether the page is cross-origin isolated, default true
 * @property {string} [policy] the page's Content-Security-Policy
 */

/**
 * Starts a browser with a profile of its own; close it.
 * @returns {Promise<Browser>}
 * @throws {Error} when `browserMissing`
 */
export async function openBrowser() {
  if (browserMissing) throw new Error(`browser: ${browserMissing}`);
  const folder = unpackChromium();
  const inherited = Object.entries(process.env).filter(([name]) => !/^(VK_|LD_)/.test(name));
  const browser = await chromium.launch({
    executablePath: join(folder, "chromium"),
    args: flags,
    env: {
      ...Object.fromEntries(inherited),
      LD_LIBRARY_PATH: join(folder, "lib"),
      FONTCONFIG_FILE: join(folder, "fonts.conf"),
    },
  });
  /** @type {(() => void)[]} */
  const servers = [];
  return {
    version: browser.version(),
    open: async (files, { isolated = true, policy } = {}) => {
      const { url, stop } = await serve(files, {
        ...(isolated && isolation),
        ...(policy && { "Content-Security-Policy": policy }),
      });
      servers.push(stop);
      const page = await browser.newPage();
      await page.goto(url);
      return page;
    },
    crashGpu: async () => {
      const session = await browser.newBrowserCDPSession();
      await session.send("Browser.crashGpuProcess");
      await session.detach();
    },
    close: async () => {
      await browser.close();
      for (const stop of servers) stop();
    },
  };
}

/**
 * Bundles a program from the workspace's sources and runs it in a page.
 * @template {Program} P
 * @param {Browser} browser
 * @param {string} entry its file, from the repository's root; it sets `globalThis.program`
 * @param {PageOptions} [options]
 * @returns {Promise<Call<P>>}
 */
export async function runInPage(browser, entry, options) {
  const { outputFiles } = await build({
    ...bundleOptions,
    platform: "browser",
    target: "chrome143",
    entryPoints: [join(root, entry)],
    write: false,
    logLevel: "warning",
  });
  const files = new Map([
    ["index.html", '<!doctype html><script type="module" src="program.js"></script>'],
    ["program.js", outputFiles[0].text],
  ]);
  const page = await browser.open(files, options);
  const check = async () => {
    const errors = await page.pageErrors();
    if (errors.length > 0) throw new AggregateError(errors, `browser: uncaught in the page: ${errors}`);
  };
  await check();
  return async (name, ...args) => {
    const result = await page.evaluate(
      ([name, args]) => /** @type {any} */ (globalThis).program[name](...args),
      /** @type {const} */ ([name, args]),
    );
    await check();
    return result;
  };
}

/**
 * Serves files on this machine only; http there is as good as https to browsers.
 * @param {Files} files
 * @param {Record<string, string>} headers
 * @returns {Promise<{ url: string, stop: () => void }>}
 */
async function serve(files, headers) {
  const server = createServer(({ url = "/" }, response) => {
    const name = new URL(url, "http://127.0.0.1").pathname.slice(1) || "index.html";
    const content = files.get(name);
    const type = types[/** @type {keyof typeof types} */ (name.slice(name.lastIndexOf(".") + 1))];
    response.writeHead(content === undefined ? 404 : 200, { "Content-Type": type ?? "text/plain", ...headers });
    response.end(content);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address()); // it listens on a port
  return { url: `http://127.0.0.1:${address.port}/`, stop: () => void server.close() };
}

// Says under which environment variables a process finds the software Vulkan driver from npm.
import { delimiter, join } from "node:path";
import { canUnpack, unpackSwiftShader } from "./chromiumFiles.mjs";

/** The names of adapters to choose from. */
export const ADAPTERS = ["swiftshader", "system"];

/**
 * The environment variables under which a new process uses the chosen adapter. The dynamic linker reads
 * LD_LIBRARY_PATH when a process starts, so set them before starting it: they don't act on the present one.
 * @param {string} adapter "swiftshader", or "system" for whatever the machine offers
 * @returns {Record<string, string>} empty where nothing needs to change; SwiftShader is unpacked on linux-x64 only
 * @throws {Error} when the adapter has another name
 */
export function adapterEnvironment(adapter) {
  if (adapter !== "swiftshader" && adapter !== "system") {
    throw new Error(`TWEEDIE_ADAPTER: ${JSON.stringify(adapter)}, want "swiftshader" or "system"`);
  }
  if (adapter === "system" || !canUnpack) {
    return {};
  }
  const directory = unpackSwiftShader();
  const driver = join(directory, "vk_swiftshader_icd.json");
  const libraries = (process.env.LD_LIBRARY_PATH ?? "").split(delimiter).filter((path) => path && path !== directory);
  return {
    LD_LIBRARY_PATH: [directory, ...libraries].join(delimiter),
    VK_DRIVER_FILES: driver,
    VK_ICD_FILENAMES: driver, // the older name of VK_DRIVER_FILES, which other loaders read
  };
}

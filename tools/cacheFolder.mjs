// Where tools keep what they make once: inside node_modules, or in a folder of the user's where the checkout cannot be written.
import { createHash } from "node:crypto";
import { accessSync, constants, mkdirSync, statSync, symlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const nodeModules = fileURLToPath(new URL("../node_modules", import.meta.url));

/** @type {string | undefined} */
let known;

/**
 * The folder, made if need be. From it Node finds the packages of this checkout.
 * @throws {Error} when no place can be written
 */
export function cacheFolder() {
  known ??= isOurs(join(nodeModules, ".cache/tweedie"), false) ?? ofUser();
  return known;
}

function ofUser() {
  // Checkouts differ, so each has a folder of its own.
  const checkout = createHash("sha256").update(nodeModules).digest("hex").slice(0, 16);
  const user = process.getuid?.() ?? "";
  const places = [join(userCaches(), "tweedie", checkout), join(tmpdir(), `tweedie-${user}`, checkout)];
  for (const place of places) {
    const folder = isOurs(place, true);
    if (!folder) continue;
    try {
      symlinkSync(nodeModules, join(folder, "node_modules"), "junction");
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    return folder;
  }
  throw new Error(`cache: cannot write ${join(nodeModules, ".cache")}, ${places.join(" or ")}, want one of them`);
}

function userCaches() {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (process.platform === "win32" && LOCALAPPDATA) return LOCALAPPDATA;
  return XDG_CACHE_HOME || join(homedir(), ".cache");
}

/**
 * The folder, if it can be written.
 * @param {string} folder
 * @param {boolean} onlyOwn refuses what another user made: programs are run from it
 */
function isOurs(folder, onlyOwn) {
  try {
    mkdirSync(folder, { recursive: true, mode: onlyOwn ? 0o700 : 0o777 });
    accessSync(folder, constants.W_OK);
    const { uid, mode } = statSync(folder);
    const isShared = process.getuid !== undefined && (uid !== process.getuid() || (mode & 0o022) !== 0);
    return onlyOwn && isShared ? undefined : folder;
  } catch {
    return undefined;
  }
}

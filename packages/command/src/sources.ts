// The version of the sources that a figure was computed with.
import { execFileSync } from "node:child_process";

/** The version of the program's sources. */
export interface Sources {
  /** The commit, or null outside of a repository. */
  readonly commit: string | null;
  /** Whether files differ from that commit. */
  readonly dirty: boolean;
}

/** The version of the repository in which the program runs. */
export function sources(): Sources {
  return { commit: git("rev-parse", "HEAD"), dirty: Boolean(git("status", "--porcelain")) };
}

function git(...args: string[]): string | null {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null; // no repository, or no git
  }
}

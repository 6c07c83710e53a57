// Where and how a run took place: without it no number can be compared with another.
import { execFileSync } from "node:child_process";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";

/** The machine, the programs, the sources and the command. */
export interface Environment {
  readonly date: string;
  readonly command: string;
  readonly node: string;
  readonly v8: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** The commit, or null outside of a repository. */
  readonly commit: string | null;
  /** Whether files differ from that commit. */
  readonly dirty: boolean;
  /** Mean number of running processes in the last minute: before and after the run. Above 1 with nothing else to do, others disturb. */
  readonly load: [number, number];
  readonly adapter?: AdapterFacts;
}

/** A WebGPU adapter as the backend uses it. */
export interface AdapterFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** What the device was opened with. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** The present environment; `load` counts until `finished`. @param script how package.json calls what runs */
export function environment(script: string): Environment {
  const [{ model }] = cpus();
  const git = (...args: string[]) => {
    try {
      return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      return null; // no repository, or no git
    }
  };
  const [load] = loadavg();
  return {
    date: new Date().toISOString(),
    command: [script, ...process.argv.slice(2)].join(" "),
    node: process.version,
    v8: process.versions.v8,
    os: `${type()} ${release()} ${arch()}`,
    cpu: model.trim(),
    cores: cpus().length,
    memoryBytes: totalmem(),
    commit: git("rev-parse", "HEAD"),
    dirty: Boolean(git("status", "--porcelain")),
    load: [load, load],
  };
}

/** The same with the load at its end. */
export function finished({ load: [before], ...rest }: Environment): Environment {
  return { ...rest, load: [before, loadavg()[0]] };
}

export function adapterFacts({ info }: GPUAdapter, device: GPUDevice): AdapterFacts {
  const { vendor, architecture, device: name, description } = info;
  const limits: Record<string, number> = {};
  // They are getters of the prototype.
  for (const limit in device.limits) {
    const value = device.limits[limit as keyof GPUSupportedLimits];
    if (typeof value === "number") limits[limit] = value;
  }
  return { vendor, architecture, device: name, description, features: [...device.features].sort(), limits };
}

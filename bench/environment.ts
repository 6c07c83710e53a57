// Where and how a run took place: without it no number can be compared with another.
import { arch, cpus, release, totalmem, type } from "node:os";
import { type Busyness, isBusy, type Sources, sources, watchBusyness } from "@pkg/command";

/** The machine, the programs, the sources and the command. */
export interface Environment extends Busyness, Sources {
  readonly date: string;
  readonly command: string;
  readonly node: string;
  readonly v8: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Whether others used so much of the machine that times are longer than its own. Absent in older files. */
  readonly isBusy?: boolean;
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

/**
 * The present environment, with the busyness of the machine until the function that it returns is called.
 * @param script how package.json calls what runs
 * @param children processes that are measured too
 */
export function environment(script: string, children?: () => readonly number[]): () => Environment {
  const [{ model }] = cpus();
  const soFar = watchBusyness(children);
  const fixed = {
    date: new Date().toISOString(),
    command: [script, ...process.argv.slice(2)].join(" "),
    node: process.version,
    v8: process.versions.v8,
    os: `${type()} ${release()} ${arch()}`,
    cpu: model.trim(),
    cores: cpus().length,
    memoryBytes: totalmem(),
    ...sources(),
  };
  return () => {
    const busyness = soFar();
    return { ...fixed, ...busyness, isBusy: isBusy(busyness) };
  };
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

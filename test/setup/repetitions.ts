// How often tests repeat what may fail by chance: by default, and with TWEEDIE_FULL (`pnpm test:full`). docs/reliability.md has the same numbers.

export const REPETITIONS = {
  "safetensors files": [5000, 500_000],
  "IDX files": [1000, 150_000],
  "checkpoint headers": [300, 20_000],
  "checkpoint bytes": [200, 2000],
  "kills of a save": [30, 200],
  "kills of a training": [6, 60],
  "kills of a new run": [6, 30],
  "kernels on two threads": [200, 84_000],
  "training steps": [1000, 10_000],
  "captured programs": [25, 2500],
  "ends with a device at work": [6, 120],
} as const satisfies Readonly<Record<string, readonly [usual: number, full: number]>>;

export function repetitions(what: keyof typeof REPETITIONS): number {
  return REPETITIONS[what][process.env.TWEEDIE_FULL === "1" ? 1 : 0];
}

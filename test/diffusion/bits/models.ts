// The small networks and data that the cases are computed from.
import { type MlpConfig, mlp, parameters, type Unet, type UnetConfig, unet } from "@pkg/nn";
import { type Backend, randomStream, type Tensor, tensor } from "@pkg/tensor";

/** One class or none for each of the five points. */
export const LABELS: readonly (number | null)[] = [0, 2, null, 1, 2];
export const CLASSES: readonly number[] = [0, 2, 1, 1, 2];
/** And for each of the three images. */
export const IMAGE_LABELS: readonly (number | null)[] = [1, null, 0];

/** Five points of the plane. */
export function points(backend: Backend): Tensor {
  return randomStream(3).normal([5, 2], { backend });
}

/** Three images on the grid of 256 levels in [−1, 1]. */
export function images(backend: Backend): Tensor {
  const levels = randomStream(4).host.integers(0, 256, [3 * 4 * 4]);
  return tensor(
    Array.from(levels, (level) => level / 127.5 - 1),
    { backend, shape: [3, 4, 4, 1] },
  );
}

export function planeNet(backend: Backend, config: Partial<MlpConfig> = {}): ReturnType<typeof mlp> {
  const net = mlp({ sizes: [2, 16, 2], timeChannels: 8, ...config }, { rng: randomStream(1), backend });
  return stirred(net, backend);
}

export function labelledNet(backend: Backend): ReturnType<typeof mlp> {
  return planeNet(backend, { classes: 3, classChannels: 4 });
}

export function imageNet(backend: Backend, config: Partial<UnetConfig> = {}): Unet {
  const whole = { inChannels: 1, channels: 4, multipliers: [1, 2], blocks: 1, classes: 3, ...config };
  return stirred(unet(whole, { rng: randomStream(2), backend }), backend);
}

/** Moves all parameters: some begin as zeros, and would hide what is before them. */
function stirred<Module extends object>(module: Module, backend: Backend): Module {
  const rng = randomStream(5);
  for (const p of parameters(module)) p.assign(p.add(rng.normal(p.shape, { backend }).mul(0.1)));
  return module;
}

// Loops as people write them, without `tidy`: each step leaves tensors that nobody can reach any more.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, mlp } from "@pkg/nn";
import { type Backend, ones, randomStream, type Tensor, tensor } from "@pkg/tensor";

/** A loop on a backend: what its k-th step does, from 1 on. */
export type Loop = (backend: Backend) => (step: number) => void | Promise<void>;

/** Steps from one look at the loss to the next. */
const READ_EVERY = 100;

/** The first loop of README, with batches of 1.5 MiB and a network so small that 100,000 steps are done in a quarter of an hour. */
function training(backend: Backend): (step: number) => Promise<void> {
  const rng = randomStream(0);
  const network = mlp({ sizes: [64, 4, 64] }, { backend, rng: rng.split("weights") });
  const schedule = cosine(100);
  const optimizer = adamW(network, { lr: 3e-3, clipNorm: 1 });
  const rows = new Float32Array(6144 * 64).fill(-1);
  const images = () => tensor(rows, { backend, shape: [6144, 64] });
  return async (step) => {
    const x0 = images();
    const loss = optimizer.minimize(() => noisePrediction(network, schedule, x0, rng));
    if (step % READ_EVERY === 0) await checked(loss);
  };
}

/** Elementwise ops on tensors of 1 MiB; nothing is awaited. */
function arithmetic(backend: Backend): (step: number) => void {
  const x = ones([512, 512], { backend }).contiguous();
  return () => void x.mul(0.5).add(1).relu();
}

/** The same, reading an element now and then, as a page does that shows something. */
function arithmeticRead(backend: Backend): (step: number) => Promise<void> {
  const x = ones([512, 512], { backend }).contiguous();
  return async (step) => {
    const y = x.mul(0.5).add(1).relu();
    if (step % READ_EVERY === 0) await checked(y.slice(0, 0));
  };
}

export const LOOPS = { training, arithmetic, "arithmetic read": arithmeticRead } as const satisfies Record<
  string,
  Loop
>;

async function checked(value: Tensor): Promise<void> {
  const number = await value.item();
  if (!Number.isFinite(number)) throw new Error(`soak: a result is ${number}, want a finite number`);
}

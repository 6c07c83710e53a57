// One training of the CIFAR-10 U-Net for `bench:memory`, in a process of its own: prints its peak and the times of its steps as JSON.
// It runs on this build and on earlier ones, so it uses nothing that these do not have; configurations may say more than they know.
import { linear, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameterCount, parameters, type UnetConfig, unet } from "@pkg/nn";
import { randomStream, tidy, wasm } from "@pkg/tensor";

const {
  config,
  batch,
  parts = 1,
  steps,
} = JSON.parse(process.argv[2]) as {
  readonly config: UnetConfig;
  readonly batch: number;
  /** Micro-batches per step. */
  readonly parts?: number;
  readonly steps: number;
};

const backend = await wasm();
const rng = randomStream(0);
const model = unet(config, { backend, rng: rng.split("weights") });
const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
const average = ema(model, 0.999);
const schedule = linear(1000);
const x0 = rng.normal([batch, 32, 32, config.inChannels], { backend });
const lossOf = (x: typeof x0) => noisePrediction(model, schedule, x, rng);
const step = () =>
  tidy(() => {
    const loss =
      parts === 1
        ? optimizer.minimize(() => lossOf(x0))
        : optimizer.minimize(lossOf, { batches: x0.split(batch / parts) });
    average.update();
    return loss;
  });

const times: number[] = [];
const losses: number[] = [];
for (let k = 0; k <= steps; k++) {
  const began = performance.now();
  losses.push(await step().item());
  await backend.settled();
  if (k > 0 || steps === 0) times.push(performance.now() - began); // the first also compiles
}
const { peakBytes } = backend.memory();
backend.dispose();
process.stdout.write(`${JSON.stringify({ parameters: parameterCount(model), peakBytes, times, losses })}\n`);

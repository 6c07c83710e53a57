// One training step of a small U-Net on the backends that need no GPU; prints the bits of its loss and weights. Run by hosts.test.ts.
import { adamW, parameters, unet } from "@pkg/nn";
import { type Backend, cpu, randomStream, wasm } from "@pkg/tensor";

const results: Record<string, unknown> = {};
for (const open of [cpu, () => wasm({ threads: 1 }), () => wasm({ threads: 2 })]) {
  const backend = await open();
  results[backend.name] = await oneStep(backend);
  backend.dispose();
}
console.log(JSON.stringify(results));

async function oneStep(backend: Backend): Promise<{ loss: number; digest: number }> {
  const rng = randomStream(1);
  const model = unet({ inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1, dropout: 0.1 }, { backend, rng });
  const optimizer = adamW(parameters(model), { lr: 1e-3, clipNorm: 1 });
  const x = rng.normal([2, 8, 8, 1], { backend });
  const loss = optimizer.minimize(() => model.forward(x, [1, 500], { rng }).sub(x).square().mean());
  let digest = 0x811c9dc5; // FNV-1a over words
  for (const parameter of parameters(model)) {
    const { buffer } = await parameter.data();
    for (const word of new Uint32Array(buffer as ArrayBuffer)) digest = Math.imul(digest ^ word, 0x01000193) >>> 0;
  }
  return { loss: await loss.item(), digest };
}

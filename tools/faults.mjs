// `pnpm faults [text]` plants faults, one at a time, in a copy of the repository, and says which tests notice. docs/numerics.md has the
// result; the command fails when a fault goes unnoticed.
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} Fault
 * @property {string} name
 * @property {string} file
 * @property {string} from what stands there, once or first
 * @property {string} to
 * @property {string[]} tests files of test/ to run
 * @property {string} [only] the names of the tests to run
 */

const source = "packages/tensor/src";
const diffusion = "packages/diffusion/src";

/** @type {Fault[]} */
const faults = [
  {
    name: "a bounds mask dropped: a sum reads past its line",
    file: "kernels/reduce.wgsl",
    from: "let last = min(first + CHUNK, params.reduced);",
    to: "let last = first + CHUNK;",
    tests: ["tensor/ops"],
    only: "'sum'|'max'",
  },
  {
    name: "a bounds mask dropped: a convolution reads below its image",
    file: "kernels/conv2d_direct.wgsl",
    from: "(y < vec4<u32>(params.image_size.x)) & ",
    to: "",
    tests: ["tensor/ops"],
    only: "conv2d",
  },
  {
    name: "a tap too many: pixels of a strided gradient meet those of another class",
    file: "kernels/conv2d_direct.wgsl",
    from: "tap_y += TAP_Y",
    to: "tap_y += 1u",
    tests: ["tensor/ops"],
    only: "conv2dInput",
  },
  {
    name: "a bounds mask dropped: an elementwise kernel writes past the end",
    file: "kernels/elementwise.wgsl",
    from: "  if (i >= params.size) {\n    return;\n  }\n",
    to: "",
    tests: ["tensor/ops", "tensor/properties"],
    only: "'add'|broadcast",
  },
  {
    name: "an unwritten element: the last one of padding",
    file: "kernels/unslice.wgsl",
    from: "if (i >= params.size) {",
    to: "if (i + 1u >= params.size) {",
    tests: ["tensor/ops"],
    only: "slice",
  },
  {
    name: "an unwritten element: the last one of a running sum",
    file: "kernels/cumsum.wgsl",
    from: "let last = min((s + 1u) * CHUNK, params.length);",
    to: "let last = min((s + 1u) * CHUNK, params.length - 1u);",
    tests: ["tensor/ops"],
    only: "cumsum",
  },
  {
    name: "a wrong cotangent: the sign of a − b's second",
    file: `${source}/ops/arithmetic.ts`,
    from: "vjp: ([g]) => [g, g.neg()],",
    to: "vjp: ([g]) => [g, g],",
    tests: ["tensor/ops"],
    only: "'sub'",
  },
  {
    name: "a wrong cotangent: one of silu's terms",
    file: `${source}/ops/functions.ts`,
    from: "return [g.mul(s).mul(x.mul(s.affine(-1, 1)).add(1))];",
    to: "return [g.mul(s).mul(x.mul(s.affine(-1, 1)))];",
    tests: ["tensor/ops"],
    only: "silu",
  },
  {
    name: "a wrong cotangent: of a stretched axis the mean",
    file: `${source}/ops/views.ts`,
    from: "return [g.sum(summed).reshape(x.shape)];",
    to: "return [g.mean(summed).reshape(x.shape)];",
    tests: ["tensor/ops"],
    only: "expand",
  },
  {
    name: "a wrong cotangent: a term in the fused group norm's kernel",
    file: "kernels/group_norm_grad.wgsl",
    from: " - normal * means[sample * 2u + 1u]",
    to: "",
    tests: ["tensor/ops"],
    only: "groupNorm",
  },
  {
    name: "a wrong cotangent: a sign in attention's kernel",
    file: "kernels/attention_slopes.wgsl",
    from: "(slopes[i] - delta",
    to: "(slopes[i] + delta",
    tests: ["tensor/ops"],
    only: "attention",
  },
  {
    name: "a cut graph: a · b's cotangent by a detached factor",
    file: `${source}/ops/arithmetic.ts`,
    from: "vjp: ([g], [a, b]) => [g.mul(b), g.mul(a)],",
    to: "vjp: ([g], [a, b]) => [g.mul(b.detach()), g.mul(a)],",
    tests: ["tensor/ops"],
    only: "'mul'",
  },
  {
    name: "a cut graph: softmax's cotangent by a detached result",
    file: `${source}/ops/softmax.ts`,
    from: "const gy = g.mul(y);",
    to: "const gy = g.mul(y.detach());",
    tests: ["tensor/ops"],
    only: "softmax",
  },
  {
    name: "a cut graph: nodes of which only one input is differentiated by",
    file: `${source}/grad.ts`,
    from: "node.inputs.some(({ origin }) => sources.has(origin)",
    to: "node.inputs.every(({ origin }) => sources.has(origin)",
    tests: ["tensor/ops", "tensor/grad"],
    only: "mul|gradient",
  },
  {
    name: "a value that is not kept for the cotangent",
    file: `${source}/ops/functions.ts`,
    from: "add(1))];\n  },\n  saves: { inputs: [0] },",
    to: "add(1))];\n  },\n  saves: {},",
    tests: ["tensor/ops"],
    only: "silu",
  },
  {
    name: "a swapped stride: b read by the strides of a",
    file: "kernels/elementwise.wgsl",
    from: "at.y += index * params.b_strides",
    to: "at.y += index * params.a_strides",
    tests: ["tensor/ops", "tensor/properties"],
    only: "'add'|broadcast",
  },
  {
    name: "a forgotten offset: views read from the start of their storage",
    file: "kernels/elementwise.wgsl",
    from: "var at = vec3<i32>(params.offsets.xyz);",
    to: "var at = vec3<i32>();",
    tests: ["tensor/ops", "tensor/properties"],
    only: "'add'|slices",
  },
  {
    name: "a changed constant: the fifth digit of one in erf",
    file: "kernels/functions.wgsl",
    from: "0.112835854",
    to: "0.112845854",
    tests: ["tensor/ops", "tensor/functions"],
    only: "erf",
  },
  {
    name: "a changed constant: bit 96 of 2/π",
    file: "kernels/functions.wgsl",
    from: "0xfc2757d1u",
    to: "0xfc2757d0u",
    tests: ["tensor/functions"],
    only: "sin|cos",
  },
  {
    name: "a changed constant: the fourth digit of one in WebAssembly's exp",
    file: `${source}/backends/wasm/kernels/functions.as`,
    from: "splat(1.6666665459e-1)",
    to: "splat(1.6665665459e-1)",
    tests: ["tensor/ops"],
    only: "exp",
  },
  {
    name: "aliasing: an op overwrites what others hold",
    file: `${source}/tensor.ts`,
    from: "if (storage.isShared || ",
    to: "if (",
    tests: ["tensor/ops"],
    only: "others hold|'ema'|adamW",
  },
  {
    name: "aliasing: an upload overwrites what is still to be read",
    file: `${source}/backends/webgpu/webgpu.ts`,
    from: "if (target.usedIn === this.batch) this.flush();",
    to: "",
    tests: ["tensor/webgpu"],
  },
  {
    name: "Philox: normals' counter off by one",
    file: "kernels/philox_normal.wgsl",
    from: "vec4<u32>(quad, params.draw, 0u)",
    to: "vec4<u32>(quad + 1u, params.draw, 0u)",
    tests: ["tensor/ops"],
    only: "randomNormal",
  },
  {
    name: "Philox: the fused noise's counter off by one",
    file: "kernels/noise_add.wgsl",
    from: "vec4<u32>(quad, params.draw, 0u)",
    to: "vec4<u32>(quad + 1u, params.draw, 0u)",
    tests: ["tensor/ops"],
    only: "noiseAdd",
  },
  {
    name: "Philox: nine rounds",
    file: "kernels/philox_words.wgsl",
    from: "round < 10u",
    to: "round < 9u",
    tests: ["tensor/ops", "tensor/random"],
    only: "randomBits|uniform",
  },
  {
    name: "a missing barrier in a tree of sums",
    file: "kernels/reduce_tiled.wgsl",
    from: "    workgroupBarrier();\n",
    to: "",
    tests: ["tensor/ops"],
    only: "'sum'|'max'",
  },
  {
    name: "equal elements that change places in a sort",
    file: "kernels/sort_merge.wgsl",
    from: "(is_second && other == own)",
    to: "(!is_second && other == own)",
    tests: ["tensor/ops", "tensor/properties", "tensor/order"],
    only: "sort|lines|equal",
  },
  {
    name: "a search for NaN that overlooks infinity",
    file: "kernels/count_non_finite.wgsl",
    from: "(bits & 0x7f800000u) == 0x7f800000u",
    to: "(bits & 0x7fffffffu) > 0x7f800000u",
    tests: ["tensor/ops", "tensor/debug"],
    only: "countNonFinite|handed|gradient",
  },
  {
    name: "an observer that is not taken off",
    file: `${source}/debug.ts`,
    from: "    observe(before);\n",
    to: "",
    tests: ["tensor/debug"],
  },
  {
    name: "a loosened tolerance: matmul's",
    file: `${source}/ops/matmul.ts`,
    from: "relL2: 2e-6",
    to: "relL2: 2e-4",
    tests: ["tensor/numericsDoc"],
  },
  {
    name: "a wrong table: the noise of a step without the signal before it",
    file: `${diffusion}/schedule.ts`,
    from: "sum += alphaBar * beta;",
    to: "sum += beta;",
    tests: ["diffusion/schedule"],
  },
  {
    name: "a wrong coefficient: velocity with the other sign",
    file: `${diffusion}/parameterization.ts`,
    from: "{ data: -noise, noise: signal }",
    to: "{ data: noise, noise: signal }",
    tests: ["diffusion/parameterization", "diffusion/path"],
  },
  {
    name: "a wrong step: Heun's correction at the level before",
    file: `${diffusion}/samplers/heun.ts`,
    from: "noiseIn(euler, after, next)",
    to: "noiseIn(euler, after, start.level)",
    tests: ["diffusion/samplers"],
  },
  {
    name: "a wrong objective: the half of ‖s‖² forgotten",
    file: `${diffusion}/scoreMatching/implicit.ts`,
    from: "sumPerSample(value.square()).mul(0.5)",
    to: "sumPerSample(value.square())",
    tests: ["diffusion/scoreMatching"],
  },
  {
    name: "a wrong sign: guidance away from the label",
    file: `${diffusion}/guidance/classifierFree.ts`,
    from: "prediction.add(difference.mul(perSample(x, weights)))",
    to: "prediction.sub(difference.mul(perSample(x, weights)))",
    tests: ["diffusion/guidance"],
  },
  {
    name: "a state forgotten: memory dropped between steps",
    file: `${diffusion}/sampler.ts`,
    from: "({ x, memory = [] } = next);",
    to: "({ x } = next);",
    tests: ["diffusion/solvers"],
  },
];

const asTheyAre = { recursive: true, verbatimSymlinks: true };
const root = fileURLToPath(new URL("..", import.meta.url));
const copy = copyOfRepository();
const vitest = join(root, "node_modules/vitest/vitest.mjs");
let unnoticed = 0;
try {
  for (const fault of faults.filter(({ name }) => name.includes(process.argv[2] ?? ""))) {
    const failed = testsThatNotice(fault);
    if (failed.length === 0) unnoticed++;
    const first = failed.length === 0 ? "UNNOTICED" : failed[0].trim();
    process.stdout.write(`${fault.name} (${fault.file})\n    ${failed.length} tests fail: ${first}\n`);
  }
} finally {
  rmSync(copy, { recursive: true });
}
process.exitCode = unnoticed > 0 ? 1 : 0;

/** A copy whose packages are its own, and whose other dependencies are links to these. */
function copyOfRepository() {
  const target = mkdtempSync(join(tmpdir(), "tweedie-faults-"));
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  for (const file of execFileSync("git", list, { cwd: root, encoding: "utf8" }).split("\0")) {
    if (file === "" || !existsSync(join(root, file))) continue;
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(join(root, file), join(target, file));
  }
  const modules = join(target, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name === ".cache" || name === "@pkg") cpSync(join(root, "node_modules", name), join(modules, name), asTheyAre);
    else symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of readdirSync(join(root, "packages"))) {
    const own = join(root, "packages", name, "node_modules");
    if (existsSync(own)) cpSync(own, join(target, "packages", name, "node_modules"), asTheyAre);
  }
  return target;
}

/**
 * @param {Fault} fault
 * @returns {string[]} the names of the tests that fail
 * @throws {Error} when the file has changed so that the fault cannot be planted
 */
function testsThatNotice({ name, file, from, to, tests, only }) {
  const path = join(copy, file);
  const text = readFileSync(path, "utf8");
  if (!text.includes(from)) throw new Error(`faults: no "${from}" in ${file} for "${name}", want its new wording`);
  const report = join(copy, "report.json");
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  try {
    const files = tests.map((test) => `test/${test}.test.ts`);
    const named = only ? ["-t", only] : [];
    const command = [vitest, "run", ...files, ...named, "--reporter=json", `--outputFile=${report}`];
    spawnSync(process.execPath, command, { cwd: copy, stdio: "ignore" });
    const { testResults } = JSON.parse(readFileSync(report, "utf8"));
    /** @type {{ fullName: string, status: string }[]} */
    const results = testResults.flatMap((/** @type {{ assertionResults: object[] }} */ file) => file.assertionResults);
    if (!results.some(({ status }) => status !== "skipped")) throw new Error(`faults: no test ran for "${name}"`);
    return results.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);
  } finally {
    writeFileSync(path, text);
    rmSync(report, { force: true });
  }
}

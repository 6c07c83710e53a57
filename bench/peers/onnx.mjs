// The bench's forward problems in onnxruntime-web: models of one problem each, as exporters write them. Images are
// [batch, channels, height, width] there. A run on wasm copies inputs in and outputs out: its interface has no other way.
import { createRequire } from "node:module";
import { installWebgpu } from "./dawn.mjs";
import { permuted } from "./permuted.mjs";

const require = createRequire(import.meta.url);
const { onnx } = require("onnx-proto");

export async function open(device) {
  if (device === "webgpu") {
    const adapter = await installWebgpu();
    globalThis.self = globalThis;
    // Dawn's bindings refuse views of shared memory, which browsers accept.
    const { writeBuffer } = GPUQueue.prototype;
    GPUQueue.prototype.writeBuffer = function (buffer, offset, data, start = 0, size = undefined) {
      const bytes = ArrayBuffer.isView(data)
        ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        : new Uint8Array(data);
      const unit = ArrayBuffer.isView(data) ? (data.BYTES_PER_ELEMENT ?? 1) : 1;
      const end = size === undefined ? bytes.length : (start + size) * unit;
      return writeBuffer.call(this, buffer, offset, bytes.slice(start * unit, end));
    };
    const file = require.resolve("onnxruntime-web").replace(/[^/]*$/, "ort.webgpu.min.mjs");
    const ort = await import(file);
    return {
      description: `onnxruntime-web ${ort.env.versions.web} webgpu (${adapter})`,
      problems: problems(ort, device),
    };
  }
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = (await import("node:os")).availableParallelism();
  return {
    description: `onnxruntime-web ${ort.env.versions.web} wasm (numThreads ${ort.env.wasm.numThreads})`,
    problems: problems(ort, device),
  };
}

function problems(ort, device) {
  const node = (opType, input, output, attributes = {}) => ({
    opType,
    input,
    output: [output],
    name: output,
    attribute: Object.entries(attributes).map(([name, value]) => {
      if (Array.isArray(value)) return { name, type: 7, ints: value };
      return Number.isInteger(value) ? { name, type: 2, i: value } : { name, type: 1, f: value };
    }),
  });
  const constant = (name, value) => {
    const isShape = Array.isArray(value);
    return isShape
      ? { name, dims: [value.length], dataType: 7, int64Data: value }
      : { name, dims: [], dataType: 1, floatData: [value] };
  };
  const typed = (name, shape) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  });

  /** `graph` gives nodes, constants and the output "y" from the inputs "x0", "x1", … */
  const model =
    (graph, { enter = () => undefined, leave } = {}) =>
    async (problem, inputs) => {
      const laidOut = inputs.map((input, k) => permuted(input, enter(k, input.shape)));
      const {
        nodes,
        constants = [],
        shape,
      } = graph(
        laidOut.map((input) => input.shape),
        problem,
      );
      const bytes = onnx.ModelProto.encode({
        irVersion: 8,
        opsetImport: [{ domain: "", version: 17 }],
        graph: {
          name: problem.kind,
          node: nodes,
          initializer: constants,
          input: laidOut.map((input, k) => typed(`x${k}`, input.shape)),
          output: [typed("y", shape)],
        },
      }).finish();
      const onGpu = device === "webgpu";
      const session = await ort.InferenceSession.create(bytes, {
        executionProviders: [device],
        ...(onGpu && { preferredOutputLocation: "gpu-buffer" }),
      });
      const feeds = {};
      for (const [k, { data, shape }] of laidOut.entries()) feeds[`x${k}`] = await placed(data, shape);
      const gpu = onGpu ? await ort.env.webgpu.device : undefined;
      let last;
      const run = async () => {
        const { y } = await session.run(feeds);
        last?.dispose();
        last = y;
      };

      async function placed(data, shape) {
        const tensor = new ort.Tensor("float32", data, shape);
        if (!onGpu) return tensor;
        const device = await ort.env.webgpu.device;
        const size = Math.ceil(data.byteLength / 16) * 16;
        const buffer = device.createBuffer({ size, usage: 0x80 | 4 | 8 });
        device.queue.writeBuffer(buffer, 0, data);
        return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape });
      }

      return {
        run,
        settled: async () => void (await gpu?.queue.onSubmittedWorkDone()),
        outputs: async () => {
          await run();
          return [permuted({ data: await last.getData(), shape }, leave).data];
        },
        dispose: async () => {
          last?.dispose();
          await session.release();
        },
      };
    };

  const imageLayout = { enter: (_, shape) => (shape.length === 4 ? [0, 3, 1, 2] : undefined), leave: [0, 2, 3, 1] };
  const convLayout = { ...imageLayout, enter: (k) => (k === 1 ? [3, 2, 0, 1] : [0, 3, 1, 2]) };
  return {
    matmul: model(([a, b]) => ({ nodes: [node("MatMul", ["x0", "x1"], "y")], shape: [a[0], b[1]] })),
    conv2d: model(
      ([x, w]) => ({
        nodes: [node("Conv", ["x0", "x1"], "y", { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })],
        shape: [x[0], w[0], x[2], x[3]],
      }),
      convLayout,
    ),
    attention: model(([q]) => ({
      nodes: [
        node("Transpose", ["x1"], "kt", { perm: [0, 1, 3, 2] }),
        node("MatMul", ["x0", "kt"], "products"),
        node("Mul", ["products", "scale"], "scores"),
        node("Softmax", ["scores"], "weights", { axis: -1 }),
        node("MatMul", ["weights", "x2"], "y"),
      ],
      constants: [constant("scale", 1 / Math.sqrt(q[3]))],
      shape: q,
    })),
    groupNorm: model(
      ([x, scale], { groups }) => ({
        nodes: [
          node("Reshape", ["x0", "grouped"], "x"),
          node("InstanceNormalization", ["x", "ones", "zeros"], "normed", { epsilon: 1e-5 }),
          node("Reshape", ["normed", "image"], "back"),
          node("Reshape", ["x1", "perChannel"], "scale"),
          node("Reshape", ["x2", "perChannel"], "bias"),
          node("Mul", ["back", "scale"], "scaled"),
          node("Add", ["scaled", "bias"], "shifted"),
          node("Sigmoid", ["shifted"], "gate"),
          node("Mul", ["shifted", "gate"], "y"),
        ],
        constants: [
          constant("grouped", [x[0], groups, -1]),
          constant("image", x),
          constant("perChannel", [1, scale[0], 1, 1]),
          { name: "ones", dims: [groups], dataType: 1, floatData: new Array(groups).fill(1) },
          { name: "zeros", dims: [groups], dataType: 1, floatData: new Array(groups).fill(0) },
        ],
        shape: x,
      }),
      imageLayout,
    ),
  };
}

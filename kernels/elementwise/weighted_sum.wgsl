// out[i] = Σ weights[k] · input_k[i] over k < COUNT, in the order of k, four elements per thread; inputs from COUNT on are not read.

const COUNT = 1u;
const WORKGROUP = 64u;

struct Params {
  quads: u32,
  weights: array<vec4<f32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input_0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> input_1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> input_2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> input_3: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> input_4: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> input_5: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> input_6: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  let first = params.weights[0];
  let second = params.weights[1];
  var sum = first.x * input_0[i];
  if (COUNT > 1u) { sum += first.y * input_1[i]; }
  if (COUNT > 2u) { sum += first.z * input_2[i]; }
  if (COUNT > 3u) { sum += first.w * input_3[i]; }
  if (COUNT > 4u) { sum += second.x * input_4[i]; }
  if (COUNT > 5u) { sum += second.y * input_5[i]; }
  if (COUNT > 6u) { sum += second.z * input_6[i]; }
  out[i] = sum;
}

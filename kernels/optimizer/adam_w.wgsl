// m = β₁m + (1 − β₁)g·s; v = β₂v + (1 − β₂)(g·s)²; p = p − decay·p − step · m / (√v · unbias + ε), in place, four elements per thread

const WORKGROUP = 64u;
const IS_SCALED = false; // whether scale is [s, 1 / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)], and nothing is to be done where s is 0

struct Params {
  quads: u32,
  step: f32, // learning rate / (1 − β₁ᵗ), or the learning rate
  unbias: f32, // 1 / √(1 − β₂ᵗ), or 1
  decay: f32, // learning rate · weight decay
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 − β₁, rounded once
  rest2: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> p: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> v: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  if (IS_SCALED && scale[0] == 0.0) { return; }
  let step = params.step * select(1.0, scale[1], IS_SCALED);
  let unbias = params.unbias * select(1.0, scale[2], IS_SCALED);
  let gradient = g[i] * scale[0];
  let first = params.beta1 * m[i] + params.rest1 * gradient;
  let second = params.beta2 * v[i] + params.rest2 * gradient * gradient;
  m[i] = first;
  v[i] = second;
  p[i] -= params.decay * p[i] + step * first / (sqrt(second) * unbias + params.epsilon);
}

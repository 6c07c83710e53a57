// noisy[i] = signal[b] · x0[i] + noise[b] · ε[i], b = i / row; ε[4q + k] = number k of box_muller(philox(key, (q, draw, 0))).

const IS_ROW_OF_QUADS = false; // whether row is a multiple of 4
const WORKGROUP = 64u;
struct Draw { key: vec2<u32>, draw: vec2<u32> }
fn words_of(drawn: Draw, quad: u32) -> vec4<u32> { return vec4<u32>(quad, drawn.draw, 0u); }
fn box_muller(words: vec4<u32>) -> vec4<f32> { return vec4<f32>(words); }
fn opaque4(x: vec4<f32>) -> vec4<f32> { return x; }
fn zero() -> u32 { return params.zero; }

struct Params {
  drawn: Draw,
  size: u32,
  row: u32,
  zero: u32, // 0, which the compiler cannot know
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> signal: array<f32>;
@group(0) @binding(3) var<storage, read> noise: array<f32>;
@group(0) @binding(4) var<storage, read_write> noisy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> epsilon: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quad = id.x + id.y * groups.x * WORKGROUP;
  let i = 4u * quad;
  if (i >= params.size) { return; }
  var b = vec4<u32>(i / params.row);
  if (!IS_ROW_OF_QUADS) {
    b = min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(params.size - 1u)) / params.row;
  }
  let normals = box_muller(words_of(params.drawn, quad));
  let signals = vec4<f32>(signal[b.x], signal[b.y], signal[b.z], signal[b.w]);
  let noises = vec4<f32>(noise[b.x], noise[b.y], noise[b.z], noise[b.w]);
  noisy[quad] = opaque4(signals * x0[quad]) + opaque4(noises * normals);
  epsilon[quad] = normals;
}

// out[4q + k] = scale · z + shift, z normal number k of box_muller(philox(key, (q, draw, 0))): the same bits everywhere.

const WORKGROUP = 64u;
struct Draw { key: vec2<u32>, draw: vec2<u32> }
fn words_of(drawn: Draw, quad: u32) -> vec4<u32> { return vec4<u32>(quad, drawn.draw, 0u); }
fn box_muller(words: vec4<u32>) -> vec4<f32> { return vec4<f32>(words); }
fn opaque4(x: vec4<f32>) -> vec4<f32> { return x; }
fn zero() -> u32 { return params.zero; }

struct Params {
  drawn: Draw,
  quads: u32,
  scale: f32,
  shift: f32,
  zero: u32, // 0, which the compiler cannot know
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quad = id.x + id.y * groups.x * WORKGROUP;
  if (quad >= params.quads) { return; }
  let normals = box_muller(words_of(params.drawn, quad));
  out[quad] = opaque4(normals * params.scale) + params.shift;
}

// out[4q + k] = value(word k of philox(key, (q, draw, 0))): random bits, and whatever is made of one word of them.

alias Out = u32;
const WORKGROUP = 64u;
struct Draw { key: vec2<u32>, draw: vec2<u32> }
fn words_of(drawn: Draw, quad: u32) -> vec4<u32> { return vec4<u32>(quad, drawn.draw, 0u); }
fn mul_high(a: u32, b: u32) -> u32 { return 0u; }
fn value(word: u32) -> Out { return word; }

struct Params {
  drawn: Draw,
  quads: u32,
  scale: f32,
  shift: f32,
  low: i32,
  bound: u32,
  zero: u32, // 0, which the compiler cannot know
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<Out>>;

// x; no compiler can fuse or reorder operations across it.
fn opaque1(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

// The word as a multiple of 2⁻²⁴ in [0, 1), scaled and shifted in two roundings.
fn uniform_of(word: u32) -> f32 {
  return opaque1(opaque1(f32(word >> 8u) * 0x1p-24) * params.scale) + params.shift;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let quad = id.x + id.y * groups.x * WORKGROUP;
  if (quad >= params.quads) { return; }
  let words = words_of(params.drawn, quad);
  out[quad] = vec4<Out>(value(words.x), value(words.y), value(words.z), value(words.w));
}

// out[4q + k] = value(word k of philox(key, (q, draw, 0))): random bits, and whatever is made of one word of them.

alias Out = u32;
const WORKGROUP = 64u;
fn value(word: u32) -> Out { return word; }

struct Params {
  key: vec2<u32>,
  draw: vec2<u32>, // low and high half
  quads: u32,
  scale: f32,
  shift: f32,
  low: i32,
  bound: u32,
  zero: u32, // 0, which the compiler cannot know
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<Out>>;

// The upper half of the 64-bit product.
fn mul_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

// Philox-4x32-10.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high = vec2<u32>(mul_high(0xd2511f53u, c.x), mul_high(0xcd9e8d57u, c.z));
    let low = vec2<u32>(0xd2511f53u, 0xcd9e8d57u) * c.xz;
    c = vec4<u32>(high.y ^ c.y ^ k.x, low.y, high.x ^ c.w ^ k.y, low.x);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

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
  if (quad >= params.quads) {
    return;
  }
  let words = philox(vec4<u32>(quad, params.draw, 0u), params.key);
  out[quad] = vec4<Out>(value(words.x), value(words.y), value(words.z), value(words.w));
}

// out[o, i] = the first r for which key(input[o, r, i]) is largest.

const WORKGROUP = 64u;
fn key(bits: u32) -> u32 { return bits; }

struct Params {
  size: u32, // outer · inner
  reduced: u32,
  inner: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let first = (at / params.inner) * params.reduced * params.inner + at % params.inner;
  var best = 0u;
  var largest = key(input[first]);
  for (var r = 1u; r < params.reduced; r++) {
    let x = key(input[first + r * params.inner]);
    if (x > largest) {
      best = r;
      largest = x;
    }
  }
  out[at] = i32(best);
}

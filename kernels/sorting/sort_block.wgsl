// order[row, b · BLOCK + rank of i] = i for i in block b: rank counts the elements of the block that come before the i-th.

const BLOCK = 32u;
const WORKGROUP = 64u;
fn key(bits: u32) -> u32 { return bits; }

struct Params {
  size: u32, // rows · length
  length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<i32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let i = at % params.length;
  let row = at - i;
  let first = i / BLOCK * BLOCK;
  let last = min(first + BLOCK, params.length);
  let own = key(x[at]);
  var rank = 0u;
  for (var j = first; j < last; j++) {
    let other = key(x[row + j]);
    if (other < own || (other == own && j < i)) {
      rank++;
    }
  }
  order[row + first + rank] = i32(i);
}

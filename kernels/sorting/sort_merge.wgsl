// merged = order with each two neighbouring sorted runs as one: an element's place is its own plus those of the other run before it.

const WORKGROUP = 64u;
fn key(bits: u32) -> u32 { return bits; }

struct Params {
  size: u32, // rows · length
  length: u32,
  run: u32, // elements of a sorted run
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<i32>;
@group(0) @binding(3) var<storage, read_write> merged: array<i32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let at = id.x + id.y * groups.x * WORKGROUP;
  if (at >= params.size) { return; }
  let place = at % params.length;
  let row = at - place;
  let is_second = (place / params.run) % 2u == 1u;
  let own_first = place / params.run * params.run;
  let other_first = select(min(own_first + params.run, params.length), own_first - params.run, is_second);
  let other_last = min(other_first + params.run, params.length);
  let index = order[at];
  let own = key(x[row + u32(index)]);
  // Equal elements keep their order: those of the first run come before those of the second.
  var low = other_first;
  var high = other_last;
  while (low < high) {
    let middle = (low + high) / 2u;
    let other = key(x[row + u32(order[row + middle])]);
    if (other < own || (is_second && other == own)) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  let start = min(own_first, other_first);
  merged[row + start + (place - own_first) + (low - other_first)] = index;
}

// out[r · row + start + j] = input[r · piece + j]: one input's share of every row of a concatenation.

alias Element = f32;
const WORKGROUP = 64u;

struct Params {
  size: u32,
  piece: u32,
  row: u32,
  start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  out[(i / params.piece) * params.row + params.start + i % params.piece] = input[i];
}

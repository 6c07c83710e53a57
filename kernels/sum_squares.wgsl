// out[first + w] = Σ term(input[i]) over the CHUNK elements i of workgroup w: the terms are squares, or the sums of a first pass.

const WORKGROUP = 64u;
const CHUNK = 4096u;
fn term(x: f32) -> f32 { return x * x; }

struct Params {
  size: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> totals: array<f32, WORKGROUP>; // [invocation]

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(local_invocation_index) local: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let w = group.x + group.y * groups.x;
  let last = min((w + 1u) * CHUNK, params.size);
  var total = 0.0;
  for (var i = w * CHUNK + local; i < last; i += WORKGROUP) {
    total += term(input[i]);
  }
  totals[local] = total;
  for (var step = WORKGROUP / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (local < step) {
      totals[local] += totals[local + step];
    }
  }
  // Where the fold left more workgroups than there are chunks, the last have nothing to say.
  if (local == 0u && w * CHUNK < max(params.size, 1u)) {
    out[params.first + w] = totals[0];
  }
}

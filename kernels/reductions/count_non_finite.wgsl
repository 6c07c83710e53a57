// out[0] += Σ weight(bits of x[i]): how many are NaN or infinite. Most have none, and leave out alone.

const WORKGROUP = 64u;
fn weight(bits: u32) -> u32 { return select(0u, 1u, (bits & 0x7f800000u) == 0x7f800000u); }

struct Params {
  size: u32, // of x
  threads: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<atomic<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let t = id.x + id.y * groups.x * WORKGROUP;
  if (t >= params.threads) { return; }
  var total = 0u;
  for (var i = t; i < params.size; i += params.threads) {
    total += weight(x[i]);
  }
  if (total > 0u) {
    atomicAdd(&out[0], total);
  }
}

// dbias[c] = Σ_r sums[0, r, c] and dscale[c] = Σ_r sums[1, r, c] over rows r = (sample, share).

const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear

struct Params {
  rows: u32,
  channels: u32,
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes channels
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> dscale: array<f32>;
@group(0) @binding(3) var<storage, read_write> dbias: array<f32>;

var<workgroup> partial: array<vec2<f32>, WORKGROUP>; // [lane][channel]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let columns = WORKGROUP / params.lanes;
  let lane = local / columns;
  let c = group.x * columns + local % columns;
  let end = select(0u, params.rows, c < params.channels);

  var total = vec2<f32>();
  for (var r = lane; r < end; r += params.lanes) {
    total += vec2<f32>(sums[r * params.channels + c], sums[(params.rows + r) * params.channels + c]);
  }
  partial[local] = total;
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[local] += partial[local + step * columns];
    }
  }
  if (lane == 0u && c < params.channels) {
    dbias[c] = partial[local].x;
    dscale[c] = partial[local].y;
  }
}

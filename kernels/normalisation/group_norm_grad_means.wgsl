// means[b, g, m] = Σ_{s, c} scale[c] · sums[m, b, s, c] / count over shares s and the channels c of group g, for m = 0, 1.

const WORKGROUP = 128u; // a small one, with lanes = 1, for adapters where barriers are dear

struct Params {
  samples: u32, // batch · groups
  groups: u32,
  shares: u32,
  depth: u32, // channels of a group
  count: f32, // pixels · depth
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes samples
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> means: array<f32>;

var<workgroup> partial: array<vec2<f32>, WORKGROUP>; // [sample][lane]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let lane = local % params.lanes;
  let sample = (group.x + group.y * groups.x) * (WORKGROUP / params.lanes) + local / params.lanes;
  let channels = params.groups * params.depth;
  let plane = (params.samples / params.groups) * params.shares * channels;
  let first_channel = (sample % params.groups) * params.depth;
  let first = (sample / params.groups) * params.shares * channels + first_channel;
  let end = select(0u, params.shares * params.depth, sample < params.samples);

  var total = vec2<f32>();
  for (var k = lane; k < end; k += params.lanes) {
    let c = k % params.depth;
    let at = first + (k / params.depth) * channels + c;
    total += scale[first_channel + c] * vec2<f32>(sums[at], sums[at + plane]);
  }
  partial[local] = total;
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[local] += partial[local + step];
    }
  }
  if (lane == 0u && sample < params.samples) {
    means[sample * 2u] = partial[local].x / params.count;
    means[sample * 2u + 1u] = partial[local].y / params.count;
  }
}

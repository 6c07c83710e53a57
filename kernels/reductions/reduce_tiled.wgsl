// out[o, s, i] = combine over r in [s · chunk, (s + 1) · chunk) of input[o, r, i], `lanes` invocations an output, in a tree.

alias Vector = vec4<f32>;
alias Result = vec4<f32>;
const WORKGROUP = 128u;
fn identity() -> f32 { return 0.0; }
fn combine(a: Vector, b: Vector) -> Vector { return a + b; }
fn combine_pair(a: f32, b: f32) -> f32 { return a + b; }
fn finish(v: Vector) -> Result { return v; }

struct Params {
  outputs: u32, // outer · inner, in vectors
  reduced: u32,
  chunk: u32,
  chunks: u32,
  inner: u32,
  blocks: u32, // workgroups that cover `outputs`
  lanes: u32, // a power of two; a workgroup has WORKGROUP / lanes outputs
  lane_step: u32, // 1, or the outputs of a workgroup: how far apart the lanes of one output lie
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Vector>;
@group(0) @binding(2) var<storage, read_write> out: array<Result>;

var<workgroup> totals: array<Vector, WORKGROUP>; // [invocation]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let columns = WORKGROUP / params.lanes;
  let lane = (local / params.lane_step) % params.lanes;
  let column = select(local % columns, local / params.lanes, params.lane_step == 1u);
  let at = group.x + group.y * groups.x;
  let output = (at % params.blocks) * columns + column;
  let s = at / params.blocks;
  let o = output / params.inner;
  let i = output % params.inner;
  let first = s * params.chunk;
  let last = select(0u, min(first + params.chunk, params.reduced), output < params.outputs);

  var total = Vector(identity());
  for (var r = first + lane; r < last; r += params.lanes) {
    total = combine(total, input[(o * params.reduced + r) * params.inner + i]);
  }
  totals[local] = total;
  for (var step = params.lanes / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      totals[local] = combine(totals[local], totals[local + step * params.lane_step]);
    }
  }
  if (lane == 0u && output < params.outputs && s < params.chunks) {
    out[(o * params.chunks + s) * params.inner + i] = finish(totals[local]);
  }
}

// out[o] = input[(o − start) / step] where that is an index of the input on every axis, else 0.

alias Element = f32;
const RANK = 1u;
const WORKGROUP = 64u;

struct Params {
  size: u32,
  shape: array<vec4<u32>, 2>,
  input_shape: array<vec4<u32>, 2>,
  input_strides: array<vec4<u32>, 2>,
  starts: array<vec4<i32>, 2>,
  steps: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  var at = 0u;
  var rest = i;
  for (var k = RANK; k > 0u; k--) {
    let axis = k - 1u;
    let size = params.shape[axis / 4u][axis % 4u];
    let distance = i32(rest % size) - params.starts[axis / 4u][axis % 4u];
    rest /= size;
    let step = params.steps[axis / 4u][axis % 4u];
    let index = distance / step;
    if (index * step != distance || index < 0 || index >= i32(params.input_shape[axis / 4u][axis % 4u])) {
      out[i] = Element();
      return;
    }
    at += u32(index) * params.input_strides[axis / 4u][axis % 4u];
  }
  out[i] = input[at];
}

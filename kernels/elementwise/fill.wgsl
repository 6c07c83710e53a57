// out[0] = the element of these bits; larger tensors full of one number are views of it.

alias Out = f32;

struct Params {
  bits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Out>;

@compute @workgroup_size(1)
fn main() {
  out[0] = bitcast<Out>(params.bits);
}

// out[i] = f(a[i], b[i], c[i]), each input read through its own strides; inputs that f ignores are bound but not loaded.

alias A = f32;
alias B = f32;
alias C = f32;
alias Out = f32;
const ARITY = 1u;
const RANK = 1u;
const WORKGROUP = 64u;
fn f(a: A, b: B, c: C) -> Out { return a; }

struct Params {
  size: u32,
  s0: f32,
  s1: f32,
  offsets: vec4<u32>,
  shape: array<vec4<u32>, 2>,
  a_strides: array<vec4<i32>, 2>,
  b_strides: array<vec4<i32>, 2>,
  c_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read> c: array<C>;
@group(0) @binding(4) var<storage, read_write> out: array<Out>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.size) { return; }
  var at = vec3<i32>(params.offsets.xyz);
  var rest = i;
  for (var k = RANK; k > 0u; k--) {
    let axis = k - 1u;
    let size = params.shape[axis / 4u][axis % 4u];
    let index = i32(rest % size);
    rest /= size;
    at.x += index * params.a_strides[axis / 4u][axis % 4u];
    at.y += index * params.b_strides[axis / 4u][axis % 4u];
    at.z += index * params.c_strides[axis / 4u][axis % 4u];
  }
  var x = A();
  var y = B();
  var z = C();
  if (ARITY > 0u) { x = a[at.x]; }
  if (ARITY > 1u) { y = b[at.y]; }
  if (ARITY > 2u) { z = c[at.z]; }
  out[i] = f(x, y, z);
}

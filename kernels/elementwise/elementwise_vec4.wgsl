// out[i] = f(a[i], b[i], c[i]) for row-major inputs, four elements per thread; an input may also be one element for all i.

alias A = f32;
alias B = f32;
alias C = f32;
alias Out = f32;
const ARITY = 1u;
const A_IS_SCALAR = false;
const B_IS_SCALAR = false;
const C_IS_SCALAR = false;
const WORKGROUP = 64u;
fn f(a: A, b: B, c: C) -> Out { return a; }

struct Params {
  quads: u32,
  s0: f32,
  s1: f32,
  offsets: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<A>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<B>>;
@group(0) @binding(3) var<storage, read> c: array<vec4<C>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<Out>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i >= params.quads) { return; }
  let at = params.offsets / 4u;
  let lane = params.offsets % 4u;
  var x = vec4<A>();
  var y = vec4<B>();
  var z = vec4<C>();
  if (ARITY > 0u) { if (A_IS_SCALAR) { x = vec4<A>(a[at.x][lane.x]); } else { x = a[at.x + i]; } }
  if (ARITY > 1u) { if (B_IS_SCALAR) { y = vec4<B>(b[at.y][lane.y]); } else { y = b[at.y + i]; } }
  if (ARITY > 2u) { if (C_IS_SCALAR) { z = vec4<C>(c[at.z][lane.z]); } else { z = c[at.z + i]; } }
  out[i] = vec4<Out>(f(x.x, y.x, z.x), f(x.y, y.y, z.y), f(x.z, y.z, z.z), f(x.w, y.w, z.w));
}

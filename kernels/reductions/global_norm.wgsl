// out[first + w] = Σ (x², (FAR · x)²) over the CHUNK elements of workgroup w, or of the sums of a first pass; the last pass takes ‖x‖.

const WORKGROUP = 64u;
const CHUNK = 4096u;
const FAR = 8.271806125530277e-25; // 2⁻⁸⁰: the squares of what it is multiplied by never overflow
alias In = f32;
alias Out = vec2f;
fn term(x: In) -> vec2f { return vec2f(x * x, (FAR * x) * (FAR * x)); }
fn result(sums: vec2f) -> Out { return sums; }

struct Params {
  size: u32,
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<In>;
@group(0) @binding(2) var<storage, read_write> out: array<Out>;

var<workgroup> totals: array<vec2f, WORKGROUP>; // [invocation]

// The root of the first sum, or of the second one where the first is no number.
fn norm(sums: vec2f) -> f32 {
  let overflows = (bitcast<u32>(sums.x) & 0x7f800000u) == 0x7f800000u;
  return sqrt(select(sums.x, sums.y, overflows)) * select(1.0, 1.2089258196146292e24, overflows); // 1 / FAR
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let w = group.x + group.y * groups.x;
  let last = min((w + 1u) * CHUNK, params.size);
  var total = vec2f();
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
    out[params.first + w] = result(totals[0]);
  }
}

// larger(a, b) = max(a, b) and smaller(a, b) = min(a, b), NaN where a or b is; appended to kernels.

// By its bits: compilers may assume that there is none, and the built-in max and min drop it.
fn is_not_a_number(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn larger(a: f32, b: f32) -> f32 {
  return select(select(max(a, b), b, is_not_a_number(b)), a, is_not_a_number(a));
}

fn smaller(a: f32, b: f32) -> f32 {
  return select(select(min(a, b), b, is_not_a_number(b)), a, is_not_a_number(a));
}

fn are_not_numbers(x: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

fn larger4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return select(select(max(a, b), b, are_not_numbers(b)), a, are_not_numbers(a));
}

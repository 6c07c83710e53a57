// words_of(draw, quad) = Philox-4x32-10 (Salmon et al. 2011) of counter (quad, draw) and key: four words. With functions/mul_high.wgsl.

fn mul_high(a: u32, b: u32) -> u32 { return 0u; }

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high = vec2<u32>(mul_high(0xd2511f53u, c.x), mul_high(0xcd9e8d57u, c.z));
    let low = vec2<u32>(0xd2511f53u, 0xcd9e8d57u) * c.xz;
    c = vec4<u32>(high.y ^ c.y ^ k.x, low.y, high.x ^ c.w ^ k.y, low.x);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

/** A draw of a stream. */
struct Draw {
  key: vec2<u32>,
  draw: vec2<u32>, // its number, low and high half
}

fn words_of(drawn: Draw, quad: u32) -> vec4<u32> {
  return philox(vec4<u32>(quad, drawn.draw, 0u), drawn.key);
}

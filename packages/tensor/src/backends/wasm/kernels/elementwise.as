// out[i] = f(a[i], b[i], c[i]), four elements at once; operands that do not lie in a row are gathered into tiles first.
import { erf4, exp4, expm14, gelu4, log1p4, log4, logNdtr4, mulAdd, sigmoid4, silu4, sine4, splat, tanh4 } from "./functions";
import { copyVectors, fillVectors, scratch } from "./memory";
import { power4 } from "./power";

/** Elements that are gathered at a time, and bytes of a gathered tile, which is read in whole lines of 64. */
const TILE: i32 = 1024;
const TILE_BYTES: usize = 4 * 1024 + 64;

// The table `layout`: the rank, shape[8], then for each operand its kind and strides[8].
const AXES: usize = 8;
const OPERAND: usize = 4 * (1 + AXES);
const IN_ROWS: i32 = 0;
const SCALAR: i32 = 1;

// Functions are classes, so that a loop is compiled for each of them; nothing is ever allocated.
type V = v128;
@unmanaged class Add { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.add(a, b); } }
@unmanaged class Sub { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.sub(a, b); } }
@unmanaged class Mul { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.mul(a, b); } }
@unmanaged class Div { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.div(a, b); } }
@unmanaged class Affine { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.add(f32x4.mul(a, s), t); } }
@unmanaged class Lerp { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.add(f32x4.mul(a, s), f32x4.mul(b, t)); } }
@unmanaged class Maximum { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.max(a, b); } }
@unmanaged class Minimum { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.min(a, b); } }
@unmanaged class Clamp { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.pmin(f32x4.pmax(a, s), t); } }
@unmanaged class Equal { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(f32x4.eq(a, b), i32x4.splat(1)); } }
@unmanaged class Less { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(f32x4.lt(a, b), i32x4.splat(1)); } }
@unmanaged class LessEqual { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(f32x4.le(a, b), i32x4.splat(1)); } }
@unmanaged class Where { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.bitselect(c, b, i32x4.eq(a, i32x4.splat(0))); } }
@unmanaged class Copy { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return a; } }
@unmanaged class FromI32 { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.convert_i32x4_s(a); } }
@unmanaged class FromU32 { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.convert_i32x4_u(a); } }
@unmanaged class ToI32 { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return i32x4.trunc_sat_f32x4_s(a); } }
@unmanaged class ToU32 { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return i32x4.trunc_sat_f32x4_u(a); } }
@unmanaged class FloatToBool { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(f32x4.ne(a, splat(0)), i32x4.splat(1)); } }
@unmanaged class IntToBool { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(i32x4.ne(a, i32x4.splat(0)), i32x4.splat(1)); } }
@unmanaged class Square { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.mul(a, a); } }
@unmanaged class Abs { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.abs(a); } }
@unmanaged class Sign { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.or(v128.and(f32x4.ne(a, splat(0)), v128.or(splat(1), v128.and(a, i32x4.splat(0x80000000)))), v128.and(f32x4.ne(a, a), a)); } }
@unmanaged class Sqrt { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.sqrt(a); } }
@unmanaged class Rsqrt { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.div(splat(1), f32x4.sqrt(a)); } }
@unmanaged class Exp { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return exp4(a); } }
@unmanaged class Log { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return log4(a); } }
@unmanaged class Sin { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return sine4(a, 0); } }
@unmanaged class Cos { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return sine4(a, 1); } }
@unmanaged class Tanh { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return tanh4(a); } }
@unmanaged class Sigmoid { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return sigmoid4(a); } }
@unmanaged class Silu { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return silu4(a); } }
@unmanaged class Relu { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.pmax(a, splat(0)); } }
@unmanaged class Softplus { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.add(f32x4.pmax(a, splat(0)), log1p4(exp4(f32x4.neg(f32x4.abs(a))))); } }
@unmanaged class NotEqual { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(f32x4.ne(a, b), i32x4.splat(1)); } }
@unmanaged class NotEqualBits { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(i32x4.ne(a, b), i32x4.splat(1)); } }
@unmanaged class And { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(a, b); } }
@unmanaged class Or { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.or(a, b); } }
@unmanaged class Not { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.xor(a, i32x4.splat(1)); } }
@unmanaged class IsFinite { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(i32x4.lt_u(v128.and(a, i32x4.splat(0x7fffffff)), i32x4.splat(0x7f800000)), i32x4.splat(1)); } }
@unmanaged class Power { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return power4(a, b); } }
@unmanaged class PowerOf { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return power4(a, s); } }
@unmanaged class IsNaN { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return v128.and(i32x4.gt_u(v128.and(a, i32x4.splat(0x7fffffff)), i32x4.splat(0x7f800000)), i32x4.splat(1)); } }
@unmanaged class Floor { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.floor(a); } }
@unmanaged class Ceil { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.ceil(a); } }
@unmanaged class Round { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.nearest(a); } }
@unmanaged class Expm1 { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return expm14(a); } }
@unmanaged class Log1p { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return log1p4(a); } }
@unmanaged class Erf { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return erf4(a); } }
@unmanaged class LogNdtr { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return logNdtr4(a); } }
@unmanaged class Gelu { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return gelu4(a); } }
@unmanaged class GeluTanh { @inline apply(a: V, b: V, c: V, s: V, t: V): V { return f32x4.mul(a, sigmoid4(f32x4.mul(f32x4.mul(splat(1.5957691), a), mulAdd(f32x4.mul(splat(0.044715), a), a, splat(1))))); } }

/** Elements [begin, end); of the addresses a, b, c the first `arity` count. */
// @ts-ignore: decorator
@inline
function map<F>(
  arity: i32, begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize, c: usize,
): void {
  mapVectors<F>(1, arity, begin, end, out, layout, s, t, a, b, c);
}

/** The same for functions of many constants, which engines load anew in every turn: four vectors share them. */
// @ts-ignore: decorator
@inline
function mapFours<F>(
  arity: i32, begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize, c: usize,
): void {
  mapVectors<F>(4, arity, begin, end, out, layout, s, t, a, b, c);
}

/** With one or four vectors in a turn; the last turn may reach into the result's padding. */
// @ts-ignore: decorator
@inline
function mapVectors<F>(
  vectors: usize, arity: i32,
  begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize, c: usize,
): void {
  const sv = splat(s);
  const tv = splat(t);
  for (let i = begin; i < end; i += TILE) {
    const count = min(TILE, end - i);
    let x = operand(0, a, layout, i, count, i == begin);
    let y = arity > 1 ? operand(1, b, layout, i, count, i == begin) : x;
    let z = arity > 2 ? operand(2, c, layout, i, count, i == begin) : x;
    let to = out + (<usize>i << 2);
    const stop = to + (<usize>count << 2);
    while (to < stop) {
      vector<F>(arity, 0, to, x, y, z, sv, tv);
      if (vectors > 1) {
        vector<F>(arity, 16, to, x, y, z, sv, tv);
        vector<F>(arity, 32, to, x, y, z, sv, tv);
        vector<F>(arity, 48, to, x, y, z, sv, tv);
      }
      to += 16 * vectors;
      x += 16 * vectors;
      if (arity > 1) y += 16 * vectors;
      if (arity > 2) z += 16 * vectors;
    }
  }
}

// @ts-ignore: decorator
@inline
function vector<F>(arity: i32, at: usize, to: usize, x: usize, y: usize, z: usize, s: v128, t: v128): void {
  const a = v128.load(x + at);
  const b = arity > 1 ? v128.load(y + at) : a;
  const c = arity > 2 ? v128.load(z + at) : a;
  v128.store(to + at, changetype<F>(0).apply(a, b, c, s, t));
}

/** Where `count` elements of an operand from the i-th on lie in a row, gathered into a tile if need be. */
function operand(index: i32, address: usize, layout: usize, i: i32, count: i32, isFirst: bool): usize {
  const own = layout + OPERAND * <usize>(index + 1);
  const kind = load<i32>(own);
  if (kind == IN_ROWS) return address + (<usize>i << 2);
  const tile = scratch + TILE_BYTES * <usize>index;
  if (kind != SCALAR) gather(tile, address, layout, own + 4, i, count);
  else if (isFirst) fillVectors(tile, v128.load_splat<f32>(address), TILE);
  return tile;
}

/** Copies elements i … i + count − 1, counted row-major, of a strided operand. */
function gather(to: usize, address: usize, layout: usize, strides: usize, i: i32, count: i32): void {
  const rank = load<i32>(layout);
  const inner = rank - 1;
  const run = axis(layout + 4, inner);
  const step = axis(strides, inner);
  const stop = to + (<usize>count << 2);
  while (to < stop) {
    let rest = i / run;
    const column = i - rest * run;
    let at = column * step;
    for (let k = inner - 1; k >= 0; k--) {
      const size = axis(layout + 4, k);
      const next = rest / size;
      at += (rest - next * size) * axis(strides, k);
      rest = next;
    }
    const length = min(run - column, <i32>(stop - to) >> 2);
    const from = address + <usize>(at << 2);
    if (step == 1) copyVectors(to, from, length);
    else if (step == 0) fillVectors(to, v128.load_splat<f32>(from), length);
    else {
      let source = from;
      const end = to + (<usize>length << 2);
      const stride = <usize>(step << 2);
      for (let target = to; target < end; target += 4) {
        store<u32>(target, load<u32>(source));
        source += stride;
      }
    }
    i += length;
    to += <usize>length << 2;
  }
}

// @ts-ignore: decorator
@inline
function axis(table: usize, k: i32): i32 {
  return load<i32>(table + (<usize>k << 2));
}

export function add(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Add>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function sub(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Sub>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function mul(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Mul>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function div(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Div>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function affine(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Affine>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function lerp(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Lerp>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function maximum(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Maximum>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function minimum(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Minimum>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function clamp(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Clamp>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function equal(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Equal>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function less(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Less>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function less_equal(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<LessEqual>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function where(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize, c: usize): void {
  map<Where>(3, begin, end, out, layout, s, t, a, b, c);
}
export function copy(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Copy>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_i32_f32(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<FromI32>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_u32_f32(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<FromU32>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_f32_i32(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<ToI32>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_f32_u32(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<ToU32>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_f32_bool(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<FloatToBool>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cast_i32_bool(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<IntToBool>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function square(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Square>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function abs(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Abs>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function sign(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Sign>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function sqrt(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Sqrt>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function rsqrt(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Rsqrt>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function exp(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  mapFours<Exp>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function log(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Log>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function sin(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Sin>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function cos(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Cos>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function tanh(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  mapFours<Tanh>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function sigmoid(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  mapFours<Sigmoid>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function silu(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  mapFours<Silu>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function relu(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Relu>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function softplus(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Softplus>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function not_equal(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<NotEqual>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function not_equal_bits(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<NotEqualBits>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function logical_and(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<And>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function logical_or(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Or>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function logical_not(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Not>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function is_finite(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<IsFinite>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function is_nan(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<IsNaN>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function floor(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Floor>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function ceil(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Ceil>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function round(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Round>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function expm1(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Expm1>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function log1p(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Log1p>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function erf(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Erf>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function log_ndtr(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<LogNdtr>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function gelu(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<Gelu>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function gelu_tanh(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<GeluTanh>(1, begin, end, out, layout, s, t, a, 0, 0);
}
export function power(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize, b: usize): void {
  map<Power>(2, begin, end, out, layout, s, t, a, b, 0);
}
export function power_of(begin: i32, end: i32, out: usize, layout: usize, s: f32, t: f32, a: usize): void {
  map<PowerOf>(1, begin, end, out, layout, s, t, a, 0, 0);
}

// Copies of whole rows between tensors, and zeros.
import { element } from "./memory";
import { at } from "./matmul";

/** One element. */
export function fill_f32(_begin: i32, _end: i32, out: usize, value: f32): void {
  store<f32>(out, value);
}

export function fill_i32(_begin: i32, _end: i32, out: usize, value: i32): void {
  store<i32>(out, value);
}

/** Elements [begin, end). */
export function zero(begin: i32, end: i32, out: usize): void {
  memory.fill(element(out, begin), 0, <usize>(end - begin) << 2);
}

/** out[r · row + start + j] = x[r · piece + j] for rows r in [begin, end): one input's share of a concatenation. */
export function concat(begin: i32, end: i32, out: usize, x: usize, piece: i32, row: i32, start: i32): void {
  for (let r = begin; r < end; r++) {
    memory.copy(element(out, r * row + start), element(x, r * piece), <usize>piece << 2);
  }
}

// The table of unslice: the rank of the rows' index, its shape[8] and strides[8] in out.
const RANK: i32 = 0;
const SHAPE: i32 = 1;
const STRIDES: i32 = 9;

/** Rows [begin, end) of x, of `length` elements, each to its place in out, `step` elements apart there. */
export function unslice(begin: i32, end: i32, out: usize, table: usize, x: usize, start: i32, length: i32, step: i32): void {
  for (let r = begin; r < end; r++) {
    let place = start;
    let rest = r;
    for (let axis = at(table, RANK) - 1; axis >= 0; axis--) {
      const size = at(table, SHAPE + axis);
      const next = rest / size;
      place += (rest - next * size) * at(table, STRIDES + axis);
      rest = next;
    }
    let from = element(x, r * length);
    let to = element(out, place);
    if (step == 1) {
      memory.copy(to, from, <usize>length << 2);
      continue;
    }
    for (let j = 0; j < length; j++) {
      store<u32>(to, load<u32>(from));
      to += <usize>(step << 2);
      from += 4;
    }
  }
}

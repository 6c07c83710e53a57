// A map from sequences of numbers to values, for lookups that would otherwise build a string of the numbers each time.

/**
 * What to look up is written first: `begin`, then `add` each number. Then `get`, and `set` where that found nothing.
 * Numbers are compared as Object.is does, so that −0 is not 0.
 */
export class NumberMap<Value> {
  /** All sequences, each after its length; after them the one to look up, which so need not be copied when it is kept. */
  private numbers = new Float64Array(1024);
  /** Where the sequences end. */
  private kept = 1;
  /** Where the one to look up ends. */
  private end = 0;
  private hash = 0;
  /** Open addressing: where a sequence begins, or 0, and its value. A sequence is in the first free place from its hash on. */
  private readonly places: Int32Array;
  private readonly values: (Value | undefined)[];
  private readonly most: number;
  private count = 0;

  /** @param most a power of two, the number of values that it holds: with one more, all others are forgotten */
  constructor(most: number) {
    this.most = most;
    this.places = new Int32Array(2 * most);
    this.values = new Array(2 * most).fill(undefined);
  }

  /** Begins a sequence to look up. */
  begin(): void {
    if (this.kept === this.numbers.length) this.grow(); // for the length
    this.end = this.kept + 1;
    this.hash = 0;
  }

  add(number: number): void {
    if (this.end === this.numbers.length) this.grow();
    this.numbers[this.end++] = number;
    const mixed = Math.imul(this.hash ^ (number === (number | 0) ? number : wordOf(number)), 0x9e3779b1);
    this.hash = mixed ^ (mixed >>> 15);
  }

  get(): Value | undefined {
    return this.values[this.find()];
  }

  set(value: Value): void {
    if (this.count === this.most) {
      this.numbers.copyWithin(1, this.kept, this.end);
      this.end -= this.kept - 1;
      this.clear();
    }
    const place = this.find();
    this.places[place] = this.kept;
    this.values[place] = value;
    this.numbers[this.kept] = this.end - this.kept - 1;
    this.kept = this.end;
    this.count++;
  }

  clear(): void {
    this.places.fill(0);
    this.values.fill(undefined);
    this.kept = 1;
    this.count = 0;
  }

  /** The place of the sequence to look up: where it is, or where it belongs. */
  private find(): number {
    const { numbers, places, kept } = this;
    const length = this.end - kept - 1;
    const mask = places.length - 1;
    let place = this.hash & mask;
    for (let at = places[place]; at !== 0; at = places[place]) {
      if (numbers[at] === length) {
        let k = 1;
        while (k <= length && Object.is(numbers[at + k], numbers[kept + k])) k++;
        if (k > length) break;
      }
      place = (place + 1) & mask;
    }
    return place;
  }

  private grow(): void {
    const { numbers } = this;
    this.numbers = new Float64Array(2 * numbers.length);
    this.numbers.set(numbers);
  }
}

const double = new Float64Array(1);
const words = new Int32Array(double.buffer);

/** The bits of a number that is no 32-bit integer, as one. */
function wordOf(number: number): number {
  double[0] = number;
  return words[0] ^ words[1];
}

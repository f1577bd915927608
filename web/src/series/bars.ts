/** Rows of one series by time, in typed arrays: a window of at most `limit` bars. */

export type Numbers = readonly number[];

/** [time_ms, value of each column]; NaN where there is no value. */
export type BarRow = readonly number[];

const SLACK = 1024;

export class Bars {
  readonly columns: readonly string[];
  private readonly limit: number;
  private times: Float64Array;
  private values: Float64Array[];
  private first = 0;
  length = 0;
  /** Counts changes that are more than bars after the last one. */
  shape = 0;

  constructor(columns: readonly string[], limit = 6000) {
    this.columns = columns;
    this.limit = limit;
    this.times = new Float64Array(limit + SLACK);
    this.values = columns.map(() => new Float64Array(limit + SLACK));
  }

  time(index: number): number {
    return this.times[this.first + index] ?? Number.NaN;
  }

  value(column: number, index: number): number {
    return this.values[column]?.[this.first + index] ?? Number.NaN;
  }

  get first_ms(): number | null {
    return this.length > 0 ? this.time(0) : null;
  }

  get last_ms(): number | null {
    return this.length > 0 ? this.time(this.length - 1) : null;
  }

  /** Index of the first bar at or after a time; `length` if there is none. */
  lower_bound(time_ms: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(middle) < time_ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  index_of(time_ms: number): number {
    const index = this.lower_bound(time_ms);
    return index < this.length && this.time(index) === time_ms ? index : -1;
  }

  row(index: number): number[] {
    return [this.time(index), ...this.columns.map((_, column) => this.value(column, index))];
  }

  clear(): void {
    this.first = this.length = 0;
    this.shape += 1;
  }

  /** Insert or replace by time; beyond the limit the oldest bars go. */
  upsert(rows: Iterable<BarRow>): void {
    for (const row of rows) this.put(row);
    if (this.length > this.limit) {
      this.first += this.length - this.limit;
      this.length = this.limit;
    }
  }

  /** Insert or replace older bars by time; beyond the limit the newest go. True if some went. */
  upsert_older(page: readonly BarRow[]): boolean {
    const merged = new Map<number, BarRow>();
    for (const row of page) merged.set(row[0] as number, row);
    for (let index = 0; index < this.length; index++) {
      const time_ms = this.time(index);
      if (!merged.has(time_ms)) merged.set(time_ms, this.row(index));
    }
    const rows = [...merged.values()].sort((a, b) => (a[0] as number) - (b[0] as number));
    this.clear();
    for (const row of rows.slice(0, this.limit)) this.put(row);
    return rows.length > this.limit;
  }

  private put(row: BarRow): void {
    const time_ms = row[0] as number;
    let index = this.length;
    if (this.length > 0 && time_ms <= this.time(this.length - 1)) {
      index = this.lower_bound(time_ms);
      if (this.time(index) !== time_ms) this.make_room(index);
      else if (this.same(index, row)) return;
      else this.shape += 1;
    } else {
      this.grow();
      this.length += 1;
    }
    const place = this.first + index;
    this.times[place] = time_ms;
    for (const [column, values] of this.values.entries()) values[place] = row[column + 1] ?? Number.NaN;
  }

  private same(index: number, row: BarRow): boolean {
    return this.values.every((values, column) =>
      Object.is(values[this.first + index], row[column + 1] ?? Number.NaN),
    );
  }

  private make_room(index: number): void {
    this.grow();
    for (const array of [this.times, ...this.values]) {
      array.copyWithin(this.first + index + 1, this.first + index, this.first + this.length);
    }
    this.length += 1;
    this.shape += 1;
  }

  /** One more place at the end: what was trimmed at the front makes room, or the arrays get larger. */
  private grow(): void {
    if (this.first + this.length < this.times.length) return;
    const larger = this.first === 0 ? this.times.length * 2 : this.times.length;
    const moved = (array: Float64Array): Float64Array => {
      const to = new Float64Array(larger);
      to.set(array.subarray(this.first, this.first + this.length));
      return to;
    };
    this.times = moved(this.times);
    this.values = this.values.map(moved);
    this.first = 0;
  }
}

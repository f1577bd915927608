/** Open bars: shown until the closed bar of their time has come. */

export class Provisional {
  /** By time, ascending; nearly always one. */
  private bars: number[][] = [];

  clear(): void {
    this.bars = [];
  }

  /** A newer state of an open bar; `closed_ms` is the time of the newest closed bar. */
  receive(row: number[], closed_ms: number | null): void {
    const time_ms = row[0] as number;
    if (closed_ms !== null && time_ms <= closed_ms) return;
    this.bars = [...this.bars.filter((each) => each[0] !== time_ms), row]
      .sort((a, b) => (a[0] as number) - (b[0] as number))
      .slice(-5); // closed bars that never come become a gap
  }

  closed(closed_ms: number | null): void {
    if (closed_ms !== null) this.bars = this.bars.filter((each) => (each[0] as number) > closed_ms);
  }

  all(): readonly number[][] {
    return this.bars;
  }

  get newest(): number[] | undefined {
    return this.bars.at(-1);
  }

  at(time_ms: number): number[] | undefined {
    return this.bars.find((each) => each[0] === time_ms);
  }
}

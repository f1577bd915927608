/** How far the server's clock is ahead of ours, from exchanges of {"time"}. */

interface Sample {
  offset_ms: number;
  round_trip_ms: number;
}

const KEPT = 8;

export class ClockOffset {
  private samples: Sample[] = [];
  answers = 0;

  /** An answer: what we sent at `sent_ms` (our clock) came back at `now_ms` with the server's time. */
  answered(sent_ms: number, server_time_ms: number, now_ms: number): void {
    this.answers += 1;
    const round_trip_ms = now_ms - sent_ms;
    if (round_trip_ms < 0) return; // our clock was set back in between
    // The quickest answers are the least delayed, so of the last few the quickest counts.
    this.samples = [
      ...this.samples,
      { offset_ms: server_time_ms + round_trip_ms / 2 - now_ms, round_trip_ms },
    ].slice(-KEPT);
  }

  private best(): Sample | null {
    return this.samples.reduce<Sample | null>(
      (best, each) => (best === null || each.round_trip_ms < best.round_trip_ms ? each : best),
      null,
    );
  }

  /** Server's clock minus ours; null until one answer came. */
  get offset_ms(): number | null {
    return this.best()?.offset_ms ?? null;
  }

  /** The offset is right within half of this. */
  get round_trip_ms(): number | null {
    return this.best()?.round_trip_ms ?? null;
  }
}

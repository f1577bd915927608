/** One loop for all that moves: what has changed is painted once a screen refresh, then acknowledged. */

import { Samples } from "@/stream/quantiles";

export interface PaintEnvironment {
  /** Calls back before the next screen refresh; never in a hidden tab. */
  next_refresh(callback: () => void): void;
  /** Calls back after what was drawn has been put on the screen. */
  after_refresh(callback: () => void): void;
  now_ms(): number;
  /** A painter failed. */
  report(error: unknown): void;
}

export class PaintLoop {
  private readonly charts = new Set<() => void>();
  private readonly painters = new Set<() => void>();
  private scheduled = false;
  ondone: () => void = () => {};
  /** How long charts took to take their values, and the rest to be written, ms. */
  readonly chart_ms = new Samples();
  readonly rest_ms = new Samples();

  constructor(private readonly environment: PaintEnvironment) {}

  /**
   * Charts draw in a refresh callback of their own, which they ask for when they get new values. They get them at
   * once, so that it is the coming refresh and not the one after. Credits bound how often that is.
   */
  add_chart(paint: () => void): () => void {
    this.charts.add(paint);
    return () => this.charts.delete(paint);
  }

  add(paint: () => void): () => void {
    this.painters.add(paint);
    return () => this.painters.delete(paint);
  }

  request(): void {
    this.timed(this.charts, this.chart_ms);
    if (this.scheduled) return;
    this.scheduled = true;
    this.environment.next_refresh(() => {
      this.scheduled = false;
      this.timed(this.painters, this.rest_ms);
      this.environment.after_refresh(() => this.ondone());
    });
  }

  private timed(painters: ReadonlySet<() => void>, samples: Samples): void {
    const began_ms = this.environment.now_ms();
    for (const paint of painters) {
      try {
        paint();
      } catch (error) {
        // One that fails must not hold up the others, nor the acknowledgement that keeps data coming.
        this.environment.report(error);
      }
    }
    samples.add(this.environment.now_ms() - began_ms);
  }
}

/** A message posted in a refresh callback is delivered after that refresh. */
export function browser_environment(): PaintEnvironment {
  return {
    now_ms: () => performance.now(),
    report: (error) => reportError(error),
    next_refresh: (callback) => requestAnimationFrame(callback),
    after_refresh: (callback) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        channel.port1.close();
        callback();
      };
      channel.port2.postMessage(null);
    },
  };
}

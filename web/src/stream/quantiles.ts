/** Quantiles of the newest samples. */

export interface Quantiles {
  p50: number;
  p95: number;
  p99: number;
  count: number;
}

export class Samples {
  private readonly ring: Float64Array;
  private next = 0;
  private count = 0;

  constructor(size = 1000) {
    this.ring = new Float64Array(size);
  }

  add(value: number): void {
    this.ring[this.next] = value;
    this.next = (this.next + 1) % this.ring.length;
    this.count = Math.min(this.count + 1, this.ring.length);
  }

  clear(): void {
    this.next = this.count = 0;
  }

  /** Null while there is no sample. */
  quantiles(): Quantiles | null {
    if (this.count === 0) return null;
    const sorted = this.ring.slice(0, this.count).sort();
    const at = (share: number) => sorted[Math.min(this.count - 1, Math.floor(share * this.count))] as number;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), count: this.count };
  }
}

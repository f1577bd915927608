/** Decimals of prices, as the prices themselves have them. */

const MOST = 10;

export function decimals_of(value: number): number {
  if (!Number.isFinite(value)) return 0;
  const text = String(value);
  const exponent = /e-(\d+)$/.exec(text);
  const fraction = /\.(\d+)/.exec(text)?.[1]?.length ?? 0;
  return Math.min(MOST, fraction + (exponent ? Number(exponent[1]) : 0));
}

/** The most decimals that were seen: a price never shows fewer than the market's tick. */
export class Decimals {
  count = 0;

  see(...values: number[]): void {
    for (const value of values) this.count = Math.max(this.count, decimals_of(value));
  }

  text(value: number): string {
    return Number.isFinite(value) ? value.toFixed(this.count) : "–";
  }
}

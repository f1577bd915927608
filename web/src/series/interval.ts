const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Length of bars of an interval; null for months, which have none. */
export function interval_ms(interval: string): number | null {
  const found = /^(\d+)([smhdw])$/.exec(interval);
  if (found === null) return null;
  return Number(found[1]) * (UNITS[found[2] as string] as number);
}

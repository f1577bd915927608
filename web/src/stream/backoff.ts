export const FIRST_MS = 500;
export const MOST_MS = 10_000;

/** Wait before attempt number `attempt` (from 0): doubled each time, and spread so that clients do not come at once. */
export function backoff_ms(attempt: number, random: number): number {
  const full = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.max(FIRST_MS, full * (0.5 + random / 2));
}

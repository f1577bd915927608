/** Numbers as people read them. */

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Math.abs(value) < 1000) return `${Math.round(value)} ms`;
  return duration(value);
}

export function duration(ms: number): string {
  const s = Math.floor(Math.abs(ms) / 1000);
  if (s < 10) return `${(Math.abs(ms) / 1000).toFixed(1)} s`;
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? "unknown"
    : Math.round(value).toLocaleString("en");
}

const pad = (value: number, width = 2) => String(value).padStart(width, "0");

/** UTC, `2026-11-29 16:30:00`. */
export function utc(ms: number): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "–";
  return `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())} ${utc_clock(ms)}`;
}

export function utc_clock(ms: number): string {
  const at = new Date(ms);
  return `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
}

/** Shortened: 12,345,678 → 12.35M. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format(value);
}

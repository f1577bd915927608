/** What the page shows, as its address says it. */

export type Theme = "system" | "dark" | "light";

export interface View {
  exchange: string | null;
  symbol: string | null;
  interval: string;
  indicators: readonly string[];
  table: boolean;
  theme: Theme;
  /** `exchange:symbol` of each instrument of Compare. */
  compare: readonly string[];
}

export const FIRST_VIEW: View = {
  exchange: null,
  symbol: null,
  interval: "1m",
  indicators: ["momentum_rsi"],
  table: false,
  theme: "system",
  compare: [],
};

const list = (text: string) => text.split(",").filter((each) => each !== "");

export function read_view(query: string): View {
  const given = new URLSearchParams(query);
  const [exchange, symbol] = split_instrument(given.get("symbol") ?? "");
  const theme = given.get("theme");
  return {
    exchange,
    symbol,
    interval: given.get("interval") ?? FIRST_VIEW.interval,
    indicators: given.has("indicators") ? list(given.get("indicators") ?? "") : FIRST_VIEW.indicators,
    table: given.get("view") === "table",
    theme: theme === "dark" || theme === "light" ? theme : "system",
    compare: list(given.get("compare") ?? ""),
  };
}

export function write_view(view: View): string {
  const parts: [string, string][] = [];
  if (view.symbol !== null) parts.push(["symbol", `${view.exchange ?? ""}:${view.symbol}`]);
  if (view.interval !== FIRST_VIEW.interval) parts.push(["interval", view.interval]);
  if (view.indicators.join() !== FIRST_VIEW.indicators.join())
    parts.push(["indicators", view.indicators.join()]);
  if (view.table) parts.push(["view", "table"]);
  if (view.compare.length > 0) parts.push(["compare", view.compare.join()]);
  if (view.theme !== "system") parts.push(["theme", view.theme]);
  // Colons and commas may stand in a query as they are, and are easier to read so.
  return parts
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%3A/g, ":").replace(/%2C/g, ",")}`)
    .join("&");
}

/** `binance:BTCUSDC` → its parts; a symbol may have colons of its own. */
export function split_instrument(text: string): [exchange: string | null, symbol: string | null] {
  const colon = text.indexOf(":");
  if (colon < 0) return [null, text || null];
  return [text.slice(0, colon) || null, text.slice(colon + 1) || null];
}

interface Named {
  readonly exchange: string;
  readonly symbol: string;
  /** Newest bar stored; null if there is none. */
  readonly newest_ms?: number | null;
}

/**
 * The instrument that an address means: without a symbol the first one of which something is stored, else the
 * first; without an exchange the first of that name.
 */
export function meant<Known extends Named>(
  { exchange, symbol }: Pick<View, "exchange" | "symbol">,
  known: readonly Known[],
): Known | undefined {
  if (symbol === null) return known.find(({ newest_ms }) => (newest_ms ?? null) !== null) ?? known[0];
  // Names are read as over HTTP: `btcusdc` is BTCUSDC.
  const is = (name: string, given: string) => name.toLowerCase() === given.toLowerCase();
  return known.find((each) => is(each.symbol, symbol) && (exchange === null || is(each.exchange, exchange)));
}

const USUAL_INTERVALS = ["1s", "1m", "15m", "1h", "1d"];

/** Intervals that the instruments have, each once; the usual ones while none is known. */
export function intervals_of(known: readonly { readonly intervals: readonly string[] }[]): readonly string[] {
  const all = new Set(known.flatMap(({ intervals }) => intervals));
  return all.size > 0 ? [...all] : USUAL_INTERVALS;
}

/** The interval to begin with: the usual one has no bars where `INTERVALS` does not name it. */
export function first_interval(interval: string, intervals: readonly string[]): string {
  const [first = interval] = intervals;
  return interval === FIRST_VIEW.interval && !intervals.includes(interval) ? first : interval;
}

/** What to say of an address that names an instrument which is not known; null while none is known yet. */
export function unknown_instrument(
  view: Pick<View, "exchange" | "symbol">,
  known: readonly Named[],
): string | null {
  if (known.length === 0 || view.symbol === null || meant(view, known) !== undefined) return null;
  return `${view.symbol}: no such instrument here; choose one from the list above`;
}

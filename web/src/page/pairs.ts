/** Instruments of several exchanges that have the same base and quote. */

interface Listed {
  readonly exchange: string;
  readonly symbol: string;
  readonly base: string | null;
  readonly quote: string | null;
}

/** Tokens that exchanges quote in place of the dollar. */
const DOLLARS = new Set(["USDC", "USDT", "FDUSD"]);

/** The same for `BTCUSDC`, `BTC/USD` and `BTC-USD`; null where the name does not show base and quote. */
export function pair_of({ base, quote }: Pick<Listed, "base" | "quote">): string | null {
  if (base === null || quote === null) return null;
  return `${base}/${DOLLARS.has(quote) ? "USD" : quote}`;
}

/** The same instruments; those of one pair stand together, where the first of them stood. */
export function side_by_side<Known extends Listed>(known: readonly Known[]): Known[] {
  const groups = new Map<string, Known[]>();
  for (const each of known) {
    const name = pair_of(each) ?? `${each.exchange}:${each.symbol}`;
    groups.set(name, [...(groups.get(name) ?? []), each]);
  }
  return [...groups.values()].flat();
}

/** What to compare where nothing was chosen: the shown one with those of its pair elsewhere, else the first ones. */
export function compared_first<Known extends Listed>(
  known: readonly Known[],
  shown: { readonly exchange: string | null; readonly symbol: string | null },
  most: number,
): Known[] {
  const ordered = side_by_side(known);
  const current = known.find(
    ({ exchange, symbol }) => exchange === shown.exchange && symbol === shown.symbol,
  );
  const pair = current === undefined ? null : pair_of(current);
  const same = pair === null ? [] : ordered.filter((each) => pair_of(each) === pair);
  return (same.length > 1 ? same : ordered).slice(0, most);
}

/** What people call an instrument: its symbol, with the exchange where there are several. */
export function label_of(name: string, known: readonly Pick<Listed, "exchange">[]): string {
  const colon = name.indexOf(":");
  const symbol = name.slice(colon + 1);
  const several = new Set(known.map(({ exchange }) => exchange)).size > 1;
  return several && colon > 0 ? `${symbol} · ${name.slice(0, colon)}` : symbol;
}

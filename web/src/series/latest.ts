/** The newest row of each identity, as objects by column name. */

import type { Cell, Row } from "@/stream/wire";

export type Named = Record<string, Cell>;

export class Latest {
  private readonly by_identity = new Map<string, Named>();
  version = 0;

  /** `identity`: columns that make it; with `time_ms` among them every time is kept, up to `limit` rows. */
  constructor(
    private readonly identity: readonly string[],
    private readonly limit = 20_000,
  ) {}

  clear(): void {
    this.by_identity.clear();
    this.version += 1;
  }

  upsert(columns: readonly string[], rows: readonly Row[]): void {
    this.version += 1;
    for (const row of rows) {
      const named: Named = {};
      for (const [index, name] of columns.entries()) named[name] = row[index] ?? null;
      const key = JSON.stringify(this.identity.map((name) => named[name] ?? null));
      const known = this.by_identity.get(key);
      if (known !== undefined && Number(known.time_ms) > Number(named.time_ms)) continue;
      this.by_identity.set(key, named);
    }
    for (const key of this.by_identity.keys()) {
      if (this.by_identity.size <= this.limit) break;
      this.by_identity.delete(key);
    }
  }

  rows(): Named[] {
    return [...this.by_identity.values()];
  }
}

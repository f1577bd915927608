/** Rows of the stream → the market's series. */

import type { Bars } from "@/series/bars";
import type { Decimals } from "@/series/decimals";
import type { BookHistory } from "@/series/heat";
import { RowReader } from "@/series/reader";
import type { Tape } from "@/series/tape";
import type { Sink } from "@/stream/subscription";
import type { Gap, Level } from "@/stream/wire";

export interface QuoteRow {
  time_ms: number;
  bid_price: number;
  bid_quantity: number;
  ask_price: number;
  ask_quantity: number;
}

/** Rows as numbers in the order of `wanted`. */
function numbers_sink(
  wanted: readonly string[],
  take: (rows: number[][]) => void,
  restart: () => void,
): Sink {
  let reader = new RowReader([], wanted);
  return {
    subscribed: (columns) => {
      reader = new RowReader(columns, wanted);
    },
    rows: (rows) => take(reader.read(rows)),
    restart,
  };
}

/** `came` sees rows before they are put in, and may leave some out by giving back others. */
export function bars_sink(
  bars: Bars,
  // biome-ignore lint/suspicious/noConfusingVoidType: most have nothing to leave out
  came: (rows: number[][]) => readonly number[][] | void,
  gaps?: (gaps: readonly Gap[]) => void,
): Sink {
  const take = (rows: number[][]) => bars.upsert(came(rows) ?? rows);
  return { ...numbers_sink(bars.columns, take, () => bars.clear()), gaps };
}

/** Each row of an open bar, or of its indicators. */
export function open_sink(wanted: readonly string[], came: (row: number[]) => void): Sink {
  return numbers_sink(
    wanted,
    (rows) => {
      for (const row of rows) came(row);
    },
    () => {},
  );
}

export function trades_sink(tape: Tape, seen: { decimals: Decimals; quantity_decimals: Decimals }): Sink {
  const take = (rows: number[][]) => {
    tape.upsert(
      rows.map(([time_ms = 0, trade_id = 0, price = Number.NaN, quantity = Number.NaN, maker = 0]) => {
        seen.decimals.see(price);
        seen.quantity_decimals.see(quantity);
        return { time_ms, trade_id, price, quantity, buyer_is_maker: maker === 1 };
      }),
    );
  };
  return numbers_sink(["trade_id", "price", "quantity", "buyer_is_maker"], take, () => tape.clear());
}

export function quote_sink(came: (quote: QuoteRow) => void): Sink {
  const take = (rows: number[][]) => {
    for (const [time_ms = 0, bid_price = 0, bid_quantity = 0, ask_price = 0, ask_quantity = 0] of rows) {
      came({ time_ms, bid_price, bid_quantity, ask_price, ask_quantity });
    }
  };
  return numbers_sink(["bid_price", "bid_quantity", "ask_price", "ask_quantity"], take, () => {});
}

/** A row whose book is not in step has no levels: nothing of it is shown as if it were true. */
export function book_sink(book: BookHistory): Sink {
  let at: number[] = [];
  return {
    subscribed: (columns) => {
      at = ["time_ms", "update_id", "synced", "bids", "asks"].map((name) => columns.indexOf(name));
    },
    rows: (rows) => {
      for (const row of rows) {
        const [time_ms, update_id, synced, bids, asks] = at.map((position) => row[position] ?? null);
        book.add({
          time_ms: Number(time_ms),
          update_id: Number(update_id),
          synced: synced === true,
          bids: synced === true ? ((bids ?? []) as Level[]) : [],
          asks: synced === true ? ((asks ?? []) as Level[]) : [],
        });
      }
    },
    restart: () => book.clear(),
  };
}

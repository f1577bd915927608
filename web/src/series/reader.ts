/** Rows of the wire or of HTTP → rows of numbers in the order that `Bars` has. */

import { number_of, positions } from "@/stream/subscription";
import type { Row } from "@/stream/wire";

export class RowReader {
  private readonly at: number[];

  constructor(given: readonly string[], wanted: readonly string[]) {
    this.at = positions(given, ["time_ms", ...wanted]);
  }

  read(rows: readonly Row[]): number[][] {
    return rows.map((row) => this.at.map((position) => number_of(row[position])));
  }
}

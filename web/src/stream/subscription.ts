import type { Cell, Delivery, Gap, Row, StateName, Wish } from "./wire";

/** Who takes the rows of a subscription. */
export interface Sink {
  /** Comes before the first rows, and again after each reconnect. */
  subscribed(columns: readonly string[], types: readonly string[]): void;
  rows(rows: readonly Row[]): void;
  /** Forget all rows: a snapshot follows. */
  restart(reason: string): void;
  gaps?(gaps: readonly Gap[]): void;
  refused?(detail: string): void;
}

/** A subscription to be. */
export interface Wanted {
  wish: Wish;
  sink: Sink;
}

/** What the page knows of one subscription. */
export interface Subscription {
  readonly id: number;
  readonly wish: Wish;
  readonly sink: Sink;
  columns: readonly string[] | null;
  delivery: Delivery | null;
  cursor: string | null;
  state: StateName | null;
  since_ms: number | null;
  cause: string;
  skipped: number;
  restarts: number;
  /** Server time of the newest frame with rows of this subscription, and their age then. */
  newest_ms: number | null;
  error: string | null;
}

export function new_subscription(id: number, wish: Wish, sink: Sink): Subscription {
  return {
    id,
    wish,
    sink,
    columns: null,
    delivery: null,
    cursor: null,
    state: null,
    since_ms: null,
    cause: "",
    skipped: 0,
    restarts: 0,
    newest_ms: null,
    error: null,
  };
}

/** What is sent for it: from the cursor on, once there is one. */
export function request_of(each: Subscription): Record<string, unknown> {
  const request: Record<string, unknown> = { id: each.id, ...each.wish };
  if (each.cursor !== null) {
    delete request.last;
    request.since = each.cursor;
  }
  return request;
}

/** Position of each wanted column in the rows; -1 where it is not among them. */
export function positions(columns: readonly string[], wanted: readonly string[]): number[] {
  return wanted.map((name) => columns.indexOf(name));
}

export function number_of(cell: Cell | undefined): number {
  if (typeof cell === "number") return cell;
  if (typeof cell === "boolean") return cell ? 1 : 0;
  return Number.NaN;
}

/** Messages of the sub-protocol `cryptostream.v1`, as they are on the wire. */

import type { SeriesKind } from "@/api/types";

export type Level = [price: number, quantity: number];
export type Cell = number | string | boolean | null | Level[];
export type Row = Cell[];
/** [from_ms, to_ms) and why nothing is there. */
export type Gap = [from_ms: number, to_ms: number, cause: string];
export type Delivery = "exact" | "tape" | "latest";
export type StateName = "live" | "filling" | "stale" | "away" | "unsynced";

export interface Wish {
  series: SeriesKind;
  exchange?: string;
  symbol?: string;
  interval?: string;
  last?: number;
  columns?: string[];
}

export interface Subscribed {
  id: number;
  columns: string[];
  types: string[];
  class: Delivery;
  gaps?: Gap[];
  cursor?: string;
}

export interface Frame {
  frame: number;
  server_time_ms: number;
  rows?: [number, Row[]][];
  ages?: Record<string, number>;
  /** Subscriptions with rows that did not just come (a snapshot, or read again): their age says nothing of the way. */
  past?: number[];
  skipped?: Record<string, number>;
  state?: [number, StateName, number?, string?][];
  gaps?: [number, number, number, string][];
  cursor?: Record<string, string>;
}

export interface Refusal {
  id: number | null;
  title: string;
  detail: string;
}

export type ServerMessage =
  | { subscribed: Subscribed }
  | { error: Refusal }
  | Frame
  | { restart: number; reason: string; cursor?: string }
  | { time: number; server_time_ms: number };

export const PROTOCOL = "cryptostream.v1";

/** Sub-protocols of a connection; the token travels as one, since a browser sets no header here. */
export function protocols(token: string | null): string[] {
  if (token === null) return [PROTOCOL];
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(String.fromCharCode(...bytes));
  const base64url = base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return [PROTOCOL, `bearer.${base64url}`];
}

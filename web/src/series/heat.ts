/** The newest states of a book by second, for the heat map. */

import type { Level } from "@/stream/wire";

export interface BookState {
  time_ms: number;
  update_id: number;
  synced: boolean;
  bids: Level[];
  asks: Level[];
}

export class BookHistory {
  private states: BookState[] = [];
  version = 0;

  constructor(private readonly limit = 600) {}

  clear(): void {
    this.states = [];
    this.version += 1;
  }

  /** One state a second is kept, the newest of it. */
  add(state: BookState): void {
    this.version += 1;
    const index = this.states.findLastIndex((each) => second(each) <= second(state));
    const known = this.states[index];
    if (known !== undefined && second(known) === second(state)) {
      if (known.time_ms <= state.time_ms) this.states[index] = state;
    } else {
      this.states.splice(index + 1, 0, state);
    }
    if (this.states.length > this.limit) this.states.shift();
  }

  get newest(): BookState | undefined {
    return this.states.at(-1);
  }

  all(): readonly BookState[] {
    return this.states;
  }
}

function second(state: BookState): number {
  return Math.floor(state.time_ms / 1000);
}

/** Share of bids in the quantity of both sides, from −1 (asks only) to 1 (bids only); null without any. */
export function imbalance(state: BookState): number | null {
  const sum = (levels: Level[]) => levels.reduce((total, [, quantity]) => total + quantity, 0);
  const [bids, asks] = [sum(state.bids), sum(state.asks)];
  return bids + asks > 0 ? (bids - asks) / (bids + asks) : null;
}

export function middle_of(state: BookState): number | null {
  const [bid, ask] = [state.bids[0], state.asks[0]];
  return state.synced && bid && ask ? (bid[0] + ask[0]) / 2 : null;
}

export function spread_of(state: BookState): number | null {
  const [bid, ask] = [state.bids[0], state.asks[0]];
  return state.synced && bid && ask ? ask[0] - bid[0] : null;
}

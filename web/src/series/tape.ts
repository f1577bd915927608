/** The newest trades by trade id. */

export interface Trade {
  time_ms: number;
  trade_id: number;
  price: number;
  quantity: number;
  buyer_is_maker: boolean;
}

export class Tape {
  /** Oldest first. */
  private trades: Trade[] = [];
  version = 0;

  constructor(private readonly limit = 2000) {}

  get length(): number {
    return this.trades.length;
  }

  /** The n-th newest, from 0. */
  newest(index: number): Trade | undefined {
    return this.trades[this.trades.length - 1 - index];
  }

  clear(): void {
    this.trades = [];
    this.version += 1;
  }

  upsert(trades: readonly Trade[]): void {
    this.version += 1;
    for (const trade of trades) {
      const index = this.place(trade.trade_id);
      const same = this.trades[index]?.trade_id === trade.trade_id;
      this.trades.splice(index, same ? 1 : 0, trade);
    }
    // In larger steps, as each moves all of them.
    if (this.trades.length > this.limit * 1.25) this.trades = this.trades.slice(-this.limit);
  }

  private place(trade_id: number): number {
    let low = 0;
    let high = this.trades.length;
    // Nearly all come in order.
    if (high === 0 || (this.trades[high - 1] as Trade).trade_id < trade_id) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.trades[middle] as Trade).trade_id < trade_id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

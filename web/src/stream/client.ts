/** The stream as the screens use it: subscriptions that outlive connections, and what is known of them. */

import { Store } from "@/page/store";
import { StreamCore } from "./core";
import { type ConnectionState, StreamSocket } from "./socket";
import type { Subscription, Wanted } from "./subscription";

export interface Handle {
  readonly ids: readonly number[];
  close(): void;
}

/** Milliseconds since the epoch by a clock that is never set back while the page lives. */
export const own_ms = () => performance.timeOrigin + performance.now();

export class StreamClient {
  readonly core = new StreamCore();
  readonly connection = new Store<ConnectionState>("connecting");
  private readonly socket: StreamSocket;
  onframe: () => void = () => {};
  onrefused: () => void = () => {};

  constructor(url: string, token: () => string | null) {
    const environment = {
      open: (address: string, protocols: string[]) => new WebSocket(address, protocols),
      now_ms: own_ms,
      random: Math.random,
    };
    this.socket = new StreamSocket(this.core, url, environment, token);
    this.socket.onframe = () => this.onframe();
    this.socket.onrefused = () => this.onrefused();
    this.socket.onstate = () => this.connection.set(this.socket.state);
  }

  start(): void {
    this.socket.start();
  }

  retry_now(): void {
    this.socket.retry_now();
  }

  painted(): void {
    this.socket.send(this.core.painted(own_ms()));
  }

  subscribe(wishes: readonly Wanted[]): Handle {
    const { ids, send } = this.core.subscribe(wishes);
    this.socket.send(send);
    return { ids, close: () => this.socket.send(this.core.unsubscribe(ids)) };
  }

  subscription(id: number | undefined): Subscription | undefined {
    return id === undefined ? undefined : this.core.subscriptions.get(id);
  }

  /** The server's clock now, as far as it is known. */
  server_ms(): number {
    return own_ms() + (this.core.clock.offset_ms ?? 0);
  }

  get away_since_ms(): number | null {
    return this.socket.away_since_ms;
  }

  get reconnects(): number {
    return this.socket.reconnects;
  }
}

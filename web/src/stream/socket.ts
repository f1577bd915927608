/** The shell around `StreamCore`: one WebSocket, its timers, reconnects. */

import { backoff_ms } from "./backoff";
import type { StreamCore } from "./core";
import { protocols } from "./wire";

/** "Policy violation": how a server refuses after it has accepted the connection. */
const REFUSED = 1008;

export interface SocketEnvironment {
  open(url: string, protocols: string[]): WebSocket;
  now_ms(): number;
  random(): number;
}

export type ConnectionState = "connecting" | "open" | "away";

export class StreamSocket {
  state: ConnectionState = "connecting";
  /** Own clock, since when there is no connection. */
  away_since_ms: number | null = null;
  /** Connections that had opened, were lost, and opened again. */
  reconnects = 0;
  onstate: () => void = () => {};
  onframe: () => void = () => {};
  /** A connection was refused before it opened: perhaps a token is wanted. */
  onrefused: () => void = () => {};
  private socket: WebSocket | null = null;
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private ticker: ReturnType<typeof setInterval> | undefined;
  private opened_once = false;

  constructor(
    private readonly core: StreamCore,
    private readonly url: string,
    private readonly environment: SocketEnvironment,
    private readonly token: () => string | null = () => null,
  ) {}

  start(): void {
    clearInterval(this.ticker);
    this.ticker = setInterval(() => this.tick(), 250);
    this.connect();
  }

  /** Try at once instead of waiting for the next attempt. */
  retry_now(): void {
    if (this.state !== "open") this.connect();
  }

  stop(): void {
    clearTimeout(this.retry);
    clearInterval(this.ticker);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.core.closed();
  }

  send(texts: readonly string[]): void {
    if (this.socket === null || this.socket.readyState !== 1) return;
    for (const text of texts) this.socket.send(text);
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.socket?.close();
    const socket = this.environment.open(this.url, protocols(this.token()));
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      opened = true;
      if (this.opened_once) this.reconnects += 1;
      this.opened_once = true;
      this.state = "open";
      this.away_since_ms = null;
      this.send(this.core.opened(this.environment.now_ms()));
      this.onstate();
    };
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket || typeof data !== "string") return;
      if (this.core.received(data, this.environment.now_ms())) {
        this.attempt = 0; // only a connection that delivers is a good one
        this.onframe();
      }
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      if (!opened || code === REFUSED) this.onrefused();
      this.lost();
    };
  }

  private lost(): void {
    this.socket = null;
    this.core.closed();
    this.state = "away";
    this.away_since_ms ??= this.environment.now_ms();
    this.retry = setTimeout(() => this.connect(), backoff_ms(this.attempt++, this.environment.random()));
    this.onstate();
  }

  private tick(): void {
    const { send, dead } = this.core.tick(this.environment.now_ms());
    this.send(send);
    if (!dead) return;
    const socket = this.socket;
    this.socket = null; // its close may take minutes on a dead network
    socket?.close();
    this.lost();
  }
}

/** The page's side of the stream, without a socket: takes messages and times, returns texts to send. */

import { ClockOffset } from "./clock";
import { Latency } from "./latency";
import { new_subscription, request_of, type Subscription, type Wanted } from "./subscription";
import type { Frame, Refusal, ServerMessage, Subscribed } from "./wire";

/** A time that is not answered for so long means a dead connection. */
export const DEAD_AFTER_MS = 15_000;
export const ASK_TIME_EVERY_MS = 5_000;
/** What the exchange sends at once when it happens; reports of services and closed bars are old by their nature. */
const TIMED = new Set<string>(["trade", "quote", "open_bar", "levels"]);

/** At first more often: the page is busy then, and the quickest of several answers is the truest. */
const FIRST_EVERY_MS = 250;
const FIRST_ANSWERS = 6;

export class StreamCore {
  readonly clock = new ClockOffset();
  readonly latency = new Latency();
  readonly subscriptions = new Map<number, Subscription>();
  connected = false;
  /** Own clock; null before the first frame. */
  last_frame_ms: number | null = null;
  frames = 0;
  unreadable = 0;
  private next_id = 1;
  private unpainted: { frame: number; received_ms: number; frame_ms: number }[] = [];
  private asked_ms: number | null = null;
  private answered_ms: number | null = null;

  /** Their ids in order, and texts to send now (none while not connected; `opened` sends what is open). */
  subscribe(wishes: readonly Wanted[]): { ids: number[]; send: string[] } {
    const made = wishes.map(({ wish, sink }) => new_subscription(this.next_id++, wish, sink));
    for (const each of made) this.subscriptions.set(each.id, each);
    return { ids: made.map((each) => each.id), send: this.connected ? requests(made) : [] };
  }

  unsubscribe(ids: readonly number[]): string[] {
    const known = ids.filter((id) => this.subscriptions.delete(id));
    return this.connected && known.length > 0 ? [JSON.stringify({ unsubscribe: known })] : [];
  }

  opened(now_ms: number): string[] {
    this.connected = true;
    this.unpainted = [];
    this.asked_ms = this.answered_ms = null;
    for (const each of this.subscriptions.values()) {
      each.error = null;
    }
    return [...requests([...this.subscriptions.values()]), ...this.ask_time(now_ms)];
  }

  closed(): void {
    this.connected = false;
    this.unpainted = [];
  }

  /** Texts to send, and whether the connection is to be given up. */
  tick(now_ms: number): { send: string[]; dead: boolean } {
    if (!this.connected || this.asked_ms === null) return { send: [], dead: false };
    const waiting = this.answered_ms === null || this.answered_ms < this.asked_ms;
    if (waiting) return { send: [], dead: now_ms - this.asked_ms > DEAD_AFTER_MS };
    const period_ms = this.clock.answers < FIRST_ANSWERS ? FIRST_EVERY_MS : ASK_TIME_EVERY_MS;
    return { send: now_ms - this.asked_ms >= period_ms ? this.ask_time(now_ms) : [], dead: false };
  }

  private ask_time(now_ms: number): string[] {
    this.asked_ms = now_ms;
    return [JSON.stringify({ time: now_ms })];
  }

  /** True if the message is a frame, which is to be painted and acknowledged. */
  received(text: string, now_ms: number): boolean {
    const message = parse(text);
    if (message === null) this.unreadable += 1;
    else if ("frame" in message) this.frame(message, now_ms);
    else if ("subscribed" in message) this.confirmed(message.subscribed);
    else if ("restart" in message) this.restarted(message);
    else if ("error" in message) this.refused(message.error);
    else if ("time" in message) {
      this.clock.answered(message.time, message.server_time_ms, now_ms);
      this.answered_ms = now_ms;
    }
    return message !== null && "frame" in message;
  }

  /** The frames so far are on the screen: their acknowledgements. */
  painted(now_ms: number): string[] {
    const offset_ms = this.clock.offset_ms ?? 0;
    const acks = this.unpainted.map(({ frame, received_ms, frame_ms }) => {
      if (this.clock.offset_ms !== null) {
        this.latency.painted(frame, received_ms + offset_ms - frame_ms, now_ms - received_ms);
      }
      return JSON.stringify({ ack: frame, painted_ms: Math.round((now_ms + offset_ms) * 10) / 10 });
    });
    this.unpainted = [];
    return acks;
  }

  private confirmed(subscribed: Subscribed): void {
    const each = this.subscriptions.get(subscribed.id);
    if (each === undefined) return;
    each.columns = subscribed.columns;
    each.delivery = subscribed.class;
    each.cursor = subscribed.cursor ?? each.cursor;
    each.sink.subscribed(subscribed.columns, subscribed.types);
    if (subscribed.gaps?.length) each.sink.gaps?.(subscribed.gaps);
  }

  private restarted({ restart, reason, cursor }: { restart: number; reason: string; cursor?: string }): void {
    const each = this.subscriptions.get(restart);
    if (each === undefined) return;
    each.cursor = cursor ?? null;
    each.restarts += 1;
    each.sink.restart(reason);
  }

  private refused(error: Refusal): void {
    const each = error.id === null ? undefined : this.subscriptions.get(error.id);
    if (each === undefined) return;
    each.error = error.detail;
    each.sink.refused?.(error.detail);
  }

  private frame(frame: Frame, now_ms: number): void {
    this.frames += 1;
    this.last_frame_ms = now_ms;
    this.unpainted.push({ frame: frame.frame, received_ms: now_ms, frame_ms: frame.server_time_ms });
    const past = new Set(frame.past);
    for (const [id, rows] of frame.rows ?? []) {
      const each = this.subscriptions.get(id);
      if (each === undefined || each.columns === null) continue;
      const age_ms = frame.ages?.[id];
      if (age_ms !== undefined) {
        each.newest_ms = frame.server_time_ms - age_ms;
        if (!past.has(id) && TIMED.has(each.wish.series)) this.latency.sent(frame.frame, age_ms);
      }
      each.sink.rows(rows);
    }
    for (const [id, t0, t1, cause] of frame.gaps ?? [])
      this.subscriptions.get(id)?.sink.gaps?.([[t0, t1, cause]]);
    for (const [id, count] of Object.entries(frame.skipped ?? {})) {
      const each = this.subscriptions.get(Number(id));
      if (each !== undefined) each.skipped += count;
    }
    for (const [id, state, since_ms, cause] of frame.state ?? []) {
      const each = this.subscriptions.get(id);
      if (each !== undefined) Object.assign(each, { state, since_ms: since_ms ?? null, cause: cause ?? "" });
    }
    // Last: a cursor is only ours when the rows before it are.
    for (const [id, cursor] of Object.entries(frame.cursor ?? {})) {
      const each = this.subscriptions.get(Number(id));
      if (each !== undefined) each.cursor = cursor;
    }
  }
}

/** At most 16 in a message: it must stay below the server's 64 kB with all their columns. */
function requests(wanted: readonly Subscription[]): string[] {
  const texts: string[] = [];
  for (let first = 0; first < wanted.length; first += 16) {
    texts.push(JSON.stringify({ subscribe: wanted.slice(first, first + 16).map(request_of) }));
  }
  return texts;
}

function parse(text: string): ServerMessage | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as ServerMessage) : null;
  } catch {
    return null; // counted by the caller
  }
}

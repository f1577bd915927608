/** One connection: subscriptions, credits, frames. */

import { bars, INTERVALS, indicator_rows, KINDS, ledger_rows, newest, TRADE_MS, trades } from "./series.mjs";

const EPOCH = "ab12cd";
const CREDITS = 2;

export class Client {
  constructor(socket, server) {
    this.socket = socket;
    this.server = server;
    this.subscriptions = new Map();
    this.frame = 0;
    this.unacknowledged = new Set();
    this.acks = [];
  }

  send(message) {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  receive(text) {
    const message = JSON.parse(text);
    for (const request of message.subscribe ?? []) this.subscribe(request);
    for (const id of message.unsubscribe ?? []) this.subscriptions.delete(id);
    if (message.ack !== undefined) {
      this.unacknowledged.delete(message.ack);
      this.acks.push({ ...message, at: this.server.now() });
    }
    if (message.time !== undefined) this.send({ time: message.time, server_time_ms: this.server.now() });
  }

  subscribe(request) {
    const kind = KINDS[request.series];
    const refuse = (detail) =>
      this.send({ error: { id: request.id, title: "This cannot be subscribed", detail } });
    if (kind === undefined)
      return refuse(`series: ${request.series} is none; choose from ${Object.keys(KINDS)}`);
    const unknown = (request.columns ?? []).filter((name) => !kind.columns.some(([each]) => each === name));
    if (unknown.length) return refuse(`columns: ${request.series} has no ${unknown}`);
    const left_out = kind.tags.filter((tag) => request[tag] === undefined);
    const chosen = kind.columns.filter(([name]) => !request.columns || request.columns.includes(name));
    const columns = [["time_ms", "int"], ...left_out.map((tag) => [tag, "string"]), ...chosen];
    const all = ["time_ms", ...left_out, ...kind.columns.map(([name]) => name)];
    const subscription = {
      request,
      kind,
      pick: columns.map(([name]) => all.indexOf(name)),
      next: this.start(request, kind),
      sent: null,
      told: null,
      begun: false,
    };
    const restart = this.unreadable(request);
    if (restart) subscription.next = this.start({ ...request, since: undefined }, kind);
    this.subscriptions.set(request.id, subscription);
    this.send({
      subscribed: {
        id: request.id,
        columns: columns.map(([name]) => name),
        types: columns.map(([, type]) => type),
        class: kind.class,
        gaps: kind.letter === "k" ? this.server.state.holes : [],
        ...(kind.letter && { cursor: this.cursor(subscription) }),
      },
    });
    if (restart) this.send({ restart: request.id, reason: restart, cursor: this.cursor(subscription) });
  }

  unreadable({ since }) {
    if (since === undefined || since.endsWith(`@${EPOCH}`)) return null;
    return `the cursor ${since} is of another incarnation of the topic`;
  }

  /** The time (bars, ledger) or trade id from which rows are still to be sent. */
  start(request, kind) {
    const now = this.server.now();
    const since = request.since && Number(/:(\d+)@/.exec(request.since)?.[1]);
    if (since !== undefined) return since;
    if (kind.letter === "k") {
      const step = INTERVALS[request.interval];
      return (Math.floor(now / step) - (request.last ?? 1500)) * step;
    }
    if (kind.letter === "t") return Math.floor(now / TRADE_MS) - (request.last ?? 2000);
    return Math.floor(now / 60_000) * 60_000 - 60 * 60_000;
  }

  cursor({ kind, next, request }) {
    return `${kind.letter}${request.interval ?? ""}0:${next}@${EPOCH}`;
  }

  /** Rows that are due, and the age of the newest. */
  due(subscription) {
    const { request, kind } = subscription;
    const { now, state } = { now: this.server.now(), state: this.server.state };
    if (kind.class === "latest") {
      const slow =
        request.series === "service" ||
        request.series === "freshness" ||
        ["carriage", "indicator_live"].includes(request.series);
      if (state.silent || now - (subscription.sent ?? 0) < (slow ? 1000 : 50)) return [[], 0];
      const past = request.series === "levels" && subscription.sent === null ? (request.last ?? 1) : 1;
      subscription.sent = now;
      if (past > 1) {
        const moments = Array.from({ length: past }, (_, index) => now - (past - index) * 1000);
        return [moments.flatMap((moment) => newest({ ...request, depth: 40 }, moment, state)), 12];
      }
      return [newest(request, now, state), 12 + (now % 9)];
    }
    if (kind.letter === "l") return this.ledger(subscription, now, state);
    if (kind.letter === "t") {
      const end = state.silent ? subscription.next : Math.floor(now / TRADE_MS);
      const rows = trades(request, subscription.next, end);
      subscription.next = end;
      return [rows, now - end * TRADE_MS + 10];
    }
    const step = INTERVALS[request.interval];
    const end = state.silent ? subscription.next : Math.floor(now / step) * step;
    if (end <= subscription.next) return [[], 0];
    const read = request.series === "kline" ? bars : indicator_rows;
    const rows = read(request, subscription.next, end, state.holes);
    subscription.next = end;
    return [rows, now - end];
  }

  ledger(subscription, now, state) {
    const end = Math.floor(now / 60_000) * 60_000;
    const rows = subscription.next < end ? ledger_rows(subscription.next, end, state) : [];
    subscription.next = Math.max(end, subscription.next);
    return [rows, now - end];
  }

  push() {
    if (this.unacknowledged.size >= CREDITS || this.socket.readyState !== 1) return;
    const frame = {
      frame: this.frame + 1,
      server_time_ms: this.server.now(),
      rows: [],
      ages: {},
      past: [],
      cursor: {},
      state: [],
    };
    for (const [id, subscription] of this.subscriptions) {
      const [rows, age] = this.due(subscription);
      if (rows.length) {
        frame.rows.push([id, rows.map((row) => subscription.pick.map((at) => row[at]))]);
        frame.ages[id] = age;
        if (!subscription.begun) frame.past.push(Number(id));
        subscription.begun = true;
        if (subscription.kind.letter) frame.cursor[id] = this.cursor(subscription);
      }
      const state = this.server.condition(subscription.request);
      if (state.join() !== subscription.told) {
        subscription.told = state.join();
        frame.state.push([id, ...state]);
      }
    }
    if (frame.rows.length === 0 && frame.state.length === 0) return;
    this.frame += 1;
    this.unacknowledged.add(frame.frame);
    this.send(frame);
  }
}

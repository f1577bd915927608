/** The API's stand-in for development and tests: `node test/fake-server.mjs [port] [out folder]`. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { Client } from "./fake/client.mjs";
import { bars, INTERVALS, indicator_rows, KINDS, ledger_rows, SYMBOLS } from "./fake/series.mjs";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
  ".ico": "image/x-icon",
};

export class FakeServer {
  /** `state` is what tests change: faults of the market and of the service. */
  constructor({ out = null, token = null, now = Date.now } = {}) {
    this.out = out;
    this.token = token;
    this.now = now;
    this.state = {
      holes: [],
      silent: false,
      stale: false,
      unsynced: false,
      store_away: false,
      lost: false,
      away: false,
    };
    this.clients = new Set();
    this.http = createServer((request, response) => this.answer(request, response));
    this.sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "cryptostream.v1" });
    this.http.on("upgrade", (request, socket, head) => this.upgrade(request, socket, head));
  }

  async listen(port = 0) {
    await new Promise((resolve) => this.http.listen(port, "127.0.0.1", resolve));
    this.timer = setInterval(() => {
      for (const client of this.clients) client.push();
    }, 50);
    return this.http.address().port;
  }

  async close() {
    clearInterval(this.timer);
    this.drop();
    await new Promise((resolve) => this.http.close(resolve));
  }

  drop() {
    for (const client of this.clients) client.socket.terminate();
  }

  condition(request) {
    const book = request.series === "levels" || request.series === "book";
    if (this.state.away) return ["away", this.now() - (this.now() % 60_000), "the broker does not answer"];
    if (book && this.state.unsynced) return ["unsynced", 0, "update id 106 is missing"];
    if (this.state.stale) return ["stale", this.state.stale, "nothing came for longer than 3 × its pace"];
    return ["live", 0];
  }

  upgrade(request, socket, head) {
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/, */);
    const bearer = `bearer.${Buffer.from(this.token ?? "").toString("base64url")}`;
    if (this.state.refuse || (this.token !== null && !offered.includes(bearer)))
      return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    this.sockets.handleUpgrade(request, socket, head, (accepted) => {
      const client = new Client(accepted, this);
      this.clients.add(client);
      accepted.on("message", (data) => client.receive(String(data)));
      accepted.on("close", () => this.clients.delete(client));
    });
  }

  async answer(request, response) {
    const url = new URL(request.url, "http://localhost");
    const json = (status, body, type = "application/json") => {
      response.writeHead(status, { "content-type": type });
      response.end(JSON.stringify(body));
    };
    const problem = (status, title, detail) =>
      json(status, { type: "about:blank", title, status, detail }, "application/problem+json");
    if (url.pathname.startsWith("/fake/")) {
      Object.assign(
        this.state,
        Object.fromEntries([...url.searchParams].map(([key, value]) => [key, JSON.parse(value)])),
      );
      if (url.pathname === "/fake/drop") this.drop();
      return json(200, this.state);
    }
    if (!url.pathname.startsWith("/api/")) return this.file(url.pathname, response);
    if (this.token !== null && request.headers.authorization !== `Bearer ${this.token}`) {
      return problem(401, "Unauthorized", "Authorization: needs the token of API_TOKEN, as `Bearer …`");
    }
    if (url.pathname === "/api/v1/instruments") {
      return json(200, this.instruments());
    }
    if (this.state.store_away)
      return problem(503, "Service Unavailable", "history is away: the store does not answer");
    if (url.pathname === "/api/v1/ledger") return json(200, this.ledger());
    const found = /^\/api\/v1\/rows\/(\w+)$/.exec(url.pathname);
    if (!found) return problem(404, "Not Found", `${url.pathname} is nothing that this API has`);
    return json(200, this.rows(found[1], Object.fromEntries(url.searchParams)));
  }

  instruments() {
    const each = {
      exchange: "binance",
      intervals: Object.keys(INTERVALS),
      base: null,
      quote: null,
      tick: null,
      lot: null,
      alias: null,
      status: null,
      promises: null,
      listed_ms: null,
      configured: true,
      stands_in: null,
      newest_ms: null,
    };
    return { instruments: SYMBOLS.map((symbol) => ({ ...each, symbol })), reason: null, grafana: null };
  }

  ledger() {
    const to_ms = this.now();
    const from_ms = to_ms - 3_600_000;
    const series = new Map();
    for (const [
      ,
      exchange,
      symbol,
      stream,
      interval,
      expected,
      stored,
      backfilled,
      halted,
      lost,
      duplicates,
    ] of ledger_rows(from_ms, to_ms, this.state)) {
      const key = `${symbol} ${stream} ${interval}`;
      const sum = series.get(key) ?? {
        exchange,
        symbol,
        stream,
        interval,
        expected: 0,
        stored: 0,
        backfilled: 0,
        halted: 0,
        lost: 0,
        in_flight: 0,
        duplicates: 0,
        counted_from_ms: from_ms,
        counted_to_ms: to_ms,
        lost_periods_ms: [],
      };
      for (const [name, value] of Object.entries({ expected, stored, backfilled, halted, lost, duplicates }))
        sum[name] += value;
      series.set(key, sum);
    }
    const all = [...series.values()];
    const reason = this.state.unsure ? "binance:ETHUSDC has no ledger rows" : null;
    return {
      from_ms,
      to_ms,
      counted_from_ms: from_ms,
      lost: reason ? null : all.reduce((sum, each) => sum + each.lost, 0),
      lost_counted: reason ? null : all.reduce((sum, each) => sum + each.lost, 0),
      reason,
      series: all,
    };
  }

  rows(kind, query) {
    const step = INTERVALS[query.interval];
    const now = Math.floor(this.now() / step) * step;
    const to = Math.min(now, query.to === undefined ? now : Math.ceil(Number(query.to) / step) * step);
    const from = Math.max(to - Number(query.last ?? 500) * step, Number(query.from ?? 0));
    const read = kind === "kline" ? bars : indicator_rows;
    const names = ["time_ms", ...KINDS[kind].columns.map(([name]) => name)];
    const wanted = query.columns ? ["time_ms", ...query.columns.split(",")] : names;
    const pick = wanted.map((name) => names.indexOf(name));
    const rows = read(query, from, to, this.state.holes).map((row) => pick.map((at) => row[at] ?? null));
    const types = ["int", ...KINDS[kind].columns.map(([, type]) => type)];
    return { columns: wanted, types: pick.map((at) => types[at]), rows, next: null };
  }

  async file(path, response) {
    try {
      const name = normalize(path).endsWith("/") ? join(path, "index.html") : path;
      const body = await readFile(join(this.out ?? "", normalize(name)));
      const headers = { "content-type": TYPES[extname(name)] ?? "application/octet-stream" };
      if (extname(name) === ".html") headers["content-security-policy"] = policy(String(body));
      response.writeHead(200, headers);
      response.end(body);
    } catch {
      response.writeHead(404);
      response.end("not found");
    }
  }
}

/** As the API's: nothing inline but what the export has. */
function policy(html) {
  const hashes = (name) =>
    [...html.matchAll(new RegExp(`<${name}(?![^>]*\\ssrc=)[^>]*>([^]*?)</${name}>`, "g"))]
      .map(([, text]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`)
      .join(" ");
  return (
    "default-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
    `object-src 'none'; script-src 'self' ${hashes("script")}; style-src 'self' ${hashes("style")}`
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = new FakeServer({ out: process.argv[3] ?? "out", token: process.env.FAKE_TOKEN ?? null });
  console.log(`http://localhost:${await server.listen(Number(process.argv[2] ?? 8100))}`);
}

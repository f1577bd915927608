/** The stream's core and socket against a server that speaks the protocol. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket as NodeSocket } from "ws";
import { MarketModel } from "@/screens/market/model";
import { StreamClient } from "@/stream/client";
import { StreamCore } from "@/stream/core";
import { StreamSocket } from "@/stream/socket";
import { FakeServer } from "./fake-server.mjs";

const tags = { exchange: "binance", symbol: "BTCUSDC", interval: "1s" };
let server: FakeServer;
let core: StreamCore;
let socket: StreamSocket;
let painting = true;

function open(url: string, offered: string[]): WebSocket {
  // A refused connection is an error event too, which Node wants to be listened to.
  return new NodeSocket(url, offered).on("error", () => {}) as unknown as WebSocket;
}

async function connect(token: string | null = null): Promise<void> {
  const port = await server.listen();
  core = new StreamCore();
  const environment = { open, now_ms: Date.now, random: () => 0 };
  socket = new StreamSocket(core, `ws://127.0.0.1:${port}/api/v1/stream`, environment, () => token);
  socket.onframe = () => painting && setImmediate(() => socket.send(core.painted(Date.now())));
  socket.start();
}

/** A client as the models use it, over this test's socket. */
const client = () => Object.assign(Object.create(StreamClient.prototype), { core, socket }) as StreamClient;

function market(indicators: string[] = ["momentum_rsi"]): MarketModel {
  const model = new MarketModel(client(), tags, indicators, () => {});
  model.start();
  return model;
}

beforeEach(() => {
  painting = true;
  server = new FakeServer();
});
afterEach(async () => {
  socket.stop();
  await server.close();
});

const expected = (model: MarketModel) =>
  server.rows("kline", { ...tags, from: String(model.bars.first_ms), last: "100000" }).rows;
const shown = (model: MarketModel) =>
  Array.from({ length: model.bars.length }, (_, index) => model.bars.row(index));

test("the first view comes whole: bars, indicators, open bar, tape, quote, book", async () => {
  await connect();
  const model = market();
  await vi.waitFor(() => {
    expect(model.bars.length).toBeGreaterThanOrEqual(1500);
    expect(model.values.length).toBeGreaterThanOrEqual(1500);
    expect(model.open.newest?.[4]).toBeGreaterThan(0);
    expect(model.live_values.newest?.[1]).toBeGreaterThan(0);
    expect(model.tape.length).toBeGreaterThan(50);
    expect(model.quote?.ask_price).toBeGreaterThan(0);
    expect(model.book.newest?.synced).toBe(true);
    expect(core.clock.offset_ms).not.toBeNull();
  }, 5000);
  expect(model.decimals.count).toBe(2);
});

test("after lost connections the bars are those of the store, none missing and none doubled", async () => {
  await connect();
  const model = market([]);
  for (let turn = 0; turn < 3; turn++) {
    await vi.waitFor(() => expect(model.bars.length).toBeGreaterThan(1000), 5000);
    server.drop();
    await vi.waitFor(() => expect(socket.state).toBe("away"), 5000);
    await vi.waitFor(() => expect(socket.state).toBe("open"), 5000);
  }
  await vi.waitFor(() => expect(shown(model)).toEqual(expected(model)), 5000);
  expect(socket.reconnects).toBe(3);
}, 20_000);

test("a page that does not paint gets no more than the credits", async () => {
  painting = false;
  await connect();
  market();
  await vi.waitFor(() => expect(core.frames).toBe(2), 5000);
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(core.frames).toBe(2);
  socket.send(core.painted(Date.now()));
  await vi.waitFor(() => expect(core.frames).toBeGreaterThan(2), 5000);
});

test("a cursor of another incarnation of the topic begins anew", async () => {
  await connect();
  const model = market([]);
  await vi.waitFor(() => expect(model.bars.length).toBeGreaterThan(1000), 5000);
  for (const each of core.subscriptions.values())
    if (each.cursor) each.cursor = each.cursor.replace("@ab12cd", "@000000");
  server.drop();
  await vi.waitFor(() => expect(model.subscription("kline")?.restarts).toBe(1), 5000);
  await vi.waitFor(() => expect(shown(model)).toEqual(expected(model)), 5000);
}, 20_000);

test("states arrive with their cause, and a book out of step has no levels", async () => {
  await connect();
  const model = market([]);
  await vi.waitFor(() => expect(model.book.newest?.bids.length).toBeGreaterThan(0), 5000);
  server.state.unsynced = true;
  await vi.waitFor(
    () =>
      expect(model.subscription("levels")).toMatchObject({
        state: "unsynced",
        cause: "update id 106 is missing",
      }),
    5000,
  );
  await vi.waitFor(
    () => expect(model.book.newest).toMatchObject({ synced: false, bids: [], asks: [] }),
    5000,
  );
});

test("a column that the server lacks is said by name", async () => {
  await connect();
  const model = market(["momentum_nothing"]);
  await vi.waitFor(() => expect(model.subscription("indicator")?.error).toContain("momentum_nothing"), 5000);
});

test("a token opens the stream, and without it the page is told that it was refused", async () => {
  server.token = "s3cret";
  await connect("s3cret");
  await vi.waitFor(() => expect(socket.state).toBe("open"), 5000);
  socket.stop();
  const refused = vi.fn();
  const other = new StreamSocket(
    new StreamCore(),
    `ws://127.0.0.1:${(server.http.address() as { port: number }).port}/`,
    {
      open,
      now_ms: Date.now,
      random: () => 0,
    },
  );
  other.onrefused = refused;
  other.start();
  await vi.waitFor(() => expect(refused).toHaveBeenCalled(), 5000);
  other.stop();
});

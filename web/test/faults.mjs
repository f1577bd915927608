/** Screenshots of the market while something is broken: `node test/faults.mjs http://localhost:8100 FOLDER`. */

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const [origin = "http://localhost:8100", folder = "screenshots"] = process.argv.slice(2);
const now = Date.now();
const MINUTE = 60_000;
const hole = [
  Math.floor(now / MINUTE - 22) * MINUTE,
  Math.floor(now / MINUTE - 14) * MINUTE,
  "exchange was halted",
];
const MARKET = "/?symbol=binance:ETHUSDC&indicators=momentum_rsi,trend_ema_fast,volatility_bbh";
const FAULTS = {
  gap: [{ holes: [hole] }, MARKET],
  unsynced: [{ unsynced: true }, "/book/?symbol=binance:ETHUSDC"],
  stale: [{ stale: now - 12_000, silent: true }, MARKET],
  lost: [{ lost: true }, "/health/"],
  history: [{ store_away: true }, MARKET],
  away: [{ refuse: true }, MARKET],
};
const SOUND = {
  holes: [],
  silent: false,
  stale: false,
  unsynced: false,
  store_away: false,
  lost: false,
  refuse: false,
};
const set = (state, path = "set") =>
  fetch(
    `${origin}/fake/${path}?${new URLSearchParams(Object.entries(state).map(([key, value]) => [key, JSON.stringify(value)]))}`,
  );

await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
for (const [name, [state, path]] of Object.entries(FAULTS)) {
  const page = await browser.newPage({
    viewport: { width: 1400, height: 850 },
    colorScheme: name === "lost" ? "light" : "dark",
  });
  page.on("pageerror", (error) => console.log(name, error.stack));
  if (name === "gap") await set(state);
  await page.goto(origin + path);
  await page.waitForTimeout(1500);
  await set(state, name === "away" ? "drop" : "set");
  if (name === "history") {
    await page.mouse.move(400, 400);
    for (let turn = 0; turn < 25; turn++) await page.mouse.wheel(-600, 0);
  }
  if (name === "lost") await page.reload();
  await page.waitForTimeout(2500);
  await page.screenshot({ path: `${folder}/fault-${name}.png` });
  await page.close();
  await set(SOUND);
}
await browser.close();

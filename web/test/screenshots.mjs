/** Screenshots of every screen: `node test/screenshots.mjs http://localhost:8100 FOLDER [screen …]`. */

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const [origin = "http://localhost:8100", folder = "screenshots", ...wanted] = process.argv.slice(2);
const SCREENS = {
  market:
    "/?symbol=binance:BTCUSDC&indicators=momentum_rsi,volatility_bbh,volatility_bbm,volatility_bbl,trend_ema_fast",
  table: "/?symbol=binance:BTCUSDC&view=table",
  book: "/book/?symbol=binance:BTCUSDC",
  compare: "/compare/?symbol=binance:BTCUSDC",
  health: "/health/",
};
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: FLAGS,
});
for (const [width, height] of [
  [1400, 850],
  [360, 800],
]) {
  for (const colorScheme of ["dark", "light"]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    for (const [name, path] of Object.entries(SCREENS)) {
      if (wanted.length > 0 && !wanted.includes(name)) continue;
      const page = await context.newPage();
      page.on("console", (message) => message.type() === "error" && console.log(name, message.text()));
      page.on("pageerror", (error) => console.log(name, error.stack));
      page.on(
        "request",
        (request) => request.url().startsWith(origin) || console.log(name, "LEFT THE ORIGIN", request.url()),
      );
      await page.goto(origin + path);
      await page.waitForTimeout(Number(process.env.WAIT_MS ?? 2500));
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`, fullPage: width < 500 });
      const { exchange_to_pixel_ms, page_to_pixel_ms, frames } = await page.evaluate(() =>
        window.cryptostream.stats(),
      );
      console.log(
        name,
        width,
        colorScheme,
        frames,
        JSON.stringify({ exchange_to_pixel_ms, page_to_pixel_ms }),
      );
      await page.close();
    }
    await context.close();
  }
}
await browser.close();

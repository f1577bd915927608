/** Leaves out of the export what only browsers without modules load: they cannot run the page anyway. */

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const OUT = "out";
const LEGACY = /<script src="([^"]+)"[^>]*\snoModule=""[^>]*><\/script>/gi;
const files = await readdir(OUT, { recursive: true });
const dropped = new Set();
for (const name of files.filter((each) => each.endsWith(".html"))) {
  const text = await readFile(join(OUT, name), "utf8");
  for (const [, source] of text.matchAll(LEGACY)) dropped.add(source.split("?")[0]);
  await writeFile(join(OUT, name), text.replace(LEGACY, ""));
}
for (const source of dropped) await rm(join(OUT, source), { force: true });

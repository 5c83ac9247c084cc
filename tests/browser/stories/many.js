// Ten thousand tasks: loaded by pages, with few rows in the page at a time, and scrolled.

import assert from "node:assert/strict";
import { DESK, poll, row, show } from "../stage.js";

const COUNT = 10_000;

export default async function many(stage, { ask, say }) {
  await ask("many", COUNT);
  const began = Date.now();
  const page = await stage.signedIn(DESK);
  await show(page, "All");
  await page.getByRole("button", { name: `All ${COUNT}`, exact: true }).waitFor({ timeout: 60_000 });
  say(`${COUNT} tasks are read after ${Date.now() - began} ms`);
  const rows = await page.locator(".row").count();
  assert.ok(rows < 80, `${rows} rows in the page`);

  const { frames, longest, distance, blank } = await page.evaluate(scroll, 3_000);
  say(`scrolling ${Math.round(distance / 64)} rows in 3 s: ${(frames / 3).toFixed(0)} frames a second, the longest took ${longest.toFixed(0)} ms`);
  assert.equal(blank, 0, "frames in which no row was seen");

  await page.locator(".row[tabindex='0']").or(page.locator(".row").first()).first().focus();
  await page.keyboard.press("End");
  await poll("the last row has the focus", async () => {
    const place = await page.evaluate(() => document.activeElement.getAttribute("aria-posinset"));
    return place === String(COUNT) || place;
  });
  const search = Date.now();
  await page.getByLabel("Search").fill("number 7777");
  await row(page, "number 7777").waitFor();
  say(`found by its title after ${Date.now() - search} ms`);

  // The next visit begins with the copy.
  const again = Date.now();
  await page.reload();
  await page.getByRole("button", { name: `All ${COUNT}`, exact: true }).waitFor();
  say(`all are there again ${Date.now() - again} ms after a reload, from the copy`);
}

// In the page: one step further with each frame.
function scroll(time) {
  return new Promise((resolve) => {
    const scroller = document.querySelector(".scroller");
    const began = performance.now();
    const result = { frames: 0, longest: 0, distance: 0, blank: 0 };
    let last = began;
    function step(now) {
      result.frames += 1;
      result.longest = Math.max(result.longest, now - last);
      last = now;
      const middle = scroller.getBoundingClientRect();
      const seen = document.elementFromPoint(middle.left + 200, middle.top + middle.height / 2);
      if (!seen?.closest(".row")) result.blank += 1;
      scroller.scrollTop += 40;
      result.distance = scroller.scrollTop;
      if (now - began < time) requestAnimationFrame(step);
      else resolve(result);
    }
    requestAnimationFrame(step);
  });
}

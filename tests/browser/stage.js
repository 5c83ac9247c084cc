// A browser with pages on the service, and what must be true of every page in every story.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

export const DESK = { viewport: { width: 1280, height: 720 } };
export const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

// Runs before any script of a page.
function watch() {
  document.addEventListener("securitypolicyviolation", (event) =>
    globalThis.tellViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
  globalThis.alert = globalThis.confirm = globalThis.prompt = (text) => globalThis.tellViolation(`a script ran: ${text}`);
}

export class Stage {
  #browser;
  violations = [];
  foreign = [];
  errors = [];
  /** What a story expects of the console: requests that fail because a part is down. */
  mayFail = false;

  constructor(browser, given) {
    this.#browser = browser;
    this.given = given;
  }

  static async open(given) {
    // The packages are in the cache, not beside this file.
    const { chromium } = createRequire(join(given.packages, "package.json"))("playwright-core");
    const browser = await chromium.launch({ executablePath: given.chromium, args: FLAGS });
    return new Stage(browser, given);
  }

  /** A new browser profile. */
  async context(size = DESK, options = {}) {
    const context = await this.#browser.newContext({ ...size, locale: "en-GB", timezoneId: "Europe/Berlin", colorScheme: "light", ...options });
    context.setDefaultTimeout(15_000);
    await context.exposeBinding("tellViolation", (_, text) => this.violations.push(text));
    await context.addInitScript(watch);
    context.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.given.url}/`) || url.includes(this.given.token)) this.foreign.push(url);
      if ((request.headers().referer ?? "").includes(this.given.token)) this.foreign.push(`Referer of ${url}`);
    });
    context.on("console", (message) => {
      const text = message.text();
      if (/Content Security Policy|Trusted ?Type/i.test(text)) this.violations.push(text);
      else if (message.type() === "error" && !(this.mayFail && /Failed to load resource|net::ERR/.test(text))) this.errors.push(text);
    });
    context.on("weberror", (error) => this.errors.push(String(error.error().stack)));
    return context;
  }

  /** A page of a signed-in user, by a start link. */
  async signedIn(size = DESK, { context, token = this.given.token, ...options } = {}) {
    const inside = context ?? (await this.context(size, options));
    const page = await inside.newPage();
    await page.goto(`${this.given.url}/#token=${token}`);
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    await page.getByText("live", { exact: true }).waitFor();
    return page;
  }

  async picture(page, name, folder = this.given.pictures) {
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled", scale: "css" });
  }

  /** Requires what must be true of every page. */
  verify() {
    assert.deepEqual(this.violations, [], "violations of the Content-Security-Policy");
    assert.deepEqual(this.foreign, [], "requests that leave the service, or that carry the token");
    assert.deepEqual(this.errors, [], "errors in the console");
  }

  async failed() {
    for (const context of this.#browser.contexts()) {
      for (const [number, page] of context.pages().entries()) {
        await this.picture(page, `failed-${number}`, this.given.failures).catch(() => {});
        console.log(`\npage ${number}, ${page.url()}:\n${await page.locator("body").ariaSnapshot({ timeout: 2_000 }).catch((error) => error.message)}`);
      }
    }
    console.log({ violations: this.violations, foreign: this.foreign, errors: this.errors });
  }

  close() {
    return this.#browser.close();
  }
}

/** The task's row in the list. */
export const row = (page, title) => page.getByRole("listitem").filter({ has: page.getByRole("button", { name: title, exact: true }) });

/** The row of an event beside the list. */
export const event = (page, type, title) => page.locator(".events li").filter({ hasText: type }).filter({ hasText: title }).first();

export async function add(page, line) {
  await page.getByLabel("Add a task").fill(line);
  await page.getByLabel("Add a task").press("Enter");
}

export async function show(page, list) {
  await page.getByRole("navigation").getByRole("button", { name: new RegExp(`^${list} \\d`) }).click();
}

export async function poll(what, check, limit = 15_000) {
  const end = Date.now() + limit;
  for (;;) {
    const seen = await check();
    if (seen === true) return;
    if (Date.now() > end) throw new Error(`${what}: not within ${limit} ms; seen last: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A request past the page: somebody else's, or another device's. */
export async function api(given, method, path, body) {
  const headers = { authorization: `Bearer ${given.token}`, "content-type": "application/json" };
  const response = await fetch(`${given.url}/api/${given.user}${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.status === 204 ? null : response.json();
}

// The page for operators.

import { html, nothing, render } from "/app/vendor/lit-html-3.3.3/lit-html.js";
import { read } from "/app/session.js";
import { Api, forgetToken, keepToken, lettersPath, takeToken } from "./api.js";
import { flow, lanes, letters, question, sidecars, signIn, summary } from "./sections.js";
import { time } from "./words.js";

const EVERY = 5_000;
const ANNOUNCED = 10_000;
const THEMES = ["auto", "light", "dark"];

const ui = {
  laneState: "resting",
  letterStatus: "open",
  // The page of dead letters that is shown; null is the first.
  letterPage: null,
  // Whole payloads that were asked for, by id.
  whole: new Map(),
  asked: null,
  said: "",
  reason: "",
  lost: null,
  theme: localStorage.getItem("todo-events.theme") ?? "auto",
};
let api = null;
let user = null;
let seen = null;
let timer = 0;
let saidTimer = 0;
let round = 0;

function draw() {
  document.documentElement.dataset.theme = ui.theme;
  const root = document.getElementById("page");
  root.className = api ? "operator" : "";
  render(!api ? signIn(ui.reason, act) : page(), root);
}

/** Reads everything anew, and again after a while. */
async function refresh() {
  clearTimeout(timer);
  if (!api) return;
  const own = ++round;
  const from = api;
  try {
    const [overview, listed, found] = await Promise.all([
      from.read("/overview"),
      from.read(`/lanes?state=${ui.laneState}&limit=50`),
      from.letters(ui.letterPage ?? lettersPath(ui.letterStatus)),
    ]);
    if (own !== round || api !== from) return;
    seen = { overview, lanes: listed, letters: found };
    ui.lost = null;
  } catch (error) {
    if (own !== round || api !== from) return;
    if (error.status === 403) return act.signOut("This token does not have the role operator. Take one that has.");
    if (error.status === 401) return act.signOut("The service did not accept the token. It may have expired; take a new one.");
    ui.lost = { text: error.message, since: ui.lost?.since ?? Date.now() };
  }
  draw();
  // Nobody looks at a hidden page; it reads anew when it is shown.
  if (!document.hidden) timer = setTimeout(refresh, EVERY);
}

function say(text) {
  ui.said = text;
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => {
    ui.said = "";
    draw();
  }, ANNOUNCED);
}

const DONE = {
  replay: ({ id }) => `Dead letter ${id} is published again.`,
  discard: ({ id }) => `Dead letter ${id} is discarded.`,
  retry: ({ user_id: lane }) => `The next event of ${lane} is tried now.`,
  skip: ({ user_id: lane, sequence }) => `Event ${sequence} of ${lane} is skipped; it is a dead letter now.`,
};

const act = {
  showLanes(state) {
    ui.laneState = state;
    refresh();
  },
  showLetters(status) {
    ui.letterStatus = status;
    ui.letterPage = null;
    refresh();
  },
  nextLetters() {
    ui.letterPage = seen.letters.next;
    document.getElementById("letters-title").scrollIntoView();
    refresh();
  },
  async readMore({ id }) {
    try {
      ui.whole.set(id, await api.read(`/dead-letters/${id}`));
    } catch (error) {
      say(error.message);
    }
    draw();
  },
  /** The first click; nothing is done until the dialog's own button is pressed. */
  ask(action, thing) {
    ui.asked = { action, thing, topics: null, problem: null, isBusy: false };
    draw();
    document.querySelector("dialog").showModal();
  },
  async confirm(topic) {
    const { action, thing } = ui.asked;
    ui.asked.isBusy = true;
    ui.asked.problem = null;
    draw();
    try {
      if (action === "retry" || action === "skip") {
        const body = { confirm: thing.user_id, ...(action === "skip" && { sequence: thing.sequence }) };
        await api.act(`/lanes/${encodeURIComponent(thing.user_id)}/${action}`, body);
      } else {
        await api.act(`/dead-letters/${thing.id}/${action}`, { confirm: thing.id, ...(topic && { topic }) });
      }
      say(DONE[action](thing));
      act.cancel();
      await refresh();
    } catch (error) {
      if (!ui.asked) return;
      ui.asked.isBusy = false;
      ui.asked.problem = error.message;
      const names = /topic: (\S+) or (\S+)\.$/.exec(error.message);
      if (error.type?.endsWith(":topic-unknown") && names) ui.asked.topics = names.slice(1);
      draw();
    }
  },
  cancel() {
    document.querySelector("dialog")?.close();
  },
  closed() {
    ui.asked = null;
    draw();
  },
  nextTheme() {
    ui.theme = THEMES[(THEMES.indexOf(ui.theme) + 1) % THEMES.length];
    localStorage.setItem("todo-events.theme", ui.theme);
    draw();
  },
  signIn(token) {
    const claims = read(token);
    if (!claims) {
      ui.reason = "This is no token: it should have three parts with dots between them.";
      return draw();
    }
    keepToken(token);
    start(token, claims);
  },
  signOut(reason = "") {
    clearTimeout(timer);
    api = user = seen = null;
    ui.reason = reason;
    ui.whole.clear();
    forgetToken();
    draw();
  },
};

function parts() {
  const { overview, lanes: listed, letters: found } = seen;
  const shown = { ...found, letters: found.letters.map((letter) => ({ ...letter, ...ui.whole.get(letter.id), status: letter.status })) };
  return html`${summary(overview)} ${letters(shown, ui.letterStatus, ui.letterPage === null, act)} ${lanes(overview, listed, ui.laneState, act)}
    ${sidecars(overview)} ${flow(overview)}`;
}

function page() {
  return html`<header>
      <h1>todo-events, operator</h1>
      <span class=${`state ${ui.lost ? "lost" : seen ? "live" : ""}`}>${ui.lost ? "not connected" : seen ? `read ${time(seen.overview.now)}` : "reading"}</span>
      <button @click=${act.nextTheme} aria-label=${`Colours: ${ui.theme}`} title="Colours">${{ auto: "◐", light: "☀", dark: "☾" }[ui.theme]}</button>
      <button @click=${() => act.signOut()} title=${user}>Sign out</button>
    </header>
    <div class="banner-place" role="alert">${ui.lost ? html`<p class="banner">${ui.lost.text} What you see is of before ${time(ui.lost.since)}.</p>` : nothing}</div>
    <main>${seen ? parts() : html`<p class="empty">Reading…</p>`}</main>
    <div class="said" role="status">${ui.said ? html`<p>${ui.said}</p>` : nothing}</div>
    <dialog aria-labelledby="question-title" @close=${act.closed}>${ui.asked ? question(ui.asked, act) : nothing}</dialog>`;
}

function start(token, claims) {
  api = new Api(token);
  user = claims.user;
  seen = null;
  ui.reason = "";
  ui.lost = null;
  draw();
  refresh();
}

function begin() {
  const token = takeToken();
  const claims = token && read(token);
  if (token && !claims) ui.reason = "This link has no token that can be read.";
  document.getElementById("page").replaceChildren();
  if (claims) start(token, claims);
  else draw();
}

addEventListener("visibilitychange", () => document.hidden || refresh());
addEventListener("hashchange", () => location.hash && begin());
begin();

// The parts of the operator's page.

import { html, nothing } from "/app/vendor/lit-html-3.3.3/lit-html.js";
import { repeat } from "/app/vendor/lit-html-3.3.3/directives/repeat.js";
import { atLeast, between, day, minute, payload, plural, runbook, time, times, took } from "./words.js";

const book = (anchor, about) => html`<a class="runbook" href=${runbook(anchor)} target="_blank" rel="noreferrer">Runbook: ${about}<span class="hidden"> (new tab)</span></a>`;

function card(label, value, detail, level) {
  return html`<div class=${`card ${level}`}><dt>${label}</dt><dd><strong>${value}</strong>
    ${level === "bad" ? html`<span class="mark">look</span>` : nothing} <span class="hint">${detail}</span></dd></div>`;
}

const open = (list) => list.filter(({ breaker }) => breaker !== "closed").length;

/** The numbers at the top. */
export function summary(seen) {
  const { now, queue, reminders, dead_letters: letters, throughput, latencies } = seen;
  const age = (oldest) => (oldest ? `the oldest for ${between(oldest, now)}` : "none waits");
  const isLate = (oldest) => oldest && new Date(now) - new Date(oldest) > 120_000;
  const breakers = open(seen.publishers) + open(seen.jobs);
  const last = throughput.minutes.at(-2);
  const slowest = latencies.reduce((worst, each) => Math.max(worst, each.p95_ms), 0);
  return html`<section aria-labelledby="now-title"><h2 id="now-title">Now</h2><dl class="cards">
    ${card("Wait for publishing", plural(queue.events, "event"), `of ${atLeast(plural(queue.lanes, "user"), queue.more)}, ${age(queue.oldest)}`, isLate(queue.oldest) ? "bad" : "")}
    ${card("Lanes that rest", queue.resting, `${queue.blocked} blocked`, queue.blocked ? "bad" : "")}
    ${card("Open breakers", breakers, `of ${plural(seen.publishers.length, "sidecar")}`, breakers ? "bad" : "")}
    ${card("Overdue reminders", atLeast(reminders.overdue, reminders.more), age(reminders.oldest), isLate(reminders.oldest) ? "bad" : "")}
    ${card("Open dead letters", atLeast(letters.open, letters.more), age(letters.oldest), letters.open ? "bad" : "")}
    ${card("Events in a minute", last.events, `from ${minute(last.start)}`, "")}
    ${card("From commit to handler", latencies.length ? took(slowest) : "–", latencies.length ? "95 % are faster" : "nothing handled in ten minutes", "")}
  </dl><p class="links">${book("todoeventsunpublished", "events wait")} ${book("todoeventsremindersoverdue", "reminders overdue")} ${book("todoeventsbreakeropen", "breakers")}</p></section>`;
}

const STATES = {
  blocked: "The next event was refused for good, or is missing.",
  held: "Somebody is publishing it.",
  resting: "The last attempt failed; it is tried again by itself.",
  waiting: "Its turn has come; it waits for a publisher.",
};

/** Lanes that rest or wait, each with what can be done. */
export function lanes(seen, { lanes, more }, state, act) {
  const choice = (value, label) => html`<button aria-pressed=${state === value ? "true" : "false"} @click=${() => act.showLanes(value)}>${label}</button>`;
  return html`<section aria-labelledby="lanes-title"><h2 id="lanes-title">Lanes</h2>
    <div class="bar">${choice("resting", "Resting")} ${choice("waiting", "Waiting")} <span class="gap"></span> ${book("todoeventslaneblocked", "a blocked lane")}</div>
    ${lanes.length ? nothing : html`<p class="empty">No lane is ${state}.</p>`}
    <ul class="things" role="list">${repeat(lanes, (lane) => lane.user_id, (lane) => html`<li class=${`thing ${lane.state}`}>
      <p><strong>${lane.user_id}</strong> <span class=${`state-of ${lane.state}`}>${lane.state}</span></p>
      <p class="hint">${plural(lane.events, "event")} waiting, tried ${times(lane.attempts)} without success.
        ${lane.rests ? `Rests until ${time(lane.turn_at)}, ${between(seen.now, lane.turn_at)} more.` : nothing} ${STATES[lane.state]}
        ${lane.state === "blocked" ? "The log line “event” with the outcome “blocked” has the sidecar's answer." : nothing}</p>
      <p>Next: number ${lane.sequence}, ${lane.event ? html`${lane.event.type}, ${lane.event.bytes} bytes, since ${day(lane.event.time)} <code>${lane.event.id}</code>` : "which is missing"}</p>
      <div class="buttons">
        <button @click=${() => act.ask("retry", lane)} aria-label=${`Retry ${lane.user_id}`}>Retry</button>
        ${lane.state === "blocked" ? html`<button class="danger" @click=${() => act.ask("skip", lane)} aria-label=${`Skip event ${lane.sequence} of ${lane.user_id}`}>Skip event ${lane.sequence}</button>` : nothing}
      </div>
    </li>`)}</ul>
    ${more ? html`<p class="hint">And more than these ${lanes.length}.</p>` : nothing}</section>`;
}

const BREAKERS = { closed: "closed", open: "open", half_open: "open, next call is the probe" };

const table = (label, content) => html`<div class="table" role="group" aria-label=${label} tabindex="0"><table>${content}</table></div>`;

/** Publishers and breakers. */
export function sidecars({ now, publishers, jobs }) {
  const kinds = [...publishers.map((each) => ({ ...each, kind: "publishing" })), ...jobs.map((each) => ({ ...each, kind: "jobs" }))];
  return html`<section aria-labelledby="sidecars-title"><h2 id="sidecars-title">Publishers and breakers</h2>
    <div class="bar">${book("todoeventsbreakeropen", "an open breaker")}</div>
    ${kinds.length ? table("Publishers and breakers", html`<thead><tr><th scope="col">Sidecar</th><th scope="col">For</th><th scope="col">Breaker</th><th scope="col">Failures</th><th scope="col">Next attempt</th><th scope="col">Relay seen</th></tr></thead>
      <tbody>${kinds.map((each) => html`<tr class=${each.breaker}><th scope="row">${each.sidecar}</th>
        <td>${each.kind}${each.publishing ? ", at work" : ""}</td><td class="breaker">${BREAKERS[each.breaker]}</td><td>${each.failures}</td>
        <td>${each.breaker === "open" ? `in ${between(now, each.retry_at)}` : "–"}</td>
        <td>${each.tended_at ? `${between(each.tended_at, now)} ago` : "–"}</td></tr>`)}</tbody>`) : html`<p class="empty">Nothing was published yet.</p>`}</section>`;
}

/** The last ten minutes. */
export function flow({ throughput, latencies }) {
  const most = Math.max(1, ...throughput.minutes.map(({ events }) => events));
  const isWhole = ({ start }) => new Date(start) >= new Date(throughput.complete_since);
  return html`<section aria-labelledby="flow-title"><h2 id="flow-title">The last ten minutes</h2>
    <div class="bar">${book("todoeventsconsumerlag", "consumers lag")}</div>
    <div class="beside">
    ${table("Events by minute", html`<thead><tr><th scope="col">Minute</th><th scope="col">Events</th><td></td></tr></thead>
      <tbody>${throughput.minutes.map((each) => html`<tr><th scope="row">${minute(each.start)}</th><td class="number">${isWhole(each) ? each.events : `${each.events} or more`}</td>
        <td class="chart"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width=${(each.events / most) * 100} height="10"></rect></svg></td></tr>`)}</tbody>`)}
    ${latencies.length ? table("From commit to handler", html`<thead><tr><th scope="col">Handler</th><th scope="col">Half within</th><th scope="col">95 % within</th><th scope="col">Longest</th><th scope="col">Of</th></tr></thead>
      <tbody>${latencies.map((each) => html`<tr><th scope="row">${each.handler}</th><td class="number">${took(each.median_ms)}</td><td class="number">${took(each.p95_ms)}</td>
        <td class="number">${took(each.longest_ms)}</td><td class="number">${each.claims}</td></tr>`)}</tbody>`) : html`<p class="empty">Nothing was handled.</p>`}
    </div>
    <p class="hint">From the commit of a change to its claim by a handler. When an event came to the broker is not stored; the sidecar's metrics have it.</p></section>`;
}

/** Dead letters, each with its payload and what can be done. */
export function letters({ letters, next }, status, isFirst, act) {
  const choice = (value, label) => html`<button aria-pressed=${status === value ? "true" : "false"} @click=${() => act.showLetters(value)}>${label}</button>`;
  return html`<section aria-labelledby="letters-title"><h2 id="letters-title">Dead letters</h2>
    <div class="bar">${choice("open", "Open")} ${choice("resolved", "Dealt with")} <span class="gap"></span> ${book("todoeventsdeadletters", "dead letters")}</div>
    ${letters.length ? nothing : html`<p class="empty">${status === "open" ? "No dead letter is open." : "None was dealt with lately."}</p>`}
    <ul class="things" role="list">${repeat(letters, (letter) => letter.id, (letter) => html`<li class=${`thing ${letter.status}`}>
      <p><strong>${letter.event_type ?? "no event"}</strong> of ${letter.user_id ?? "nobody known"} <span class=${`state-of ${letter.status}`}>${letter.status}</span></p>
      <p class="hint">${letter.partition === -1 ? `Skipped, number ${letter.offset} for ${letter.topic}` : `From ${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`}.
        Given up ${times(letter.deliveries)}, first ${day(letter.first_received_at)}, last ${day(letter.last_received_at)}.
        ${letter.resolved_at ? `${letter.status === "replayed" ? "Replayed" : "Discarded"} ${day(letter.resolved_at)}.` : nothing}</p>
      <details><summary>Payload, ${letter.bytes} bytes${letter.encoding === "base64" ? ", in base64" : ""}<span class="hidden"> of ${letter.id}</span></summary>
        <pre tabindex="0" aria-label="Payload">${payload(letter)}</pre>
        ${letter.is_cut ? html`<button @click=${() => act.readMore(letter)}>Show more</button>` : nothing}</details>
      <p class="hint"><code>${letter.id}</code></p>
      ${letter.status === "open" ? html`<div class="buttons">
        <button @click=${() => act.ask("replay", letter)} aria-label=${`Replay ${letter.id}`}>Replay</button>
        <button class="danger" @click=${() => act.ask("discard", letter)} aria-label=${`Discard ${letter.id}`}>Discard</button></div>` : nothing}
    </li>`)}</ul>
    <div class="buttons">
      ${isFirst ? nothing : html`<button @click=${() => act.showLetters(status)}>First page</button>`}
      ${next ? html`<button @click=${() => act.nextLetters()}>Next page</button>` : nothing}
    </div></section>`;
}

const QUESTIONS = {
  replay: (letter) => ({
    title: "Replay this dead letter?",
    text: `It is published as it was, to ${letter.topic}, with its key. A handler that has dealt with its event does nothing; one that still cannot gives it up again.`,
    yes: "Replay it",
  }),
  discard: () => ({
    title: "Discard this dead letter?",
    text: "What it tells of does not happen. It is kept for a while among those dealt with, and cannot be replayed unless it is given up again.",
    yes: "Discard it",
  }),
  retry: (lane) => ({ title: "Retry this lane?", text: `The next event of ${lane.user_id}, number ${lane.sequence}, is tried now instead of after its rest.`, yes: "Retry it" }),
  skip: (lane) => ({
    title: `Skip event ${lane.sequence}?`,
    text: `The lane of ${lane.user_id} goes on without it. It becomes an open dead letter; replayed later, it is out of order. Consumers see a gap in the numbers.`,
    yes: `Skip event ${lane.sequence}`,
  }),
};

/** The second question. */
export function question({ action, thing, topics, problem, isBusy }, act) {
  const { title, text, yes } = QUESTIONS[action](thing);
  const onSubmit = (event) => {
    event.preventDefault();
    act.confirm(event.target.elements.topic?.value);
  };
  return html`<form @submit=${onSubmit}><h2 id="question-title">${title}</h2>
    <p>${text}</p>
    <p class="hint"><code>${thing.id ?? thing.user_id}</code></p>
    ${topics ? html`<label for="topic">Its own topic is none of the service's. Publish it to</label><select id="topic" name="topic">${topics.map((each) => html`<option>${each}</option>`)}</select>` : nothing}
    <p class="error" role="alert">${problem ?? ""}</p>
    <div class="buttons"><button type="button" autofocus @click=${act.cancel}>Cancel</button><span class="gap"></span>
      <button class=${action === "replay" || action === "retry" ? "main" : "main risky"} ?disabled=${isBusy}>${yes}</button></div></form>`;
}

/** Who is not an operator, or has no token. */
export function signIn(reason, act) {
  const onSubmit = (event) => {
    event.preventDefault();
    act.signIn(event.target.elements.token.value.trim());
  };
  return html`<main class="sign-in"><form @submit=${onSubmit}>
    <h1>todo-events, operator</h1>
    <p>This page is for those who operate the service: the token needs the role <code>operator</code>. In a clone, <code>cargo xtask token NAME --role operator</code> prints one.</p>
    <p class="error" role="alert">${reason}</p>
    <label for="token">Token</label><input id="token" name="token" type="password" autocomplete="off" required>
    <button class="main">Sign in</button>
    <p class="hint"><a href="/">To the page for users</a></p>
  </form></main>`;
}

// Keeps the page's own files, so that it opens without a network. What the REST API answers is never kept here.

const NAME = "todo-events-page";
const VENDOR = "/app/vendor/lit-html-3.3.3/";
const FILES = [
  "/", "/app/page.css", "/app/icon.svg", "/app/page.webmanifest", "/app/main.js", "/app/api.js", "/app/copy.js", "/app/dates.js",
  "/app/details.js", "/app/keyboard.js", "/app/list.js", "/app/lists.js", "/app/panels.js", "/app/quick-add.js", "/app/recurrence.js", "/app/row.js",
  "/app/session.js", "/app/store.js", "/app/stream.js",
  ...["lit-html.js", "directive.js", "directive-helpers.js", "directives/repeat.js", "directives/live.js"].map((file) => VENDOR + file),
];

addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// The network first: a release is seen at once. What it sends is the next copy.
addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !FILES.includes(pathname)) return;
  event.respondWith(answer(event.request, pathname));
});

async function answer(request, path) {
  const cache = await caches.open(NAME);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(path, response.clone());
    return response.status < 500 ? response : ((await cache.match(path)) ?? response);
  } catch (error) {
    const kept = await cache.match(path);
    if (!kept) throw error;
    return kept;
  }
}

// Who is signed in: the token, where it comes from and where it is kept.

const KEY = "todo-events.token";

/** The token of a start link (`#token=…`), or the one of this tab. The address loses it at once. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (given) keepToken(given);
  return sessionStorage.getItem(KEY);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

/** Whose token it is and when it ends; null where it is no token. The service verifies it, this page only reads it. */
export function read(token) {
  try {
    const payload = token.trim().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    const user = claims.sub ?? claims.user_id;
    return typeof user === "string" && user ? { user, expires: claims.exp * 1000 } : null;
  } catch {
    return null;
  }
}

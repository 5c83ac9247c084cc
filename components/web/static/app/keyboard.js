// The keyboard: everything that the mouse can do.

/** Keys of one character are only for those who want them, and never taken from a field. */
export function listen(ui, act) {
  addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !document.querySelector(".signed-in")) return;
    const isField = target.matches?.("input:not([type=checkbox]), textarea, select");
    if (document.querySelector("dialog[open]")) return;
    if (isField) {
      if (key === "Escape") leave(target, act);
      if (key === "ArrowDown" && target.id === "search") done(event, () => act.move(0));
      return;
    }
    const onRow = target.matches?.(".row");
    const task = onRow ? act.selected() : null;
    const rowKeys = {
      ArrowDown: () => act.move(1),
      ArrowUp: () => act.move(-1),
      PageDown: () => act.move(8),
      PageUp: () => act.move(-8),
      Home: () => act.move(-Infinity),
      End: () => act.move(Infinity),
      Enter: () => act.open(task.id),
      F2: () => act.rename(task.id),
      " ": () => act.toggle(task),
      Delete: () => act.remove(task),
    };
    if (task && rowKeys[key] && !task.isDraft) return done(event, rowKeys[key]);
    if (!ui.shortcuts) return;
    const taskKeys = {
      x: () => act.toggle(task),
      e: () => act.rename(task.id),
      s: () => task.recurrence && act.skip(task),
    };
    if (task && taskKeys[key] && !task.isDraft) return done(event, taskKeys[key]);
    const keys = {
      n: () => document.getElementById("line").focus(),
      "/": () => document.getElementById("search").focus(),
      1: () => act.show("today"),
      2: () => act.show("upcoming"),
      3: () => act.show("all"),
      4: () => act.show("done"),
      j: () => act.move(onRow ? 1 : 0),
      k: () => act.move(onRow ? -1 : 0),
      u: () => act.undo(),
      b: () => act.dialog("notifications"),
      "?": () => act.dialog("help"),
    };
    if (keys[key]) done(event, keys[key]);
  });
}

function done(event, then) {
  event.preventDefault();
  then();
}

function leave(field, act) {
  if (field.id === "search") act.search("");
  act.move(0);
  field.blur();
}

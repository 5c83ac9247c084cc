// A list of any length: only the rows that are seen, and some around them, are in the page.

import { html } from "./vendor/lit-html-3.3.3/lit-html.js";
import { repeat } from "./vendor/lit-html-3.3.3/directives/repeat.js";

const AROUND = 10;

export class List {
  #first = 0;
  #last = 30;
  #frame = 0;
  #focus = null;

  constructor(onChange) {
    this.onChange = onChange;
    addEventListener("resize", () => this.#look());
  }

  get element() {
    return document.querySelector(".scroller");
  }

  /** A row's height, which is set in rem so that it grows with the text. */
  get rowHeight() {
    return 4 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  /** Renders again if other rows are seen now. */
  #look() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      const { element, rowHeight } = this;
      if (!element) return;
      const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - AROUND);
      const last = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + AROUND;
      // Only where the rows that are there are about to end.
      const isClose = (wanted, there, edge) => Math.abs(wanted - there) > AROUND / 2 || (wanted !== there && wanted === edge);
      if (isClose(first, this.#first, 0) || isClose(last, this.#last, -1)) {
        [this.#first, this.#last] = [first, last];
        this.onChange();
      }
    });
  }

  scrollToTop() {
    if (this.element) this.element.scrollTop = 0;
    this.#look();
  }

  /** Brings a row into view and gives it the focus once it is there. */
  focus(id, place) {
    const { element, rowHeight } = this;
    if (element) {
      const top = place * rowHeight;
      if (top < element.scrollTop) element.scrollTop = top;
      if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight;
      this.#first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - AROUND);
      this.#last = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + AROUND;
    }
    this.#focus = id;
    this.onChange();
  }

  /** To be called after each rendering. */
  rendered() {
    if (this.#focus !== null) {
      document.getElementById(`task-${this.#focus}`)?.focus({ preventScroll: true });
      this.#focus = null;
    }
    this.#look();
  }

  view(tasks, row) {
    const first = Math.min(this.#first, Math.max(0, tasks.length - 1));
    const seen = tasks.slice(first, this.#last);
    return html`<div class="scroller" tabindex="-1" @scroll=${() => this.#look()}>
      <ul class="rows" role="list" .style=${`height: ${tasks.length * 4}rem`}>
        ${repeat(seen, (task) => task.id, (task, index) => row(task, first + index, tasks.length))}
      </ul>
    </div>`;
  }
}

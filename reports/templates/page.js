"use strict";
// Sorts and filters the table of settings. Without this script all of it is there, in the grid's order.
(function () {
  const table = document.getElementById("settings");
  const going = document.querySelector('meta[name="going"]');
  const kept = "fedbert report: " + document.title;
  const state = recalled();
  function recalled() {
    try { return JSON.parse(sessionStorage.getItem(kept)) || {}; } catch (error) { return {}; }
  }
  function keep() {
    try { sessionStorage.setItem(kept, JSON.stringify(state)); } catch (error) { /* not kept */ }
  }
  function make(name, text, where) {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    where.append(element);
    return element;
  }

  if (table) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const tools = document.getElementById("tools");
    const label = make("label", "Filter ", tools);
    const field = make("input", "", label);
    field.type = "search";
    field.placeholder = "words, such as: gaussian client";
    const by = make("select", "", make("label", "Order ", tools));
    const turn = make("button", "Turn round", tools);
    turn.type = "button";
    const count = make("output", "", tools);

    function filter() {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      count.textContent = shown + " of " + rows.length + " settings";
      state.filter = field.value;
      keep();
    }

    // Which cell of a row stands below a head: those of the second line lie within the groups.
    const heads = Array.from(table.tHead.querySelectorAll("th[data-sort]"));
    const wide = table.tHead.rows[0].cells;
    const groups = Array.from(wide).filter((head) => head.classList.contains("group"));
    const first = Array.from(wide).indexOf(groups[0]);
    const more = groups.reduce((sum, head) => sum + head.colSpan - 1, 0);
    heads.forEach((head) => {
      const at = Array.from(head.parentNode.cells).indexOf(head);
      const upper = head.parentNode.rowIndex === 0;
      head.place = !upper ? first + at : first >= 0 && at > first ? at + more : at;
      const name = head.dataset.name || head.textContent;
      const text = head.textContent;
      head.replaceChildren();
      const button = make("button", text, head);
      button.type = "button";
      button.title = "sort by " + name;
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "ascending";
        sort(heads.indexOf(head), up ? "descending" : "ascending");
      });
      head.named = name;
    });
    ["of the grid", ...heads.map((head) => "by " + head.named)].forEach((text, i) => {
      make("option", text, by).value = String(i - 1);
    });
    function value(row, head) {
      const cell = row.cells[head.place];
      if (!cell) return head.dataset.sort === "text" ? "" : NaN;
      if (head.dataset.sort === "text") return cell.textContent.trim().toLowerCase();
      return cell.dataset.v === undefined || cell.dataset.v === "" ? NaN
        : cell.dataset.v === "inf" ? Infinity : Number(cell.dataset.v);
    }
    function sort(which, way) {
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      let order = rows.map((row) => [row]);
      const head = heads[which];
      if (head) {
        head.setAttribute("aria-sort", way);
        const sign = way === "ascending" ? 1 : -1;
        order = rows.map((row) => [row, value(row, head)]);
        order.sort(([, a], [, b]) => {
          if (typeof a === "string") return sign * a.localeCompare(b, "en", { numeric: true });
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
          return a === b ? 0 : sign * (a < b ? -1 : 1);
        });
      }
      body.append(...order.map(([row]) => row));
      by.value = String(head ? which : -1);
      turn.disabled = !head;
      state.sort = head ? [which, way] : null;
      keep();
    }
    field.addEventListener("input", filter);
    by.addEventListener("change", () => sort(Number(by.value), "ascending"));
    turn.addEventListener("click", () => {
      sort(state.sort[0], state.sort[1] === "ascending" ? "descending" : "ascending");
    });
    if (state.filter) field.value = state.filter;
    if (state.sort) sort(state.sort[0], state.sort[1]);
    else turn.disabled = true;
    filter();
  }

  if (going) {
    const where = make("p", "", document.querySelector("header"));
    const pause = make("button", "", where);
    pause.type = "button";
    function say() {
      pause.textContent = state.paused ? "Look for news again" : "Stop looking for news";
      pause.setAttribute("aria-pressed", String(Boolean(state.paused)));
    }
    pause.addEventListener("click", () => { state.paused = !state.paused; say(); keep(); });
    say();
    setInterval(() => { if (!state.paused) location.reload(); }, 1000 * Number(going.content));
  }
})();

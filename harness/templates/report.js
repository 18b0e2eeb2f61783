"use strict";
for (const figure of document.querySelectorAll('figure[data-figure="heat"]')) {
  const table = figure.querySelector("table.heat");
  if (!table) continue;
  const body = table.tBodies[0];
  const lines = [...body.rows];
  const filter = figure.querySelector(".heat-filter");
  const memory = figure.querySelector(".heat-memory");
  const count = figure.querySelector(".heat-count");
  const labels = new Map(lines.map((line) => [line, [...line.cells].slice(0, 4).map((cell) => cell.textContent).join(" ").toLowerCase()]));

  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const line of lines) {
      const wanted = (memory.value === "all" || line.dataset.memory === memory.value) && words.every((word) => labels.get(line).includes(word));
      line.hidden = !wanted;
      shown += wanted ? 1 : 0;
    }
    count.textContent = shown === lines.length ? `${shown} operations.` : `${shown} of ${lines.length} operations.`;
  };
  filter.addEventListener("input", show);
  memory.addEventListener("change", show);

  for (const box of figure.querySelectorAll('input[name="layout"]')) {
    const column = () => {
      for (const cell of table.querySelectorAll("[data-layout]")) {
        if (cell.dataset.layout === box.value) cell.hidden = !box.checked;
      }
    };
    box.addEventListener("change", column);
    // A browser may restore the state of checkboxes after a reload.
    column();
  }
  show();

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.dataset.layout !== undefined;
      const value = (line) => line.cells[at].dataset.value;
      const sorted = [...lines].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        const order = numeric ? x - y : x.localeCompare(y);
        return down ? -order : order;
      });
      body.append(...sorted);
    });
  });
}

// Shows the value of the mark under the pointer, also on touch screens.
const tip = document.getElementById("tip");
const tell = (event) => {
  const mark = event.target.closest && event.target.closest("g.hits > *");
  if (!mark) {
    tip.hidden = true;
    return;
  }
  tip.textContent = mark.querySelector("title").textContent;
  tip.hidden = false;
  const width = tip.offsetWidth;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 4))}px`;
  tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
};
document.addEventListener("pointermove", tell);
document.addEventListener("pointerdown", tell);

// A link beside a heading or a figure copies its address.
for (const link of document.querySelectorAll("a.link")) {
  link.addEventListener("click", () => navigator.clipboard && navigator.clipboard.writeText(new URL(link.href).href).catch(() => {}));
}

// Nothing is folded on paper.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    fold.dataset.opened = "";
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-opened]")) {
    fold.open = false;
    delete fold.dataset.opened;
  }
});

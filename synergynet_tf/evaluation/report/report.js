"use strict";

// Sorts and filters the table of cases.
(() => {
  const table = document.getElementById("case-table");
  const { classes, absent, dash } = JSON.parse(document.getElementById("case-data").textContent);
  const text = document.getElementById("case-text");
  const choice = document.getElementById("case-class");
  const count = document.getElementById("case-count");
  const heads = [...table.tHead.rows[0].cells];
  const columns = heads.map((head) => head.dataset.column);
  const [caseColumn, patientColumn, foundColumn] = ["case", "patient", "found"].map(
    (name) => columns.indexOf(name),
  );
  // The scores of a case, in the order of their columns.
  const numbers = [...heads.keys()].filter((i) => heads[i].dataset.type === "number");
  const body = table.tBodies[0];
  // In their first order, which is that of the data.
  const rows = [...body.rows];
  const compareTexts = new Intl.Collator("en", { numeric: true }).compare;

  function value(index, column) {
    const number = numbers.indexOf(column);
    if (number < 0) return rows[index].cells[column].textContent;
    return classes[choice.value].values[index][number];
  }

  function show() {
    const wanted = text.value.trim().toLowerCase();
    const { found } = classes[choice.value];
    // The first choice is all classes, or the only one.
    const isAny = Number(choice.value) === 0;
    let shown = 0;
    rows.forEach((row, index) => {
      const name = `${value(index, caseColumn)}\n${value(index, patientColumn)}`.toLowerCase();
      const present = isAny || found[index] !== absent;
      row.hidden = !name.includes(wanted) || !present;
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = `${shown} of ${rows.length} cases`;
  }

  function fill() {
    const { values, found } = classes[choice.value];
    rows.forEach((row, index) => {
      row.cells[foundColumn].textContent = found[index];
      numbers.forEach((column, i) => {
        row.cells[column].textContent = values[index][i]?.toFixed(2) ?? dash;
      });
    });
  }

  function sort() {
    const column = heads.findIndex((head) => head.ariaSort);
    if (column < 0) return;
    const sign = heads[column].ariaSort === "ascending" ? 1 : -1;
    const order = rows.map((_, index) => index);
    order.sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (numbers.includes(column) ? a - b : compareTexts(a, b));
    });
    body.append(...order.map((index) => rows[index]));
  }

  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const head = button.closest("th");
    const next = head.ariaSort === "ascending" ? "descending" : "ascending";
    heads.forEach((other) => { other.ariaSort = null; });
    head.ariaSort = next;
    sort();
  });
  choice.addEventListener("change", () => { fill(); sort(); show(); });
  text.addEventListener("input", show);
  show();
})();

// Fades and hides the layers over an image.
for (const input of document.querySelectorAll("input[data-layer]")) {
  const article = input.closest("article");
  const layer = article.querySelector(`.layer.${input.dataset.layer}`);
  input.addEventListener("input", () => {
    if (input.type === "checkbox") {
      layer.style.visibility = input.checked ? "visible" : "hidden";
      return;
    }
    layer.style.opacity = input.value / 100;
    input.nextElementSibling.textContent = `${input.value} %`;
  });
}

// Marks where a code stands.
(() => {
  const choice = document.getElementById("code-choice");
  if (!choice) return;
  const data = JSON.parse(document.getElementById("code-data").textContent);
  const text = document.getElementById("code-text");
  const slices = document.getElementById("code-slices");

  function mark(code, said) {
    const counts = [...slices.querySelectorAll("figure")].map((figure) => {
      let count = 0;
      for (const square of figure.querySelectorAll("rect")) {
        const chosen = square.dataset.code === String(code);
        square.classList.toggle("chosen", chosen);
        count += chosen ? 1 : 0;
      }
      return `${figure.dataset.place} case ${count}`;
    });
    text.textContent = `${said}. Positions here: ${counts.join(", ")}.`;
  }

  function show() {
    mark(data.codes[choice.value], data.texts[choice.value]);
  }

  slices.addEventListener("click", (event) => {
    const { code } = event.target.dataset;
    if (code === undefined) return;
    // Nothing is chosen if the code is not in the list.
    choice.selectedIndex = data.codes.indexOf(Number(code));
    if (choice.selectedIndex < 0) mark(code, data.unlisted.replace("{}", code));
    else show();
  });
  choice.addEventListener("change", show);
  show();
})();

// What is folded away is printed, too.
{
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
}

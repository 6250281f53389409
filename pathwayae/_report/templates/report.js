"use strict";
// Tables that are sorted by a click on a head and searched by words; without this script they are read as they are.
function key(row, place) {
  const cell = row.cells[place];
  return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
}
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}
function sort(table, head, place) {
  const falls = head.getAttribute("aria-sort") === "ascending" ||
    (!head.hasAttribute("aria-sort") && head.classList.contains("number"));
  for (const one of head.parentNode.cells) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falls ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [key(row, place), row]);
  rows.sort(([a], [b]) => (falls && a !== "" && b !== "" ? compare(b, a) : compare(a, b)));
  body.append(...rows.map(([, row]) => row));
}
document.querySelectorAll(".scroll table").forEach((table) => {
  Array.from(table.tHead.rows[0].cells).forEach((head, place) => {
    const button = document.createElement("span");  // a button element is not repeated on printed pages
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.append(...head.childNodes);
    head.append(button);
    head.addEventListener("click", () => sort(table, head, place));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(table, head, place);
    });
  });
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length < 6) return;
  const tools = document.createElement("div"), input = document.createElement("input");
  const count = document.createElement("span");
  tools.className = "tools";
  input.type = "search";
  input.placeholder = "Search";
  input.setAttribute("aria-label", "Search in this table");
  count.setAttribute("role", "status");
  tools.append(input, count);
  table.closest(".scroll").before(tools);
  const words = rows.map((row) => row.textContent.toLowerCase());
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((row, i) => {
      const found = wanted.every((word) => words[i].includes(word));
      row.hidden = !found;
      n += found;
    });
    count.textContent = wanted.length ? n + " of " + rows.length + " rows" : "";
  });
});

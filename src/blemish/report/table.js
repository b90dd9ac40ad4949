// Sorting and filtering of the results. The state is in the address: #sort=image_AUROC&dir=descending&dataset=btad
(() => {
  const table = document.getElementById("results-table");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const controls = document.getElementById("controls");
  const fields = [...controls.querySelectorAll("input, select")];
  const status = document.getElementById("shown");
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const state = { sort: "", dir: "" };

  const value = (row, at) => row.cells[at].dataset.value ?? "";

  function order(first, second, at, sign, numeric) {
    const a = value(first, at), b = value(second, at);
    if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stays last, whatever the direction
    return sign * (numeric ? Number(a) - Number(b) : words.compare(a, b));
  }

  function sort(key, direction) {
    const at = heads.findIndex((head) => head.dataset.key === key);
    if (at < 0) return;
    const head = heads[at];
    direction = direction === "ascending" || direction === "descending" ? direction : head.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    const sorted = rows.map((row, i) => [row, i]).sort(
      (a, b) => order(a[0], b[0], at, sign, head.dataset.kind === "number") || a[1] - b[1]
    );
    body.append(...sorted.map(([row]) => row));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction);
    Object.assign(state, { sort: key, dir: direction });
  }

  function filter() {
    let shown = 0;
    for (const row of rows) {
      const fits = fields.every((field) => {
        if (field.value === "") return true;
        if (field.name === "find") return value(row, 0).toLowerCase().includes(field.value.toLowerCase());
        return row.dataset[field.name] === field.value;
      });
      row.hidden = !fits;
      shown += fits;
    }
    status.textContent = `${shown} of ${rows.length} rows`;
  }

  function remember() {
    const parts = new URLSearchParams();
    if (state.sort) { parts.set("sort", state.sort); parts.set("dir", state.dir); }
    for (const field of fields) if (field.value !== "") parts.set(field.name, field.value);
    try { history.replaceState(null, "", "#" + parts); } catch { /* some viewers forbid it; the table works without */ }
  }

  function restore() {
    if (!location.hash.includes("=")) return; // a link to a section
    const parts = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) if (parts.has(field.name)) field.value = parts.get(field.name);
    if (parts.has("sort")) sort(parts.get("sort"), parts.get("dir"));
    filter();
  }

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(head.dataset.key, now === "ascending" ? "descending" : now === "descending" ? "ascending" : "");
      remember();
    });
  }
  for (const field of fields) field.addEventListener("input", () => { filter(); remember(); });
  document.getElementById("everything").addEventListener("click", () => {
    for (const field of fields) field.value = "";
    filter();
    remember();
  });
  controls.hidden = false;
  filter();
  restore();
  addEventListener("hashchange", restore);
})();

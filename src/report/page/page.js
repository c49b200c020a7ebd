// Sorting, filtering and the heat map of a report. Without this script the page is whole: tables stay in the plan's
// order and the heat map shows its first trial.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("stamp-data").textContent);
  document.documentElement.classList.add("scripted");

  const number = (text) => {
    if (text === "") return null;
    const value = Number(text);
    return Number.isNaN(value) ? null : value;
  };

  // ---- tables that sort and filter: trials, runs, runs side by side ----

  // Empty keys come last whichever way the column is sorted; equal ones keep the order of the page.
  function compare(a, b, numeric, sign) {
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.order - b.order;
    const byKey = numeric
      ? number(a.key) - number(b.key)
      : a.key.localeCompare(b.key, "en", { numeric: true });
    return sign * byKey || a.order - b.order;
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    [...body.rows].forEach((row, order) => { row.dataset.order = order; });
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => ({
          row, key: row.cells[column].dataset.key ?? row.cells[column].textContent, order: Number(row.dataset.order),
        }));
        const numeric = head.dataset.type === "number" ||
          (head.dataset.type === "auto" && rows.every((r) => r.key === "" || number(r.key) !== null));
        rows.sort((a, b) => compare(a, b, numeric, sign));
        rows.forEach((r) => body.append(r.row));
      });
    });
  }

  function filterable(key, table) {
    const search = document.getElementById(`${key}-filter`);
    const count = document.getElementById(`${key}-count`);
    const selects = [...search.closest(".controls").querySelectorAll("select")];
    const rows = [...table.tBodies[0].rows];
    const update = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const fits = words.every((word) => text.includes(word)) &&
          selects.every((s) => s.value === "" || row.cells[Number(s.dataset.column)].dataset.key === s.value);
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      }
      const all = `${rows.length} ${table.dataset.noun}`;
      count.textContent = shown === rows.length ? all : `${shown} of ${all}`;
    };
    search.addEventListener("input", update);
    selects.forEach((s) => s.addEventListener("change", update));
    document.getElementById(`${key}-clear`).addEventListener("click", () => {
      search.value = "";
      selects.forEach((s) => { s.value = ""; });
      update();
      search.focus();
    });
    update();
  }

  // ---- the heat map ----

  const infinite = (value) => value === "inf" || value === "-inf";

  function shade(measure, value) {
    if (value === null || value === "nan") return -1;
    const scaled = measure.log ? Math.log : (v) => v;
    let t = 0;
    if (infinite(value)) t = value === "inf" ? 1 : 0;
    else if (measure.log && value <= 0) t = 0;
    else if (measure.high > measure.low)
      t = (scaled(value) - scaled(measure.low)) / (scaled(measure.high) - scaled(measure.low));
    if (!measure.high_is_bad) t = measure.high > measure.low ? 1 - t : 0;
    return Math.max(0, Math.min(8, Math.floor(9 * t)));
  }

  function shown(measure, value) {
    if (value === null || value === "nan") return "";
    if (infinite(value)) return value === "inf" ? "\u221e" : "\u2212\u221e";
    if (measure.key === "sqnr") return value.toFixed(1);
    if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1);
    return String(Number(value.toPrecision(3)));
  }

  function heatMap(run) {
    const table = document.getElementById(`${run.key}-heat-table`);
    if (!table) return;
    const trialSelect = document.getElementById(`${run.key}-heat-trial`);
    const measureSelect = document.getElementById(`${run.key}-heat-measure`);
    const readout = document.getElementById(`${run.key}-heat-readout`);
    const range = document.getElementById(`${run.key}-heat-range`);
    const names = new Map(run.trials.map((t) => [t.id, t.name]));
    const { layers, kinds, measures, trials } = run.heat;
    const cells = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));

    const draw = () => {
      const measure = measures[Number(measureSelect.value)];
      const values = trials[trialSelect.value][Number(measureSelect.value)];
      table.caption.textContent =
        `${names.get(trialSelect.value)}: ${measure.name}, by layer and kind of slot. Arrow keys move between cells.`;
      const unit = measure.unit ? ` ${measure.unit}` : "";
      const ends = [shown(measure, measure.low), shown(measure, measure.high)];
      if (!measure.high_is_bad) ends.reverse();
      range.textContent = `${ends[0]} to ${ends[1]}${unit}${measure.log ? ", logarithmic" : ""}, over all trials of this run`;
      cells.forEach((row, r) => row.forEach((cell, c) => {
        const text = shown(measure, values[r][c]);
        const step = shade(measure, values[r][c]);
        cell.textContent = text;
        cell.className = step < 0 ? "none" : `h${step}`;
        cell.title = `layer ${layers[r]}, ${kinds[c]}: ${text || "not measured"}${text ? unit : ""}`;
      }));
    };

    // All measures of the cell at once.
    const tell = (r, c) => {
      const parts = measures.map((m, i) => {
        const text = shown(m, trials[trialSelect.value][i][r][c]);
        return text === "" ? null : `${m.name} ${text}${m.unit ? ` ${m.unit}` : ""}`;
      });
      readout.textContent = `layer ${layers[r]}, ${kinds[c]}: ${parts.filter(Boolean).join("; ") || "not measured"}`;
    };

    const at = (cell) => [cell.parentElement.sectionRowIndex, cell.cellIndex - 1];
    table.tBodies[0].addEventListener("mouseover", (event) => {
      if (event.target.tagName === "TD") tell(...at(event.target));
    });
    table.tBodies[0].addEventListener("focusin", (event) => {
      if (event.target.tagName === "TD") tell(...at(event.target));
    });
    // One stop of the tab key for the whole map; arrows move inside it.
    table.tBodies[0].addEventListener("keydown", (event) => {
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const step = steps[event.key];
      if (!step || event.target.tagName !== "TD") return;
      const [r, c] = at(event.target);
      const next = cells[r + step[0]]?.[c + step[1]];
      if (!next) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    trialSelect.addEventListener("change", draw);
    measureSelect.addEventListener("change", draw);
    draw();
  }

  // A link to a trial opens its details.
  const open = () => {
    const target = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();

  for (const table of document.querySelectorAll("table[data-controls]")) {
    sortable(table);
    filterable(table.dataset.controls, table);
  }
  data.runs.forEach(heatMap);
})();

"use strict";
(() => {
  const boxes = [...document.querySelectorAll(".confirm input")];
  const bar = document.querySelector(".export");
  let unsaved = false;
  const confirmed = () => {
    const rows = new Map();
    for (const { checked, dataset: d } of boxes)
      if (checked && !rows.has(JSON.stringify([d.first, d.second])))
        rows.set(JSON.stringify([d.first, d.second]), [d.first, d.second, ...JSON.parse(d.lesions), d.score, d.kind]);
    return [...rows.values()];
  };
  const count = () => { bar.querySelector(".chosen").textContent = confirmed().length; };
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  for (const box of boxes) box.addEventListener("change", () => { unsaved = true; count(); });
  for (const button of document.querySelectorAll(".modes button"))
    button.addEventListener("click", () => {
      for (const one of document.querySelectorAll(`.pair > .${button.dataset.mode}`)) one.checked = true;
    });
  bar.querySelector("button").addEventListener("click", () => {
    const rows = [["first", "second", "first_lesion", "second_lesion", "score", "kind"], ...confirmed()];
    const text = rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "confirmed_pairs.csv";
    link.click();
    unsaved = false;
  });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  for (const one of document.querySelectorAll(".modes, .export")) one.hidden = !boxes.length;
  count();
})();

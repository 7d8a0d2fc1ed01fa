"use strict";
// Ticks all alarms at once, and says how many are ticked. Without it, each is ticked by itself.

const ticks = () => [...document.querySelectorAll("input[name=id][form=acknowledge]")];
const all = document.getElementById("tick-all");
const told = document.getElementById("ticked");

const tell = () => {
  const ticked = ticks().filter((each) => each.checked).length;
  all.checked = ticked > 0 && ticked === ticks().length;
  all.indeterminate = ticked > 0 && !all.checked;
  const text = ticked ? `${ticked} ticked` : "Tick what you have seen";
  if (told.textContent !== text) told.textContent = text;
};

if (all) {
  document.getElementById("tick-them").hidden = false;
  all.addEventListener("change", () => {
    ticks().forEach((each) => (each.checked = all.checked));
    tell();
  });
  document.addEventListener("change", (event) => event.target.name === "id" && tell());
  tell();
}

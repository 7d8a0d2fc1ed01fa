"use strict";
// The map of the network: zoom, pan, and whom a host talks with. Without it the map is a box that scrolls.

const LEAST = 0.25, MOST = 4, STEP = 1.25, MOVE = 80;
const maps = new WeakMap(); // each map's box, and how large it is shown (1: as it was drawn)

const pictureOf = (map) => map.querySelector("svg.network");
const viewOf = (map) => map.querySelector(".map-view");
const naturalWidth = (svg) => svg.viewBox.baseVal.width;

// Show a map at a scale; the point that was in the middle of the view, or under the pointer, stays where it was.
function scaleTo(map, wanted, at) {
  const svg = pictureOf(map), view = viewOf(map), before = maps.get(map);
  if (!svg) return;
  const scale = Math.min(MOST, Math.max(LEAST, wanted));
  const x = at ? at.x : view.clientWidth / 2, y = at ? at.y : view.clientHeight / 2;
  const left = (view.scrollLeft + x) / before, top = (view.scrollTop + y) / before;
  maps.set(map, scale);
  svg.style.width = `${naturalWidth(svg) * scale}px`;
  svg.style.height = `${svg.viewBox.baseVal.height * scale}px`;
  view.scrollLeft = left * scale - x;
  view.scrollTop = top * scale - y;
}
const fitting = (map) => Math.min(1.2, viewOf(map).clientWidth / naturalWidth(pictureOf(map)));
const zoom = (map, way, at) => scaleTo(map, way === "fit" ? fitting(map) : (maps.get(map)) * (way === "in" ? STEP : 1 / STEP), at);

// Who talks with the host that is pointed at, or has the focus: the rest steps back.
function light(map, box) {
  const svg = pictureOf(map);
  svg.querySelectorAll(".lit").forEach((each) => each.classList.remove("lit"));
  svg.classList.toggle("lighting", Boolean(box));
  if (!box) return;
  const near = new Set([box.dataset.id]);
  svg.querySelectorAll("[data-ends]").forEach((each) => {
    const ends = each.dataset.ends.split(" ");
    if (!ends.includes(box.dataset.id)) return;
    each.classList.add("lit");
    ends.forEach((end) => near.add(end));
  });
  svg.querySelectorAll("a.box").forEach((each) => near.has(each.dataset.id) && each.classList.add("lit"));
}

function begin(map) {
  if (maps.has(map)) return;
  maps.set(map, 1);
  const view = viewOf(map), tools = map.querySelector(".map-tools");
  tools.hidden = false;
  map.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) zoom(map, button.dataset.zoom);
  });
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { "+": "in", "=": "in", "-": "out", "−": "out", 0: "fit" }[event.key];
    const moves = { ArrowLeft: [-MOVE, 0], ArrowRight: [MOVE, 0], ArrowUp: [0, -MOVE], ArrowDown: [0, MOVE] }[event.key];
    if (way) zoom(map, way);
    else if (moves) view.scrollBy(...moves);
    else return;
    event.preventDefault();
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // the wheel alone scrolls, as everywhere
    event.preventDefault();
    const box = view.getBoundingClientRect();
    scaleTo(map, (maps.get(map)) * Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
  }, { passive: false });
  drag(view);
  for (const [name, on] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
    view.addEventListener(name, (event) => {
      const box = event.target.closest && event.target.closest("a.box");
      if (box) light(map, on ? box : null);
    });
  }
  if (matchMedia("(min-width: 60rem)").matches) zoom(map, "fit");
  view.scrollTop = 0;
  view.scrollLeft = (view.scrollWidth - view.clientWidth) / 2; // a phone begins in the middle
  // Where the page brings itself up to date, the map is drawn anew: it keeps its size.
  new MutationObserver(() => {
    const svg = pictureOf(map);
    if (svg && !svg.style.width) scaleTo(map, maps.get(map));
    if (tools.hidden) tools.hidden = false;
  }).observe(map, { subtree: true, childList: true, attributes: true, attributeFilter: ["style", "hidden"] });
}

// With a mouse the map is dragged, as paper is; a finger scrolls anyway. A drag is no click on what it began at.
function drag(view) {
  let from = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    from = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop, moved: false };
  });
  window.addEventListener("pointermove", (event) => {
    if (!from) return;
    from.moved ||= Math.hypot(event.clientX - from.x, event.clientY - from.y) > 4;
    if (!from.moved) return;
    view.classList.add("dragging");
    view.scrollLeft = from.left - (event.clientX - from.x);
    view.scrollTop = from.top - (event.clientY - from.y);
  });
  window.addEventListener("pointerup", () => setTimeout(() => {
    from = null;
    view.classList.remove("dragging");
  }));
  view.addEventListener("click", (event) => from && from.moved && event.preventDefault(), true);
  view.addEventListener("dragstart", (event) => event.preventDefault());
}

const beginAll = () => document.querySelectorAll("[data-map]").forEach(begin);
beginAll();
new MutationObserver(beginAll).observe(document.querySelector("main"), { subtree: true, childList: true });

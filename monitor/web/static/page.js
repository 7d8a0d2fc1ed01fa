"use strict";
// What a page does beyond what HTML does. Everything works without it; with it, pages keep themselves up to date.

const menu = document.querySelector(".menu");
if (menu && matchMedia("(min-width: 60.01rem)").matches) menu.open = true;

// Menus close when something else is clicked, or Escape is pressed.
const closable = () => document.querySelectorAll(".me[open]");
document.addEventListener("click", (event) => closable().forEach((each) => each.contains(event.target) || (each.open = false)));
document.addEventListener("keydown", (event) => event.key === "Escape" && closable().forEach((each) => (each.open = false)));

"use strict";
// What a page does beyond what HTML does. Everything works without it; with it, pages keep themselves up to date.

const menu = document.querySelector(".menu");
if (menu && matchMedia("(min-width: 60.01rem)").matches) menu.open = true;

// Menus close when something else is clicked, or Escape is pressed.
const closable = () => document.querySelectorAll(".me[open]");
document.addEventListener("click", (event) => closable().forEach((each) => each.contains(event.target) || (each.open = false)));
document.addEventListener("keydown", (event) => event.key === "Escape" && closable().forEach((each) => (each.open = false)));

// How long ago things were, kept true by the server's clock: ours may be wrong.
const UNITS = [[31536000, "yr"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]; // as monitor/pictures.py has them
const shownAt = () => document.querySelector("[data-region=shown-at] time");
const momentOf = (time) => Date.parse(time.getAttribute("datetime"));
let ahead = shownAt() ? momentOf(shownAt()) - Date.now() : 0; // milliseconds that the server's clock is before ours

const duration = (seconds) => {
  const [size, unit] = UNITS.find((each) => seconds >= each[0]) || [1, "s"];
  const amount = seconds / size;
  return `${amount < 10 ? String(Number(amount.toFixed(1))) : amount.toFixed(0)} ${unit}`;
};
const tellTimes = () => document.querySelectorAll("time[data-ago]").forEach((time) => {
  const text = `${duration(Math.max(0, Math.round((Date.now() + ahead - momentOf(time)) / 1000)))} ago`;
  if (time.textContent !== text) time.textContent = text;
});
setInterval(tellTimes, 1000);

// An element becomes as a new one is, part by part: whoever reads, types or has opened something in it is not disturbed.
const keyOf = (node) => {
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  if (node.id || node.dataset.key) return `${node.nodeName} ${node.id || node.dataset.key}`;
  if (!["TR", "LI", "DETAILS", "FORM", "FIGURE", "ARTICLE"].includes(node.nodeName)) return "";
  const told = node.querySelector("[id], a[href], input[value]:not([name=form_key])");
  return told ? `${node.nodeName} ${told.id || told.getAttribute("href") || `${told.name} ${told.value}`}` : "";
};
const isTyped = (node) => ("defaultValue" in node && node.value !== node.defaultValue) ||
  ("defaultChecked" in node && node.checked !== node.defaultChecked);

const become = (old, made, changed) => {
  if (old.nodeType !== made.nodeType || old.nodeName !== made.nodeName) {
    old.replaceWith(made);
    changed.push(made);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== made.data) {
      old.data = made.data;
      changed.push(old);
    }
  } else if (!isTyped(old) && !old.isEqualNode(made)) {
    haveAttributes(old, made);
    haveParts(old, made, changed);
  }
};
const haveAttributes = (old, made) => {
  const own = (name) => name === "open" && old.nodeName === "DETAILS"; // whoever opened it wants it so
  for (const { name } of [...old.attributes]) if (!made.hasAttribute(name) && !own(name)) old.removeAttribute(name);
  for (const { name, value } of made.attributes) if (old.getAttribute(name) !== value && !own(name)) old.setAttribute(name, value);
};
const haveParts = (old, made, changed) => {
  const left = [...old.childNodes].map((node) => ({ node, key: keyOf(node) })); // those that no new one has taken yet
  const taken = (part) => {
    const key = keyOf(part);
    const found = left.findIndex((each) => each.key === key && each.node.nodeName === part.nodeName);
    return found < 0 ? null : left.splice(found, 1)[0].node;
  };
  const parts = [...made.childNodes].map((part) => [taken(part), part]);
  left.forEach((each) => each.node.remove());
  let here = old.firstChild;
  for (const [same, part] of parts) {
    if (!same) {
      old.insertBefore(part, here);
      changed.push(part);
      continue;
    }
    if (same === here) here = here.nextSibling;
    else old.insertBefore(same, here);
    become(same, part, changed);
  }
};

// What changed is marked for a moment; times that went on are no change.
const FRESH = 2500; // milliseconds
const freshen = (changed) => {
  const elements = changed.filter((node) => node.nodeType !== Node.TEXT_NODE || node.data.trim())
    .map((node) => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement))
    .filter((each) => each && !each.closest("time, [data-region=shown-at]"));
  const marked = new Set(elements.map((each) => each.closest("tr, li, dd, p, .tile, .card, figure") || each));
  marked.forEach((each) => each.classList.add("fresh"));
  setTimeout(() => marked.forEach((each) => each.classList.remove("fresh")), FRESH);
  return marked.size > 0;
};

// A page that says what it lives from listens for that, and has its regions made anew. It says when it cannot.
const topics = (document.body.dataset.live || "").split(/[\s,]+/).filter(Boolean);
const lost = document.getElementById("lost");
const live = document.getElementById("live");
const APART = 2000, PATIENCE = 20000; // milliseconds between two looks, and that one may take
const BEATS = 12000, FAILS = 3000; // without a sign of life, and with an error, before the page says that it is lost
const BY_ITSELF = 15000, ALONE = 40000; // between two looks where nobody tells, and before it says the same then
const SAID_APART = 10000; // between two announcements to those who listen to the page
let stream = null, timer = null, wanted = false, busy = false, lookedAt = 0, saidAt = 0;
let goodAt = Date.now(), failsSince = 0, isOver = false;

const clockText = (moment) => new Intl.DateTimeFormat("sv-SE",
  { timeZone: document.body.dataset.zone, dateStyle: "short", timeStyle: "medium" }).format(moment);
const sayLost = (text) => {
  if (lost.textContent !== text) lost.textContent = text;
  lost.hidden = !text;
  document.body.classList.toggle("lost", Boolean(text));
};
const isGood = () => {
  goodAt = Date.now();
  if (!isOver) sayLost("");
};
const end = (text, address, word) => {
  isOver = true;
  if (stream) stream.close();
  sayLost(text);
  if (address) lost.append(" ", Object.assign(document.createElement("a"), { href: address, textContent: word }));
};

const renew = (made) => {
  const changed = [], focused = document.activeElement;
  for (const region of document.querySelectorAll("[data-region]")) {
    const same = made.querySelector(`[data-region="${CSS.escape(region.dataset.region)}"]`);
    if (same) become(region, same, changed);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  ahead = momentOf(shownAt()) - Date.now();
  if (freshen(changed) && Date.now() - saidAt > SAID_APART) {
    saidAt = Date.now();
    live.textContent = `updated at ${shownAt().textContent.slice(11)}`;
  }
};
const look = async () => {
  timer = null;
  busy = true;
  wanted = false;
  lookedAt = Date.now();
  const control = new AbortController(), limit = setTimeout(() => control.abort(), PATIENCE);
  try {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store", signal: control.signal });
    if (new URL(answer.url).pathname === "/sign-in") {
      const then = encodeURIComponent(location.pathname + location.search);
      return end(`You are signed out. This page shows ${shownAt().textContent}.`, `/sign-in?then=${then}`, "Sign in again");
    }
    if (answer.status >= 400 && answer.status < 500) {
      return end(`This page shows ${shownAt().textContent}, and does not update itself.`);
    }
    if (!answer.ok) throw new Error(answer.statusText);
    renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
    isGood();
  } catch {
    want();
  } finally {
    clearTimeout(limit);
    busy = false;
    if (wanted) want();
  }
};
const want = () => {
  wanted = true;
  if (!busy && !timer && !isOver) timer = setTimeout(look, Math.max(0, lookedAt + APART - Date.now()));
};

const listen = () => {
  if (isOver || document.hidden || !window.EventSource || (stream && stream.readyState !== EventSource.CLOSED)) return;
  stream = new EventSource(`/live?at=${encodeURIComponent(shownAt().getAttribute("datetime"))}`);
  stream.addEventListener("open", () => (failsSince = 0));
  stream.addEventListener("error", (event) => {
    failsSince = failsSince || Date.now();
    if (event.target.readyState === EventSource.CLOSED) want(); // there is no place, or we are signed out: that says which
  });
  stream.addEventListener("moved", (event) => {
    if (event.data.split(" ").some((each) => topics.includes(each))) want();
    else heard(event);
  });
  stream.addEventListener("beat", (event) => heard(event));
};
const heard = (event) => { // nothing of ours has moved until then
  if (wanted || busy) return;
  const moment = new Date(event.lastEventId), time = shownAt();
  time.setAttribute("datetime", event.lastEventId);
  time.title = event.lastEventId;
  time.textContent = clockText(moment);
  ahead = moment - Date.now();
  isGood();
};
const hush = () => {
  if (stream) stream.close();
  stream = null;
  failsSince = 0;
};
const check = () => {
  if (isOver || document.hidden) return;
  const now = Date.now(), tells = stream && stream.readyState !== EventSource.CLOSED;
  if (!tells && now - lookedAt > BY_ITSELF) {
    want();
    listen();
  }
  const fails = failsSince && tells && now - failsSince > FAILS;
  if (fails || now - goodAt > (tells ? BEATS : ALONE)) {
    sayLost(`Not up to date since ${clockText(new Date(goodAt + ahead)).slice(11)}: the connection to asbuilt is lost. `
      + "What is shown may have changed since. This page tries again by itself.");
  }
};
if (topics.length && shownAt()) {
  listen();
  setInterval(check, 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return hush();
    listen();
    want();
  });
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      listen();
      want();
    }
  });
}

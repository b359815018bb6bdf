// Turnspit's dashboard: live updates, keys, suggestions, copying. Every page reads the same without this.

const root = document.body.dataset.root;
const live = document.getElementById("live");
const pulse = document.getElementById("pulse");

// -- Live: the server sends the live part as HTML. Only what differs is changed in the page, so that ticked boxes, open
// -- details, the focus and what somebody is typing stay.

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined;
}

// A form never becomes another form: somebody may be about to press its button.
function isSame(old, fresh) {
  return (
    old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh) &&
    (old.nodeName !== "FORM" || old.getAttribute("action") === fresh.getAttribute("action"))
  );
}

function takeOver(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const isOurs = (name === "open" && old.nodeName === "DETAILS") || name === "class" && old.classList.contains("marked");
    if (!fresh.hasAttribute(name) && !isOurs) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    const isMarked = name === "class" && old.classList.contains("marked");
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (isMarked) old.classList.add("marked");
  }
  if (old.nodeName !== "TEXTAREA") takeOverChildren(old, fresh);
}

function takeOverChildren(parent, fresh) {
  const keyed = new Map([...parent.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = parent.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    let match = key !== undefined ? keyed.get(key) : place;
    while (key === undefined && match && !isSame(match, next)) match = match.nextSibling; // skip what is gone
    keyed.delete(key); // another node of this key is another one
    if (match && isSame(match, next)) {
      if (match !== place) bring(parent, match, place);
      else place = place.nextSibling;
      takeOver(match, next);
    } else {
      parent.insertBefore(next, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// Move a child forward, before another one. A node that is moved loses the focus: if the child has it, move the nodes
// between them behind the child instead.
function bring(parent, child, place) {
  if (!child.contains(document.activeElement)) {
    parent.insertBefore(child, place);
    return;
  }
  const behind = child.nextSibling;
  for (let other = place, next; other !== child; other = next) {
    next = other.nextSibling;
    parent.insertBefore(other, behind);
  }
}

function show(html) {
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  takeOverChildren(live, fresh);
  prepare(live);
  say("live", false);
}

function say(text, isLost) {
  pulse.hidden = false;
  pulse.textContent = text;
  pulse.classList.toggle("lost", isLost);
}

let source = null;
let polling = null;

function watch() {
  if (!live || source || polling) return;
  const address = `${root}/live?page=${encodeURIComponent(live.dataset.live)}`;
  if ("polls" in live.dataset) {
    const ask = async () => {
      try {
        const answer = await fetch(`${address}&once=1`);
        if (answer.ok) show(await answer.text());
        else say("not connected", true);
      } catch {
        say("not connected", true);
      }
    };
    polling = setInterval(ask, 4000);
    return;
  }
  source = new EventSource(address);
  source.addEventListener("page", (event) => show(JSON.parse(event.data)));
  source.addEventListener("again", () => (rest(), watch()));
  source.addEventListener("busy", () => watchLater("not live"));
  source.addEventListener("error", () => {
    // A browser connects again by itself, but not after an answer like 502, which a proxy gives during a deploy.
    if (source?.readyState === EventSource.CLOSED) watchLater("not connected");
    else say("not connected", true);
  });
}

function watchLater(text) {
  rest();
  say(text, true);
  setTimeout(() => document.hidden || watch(), 5000);
}

function rest() {
  source?.close();
  clearInterval(polling);
  source = polling = null;
}

// A hidden page is not updated, so that it costs the store nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : watch()));
window.addEventListener("pagehide", rest);
if (!document.hidden) watch();

// -- Controls that need this script are hidden until it has run.

function prepare(within) {
  for (const button of within.querySelectorAll("[data-copy]")) button.hidden = false;
}
prepare(document);
document.getElementById("show-help").hidden = false;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    const label = button.textContent;
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1200);
  }
  if (event.target.id === "show-help") document.getElementById("help").showModal();
  for (const open of document.querySelectorAll("details.sure[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-tick-all]")) return;
  for (const box of event.target.closest("form").querySelectorAll("input[name=id]")) box.checked = event.target.checked;
});

// -- Keys.

const places = { o: "/", j: "/jobs", d: "/dead", q: "/queues", s: "/schedules", f: "/workflows", w: "/workers", m: "/metrics" };
let goes = false;

function rows() {
  return [...document.querySelectorAll("[data-row]")];
}

function marked() {
  return document.querySelector("[data-row].marked");
}

function mark(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(marked());
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  all[at]?.classList.remove("marked");
  next.classList.add("marked");
  next.scrollIntoView({ block: "nearest" });
}

if (location.hash === "#search") document.querySelector("[data-search]")?.focus();

const actions = {
  "/": () => {
    const box = document.querySelector("[data-search]");
    if (box) box.focus();
    else location.assign(`${root}/jobs#search`);
  },
  j: () => mark(1),
  k: () => mark(-1),
  Enter: () => marked()?.querySelector("[data-open]")?.click(),
  x: () => marked()?.querySelector("input[type=checkbox]")?.click(),
  r: () => {
    const row = marked();
    const box = row?.querySelector("input[type=checkbox]");
    if (box) box.checked = true;
    (row?.querySelector("[data-replay]") ?? document.querySelector("[data-replay], button.replay"))?.focus();
  },
  "?": () => document.getElementById("help").showModal(),
  g: () => {
    goes = true;
    setTimeout(() => (goes = false), 1200);
  },
};

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), textarea, select") || event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (goes && places[event.key]) {
    location.assign(root + places[event.key]);
    return;
  }
  if (event.key === "Enter" && event.target.matches("a, button, summary, input")) return;
  const action = actions[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

// -- Suggestions for the search box.

for (const box of document.querySelectorAll("[data-search]")) {
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  box.after(list);
  box.setAttribute("role", "combobox");
  box.setAttribute("aria-controls", "suggestions");
  box.setAttribute("aria-expanded", "false");
  box.setAttribute("aria-autocomplete", "list");
  let asked = 0;

  const close = () => {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const choose = (item) => {
    box.value = item.textContent + (/[:.]$/.test(item.textContent) ? "" : " ");
    box.focus();
    suggest();
  };
  const suggest = async () => {
    const number = ++asked;
    const answer = await fetch(`${root}/suggest?q=${encodeURIComponent(box.value)}`).catch(() => null);
    if (number !== asked || !answer?.ok) return;
    const found = (await answer.text()).split("\n").filter((text) => text && text !== box.value);
    if (number !== asked || document.activeElement !== box) return;
    list.replaceChildren(
      ...found.map((text, place) => {
        const item = document.createElement("li");
        item.textContent = text;
        item.id = `suggestion-${place}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        return item;
      }),
    );
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(found.length > 0));
  };
  box.addEventListener("input", suggest);
  box.addEventListener("focus", suggest);
  box.addEventListener("blur", () => setTimeout(close, 150));
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    if (event.target.matches("li")) choose(event.target);
  });
  box.addEventListener("keydown", (event) => {
    const items = [...list.children];
    const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    if (event.key === "Escape") close();
    if (list.hidden || !items.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length];
      items[at]?.setAttribute("aria-selected", "false");
      next.setAttribute("aria-selected", "true");
      box.setAttribute("aria-activedescendant", next.id);
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) {
      event.preventDefault();
      choose(items[at]);
    }
  });
}

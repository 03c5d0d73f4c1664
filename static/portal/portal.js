// Small behaviours the pages can live without: theme, dialogs, copy, toasts, local times, stale mark.
(() => {
  const root = document.documentElement;
  root.dataset.script = "yes"; // buttons that only a browser without script needs go away
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  const wanted = new URLSearchParams(location.search).get("theme") || stored;
  if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;

  const on = (type, selector, act) => document.addEventListener(type, (event) => {
    const hit = event.target.closest?.(selector);
    if (hit) act(hit, event);
  });

  function toast(text) {
    const place = document.querySelector(".toasts");
    if (!place) return;
    const note = Object.assign(document.createElement("p"), { className: "toast", textContent: text });
    place.append(note);
    setTimeout(() => note.remove(), 5000);
  }

  on("click", "[data-theme-switch]", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private window: for this page only */ }
    document.dispatchEvent(new Event("portal:theme"));
  });
  // A link to the confirmation page; where its dialog is on this page, the dialog opens instead.
  on("click", "[data-dialog]", (link, event) => {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    dialog.showModal();
  });
  on("click", "[data-close]", (button) => button.closest("dialog").close());
  on("click", "dialog", (dialog, event) => { if (event.target === dialog) dialog.close(); });
  on("click", "[data-copy]", async (button) => { await navigator.clipboard?.writeText(button.dataset.copy); toast("Copied"); });
  document.addEventListener("click", (event) => document.querySelectorAll("details.menu[open]").forEach((m) => m.contains(event.target) || m.removeAttribute("open")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((m) => { m.removeAttribute("open"); m.querySelector("summary").focus(); });
  });

  // A form is sent once: a second click while the server works does nothing.
  on("submit", "form[method=post]", (form, event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 3000);
  });

  // Choosing something that the rest of the form depends on presses the button that shows it.
  on("change", "[data-refreshes]", (field) => document.getElementById(field.dataset.refreshes)?.click());

  // <time datetime="…Z" data-local>: written in UTC by the server, shown in the reader's zone, UTC on hover.
  function localise() {
    const today = new Date();
    for (const time of document.querySelectorAll("time[data-local]")) {
      const when = new Date(time.dateTime);
      const clock = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: time.dataset.local === "s" ? "2-digit" : undefined, hourCycle: "h23" });
      const sameDay = when.toDateString() === today.toDateString();
      const day = when.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: when.getFullYear() === today.getFullYear() ? undefined : "numeric" });
      time.title = when.toISOString().replace("T", " ").slice(0, 19) + " UTC";
      time.textContent = sameDay ? clock : time.dataset.local === "s" ? `${day} ${clock.slice(0, 5)}` : `${day} ${clock}`;
    }
  }

  // The age of the newest sample; beyond 10 s it says so by word, shape and colour. `read` is when the
  // page (or the fragment that replaced the mark) came, so that the age counts on from there.
  const read = new WeakMap();
  function age() {
    let stale = false;
    for (const mark of document.querySelectorAll("[data-age]")) {
      if (!read.has(mark)) read.set(mark, performance.now());
      const seconds = Number(mark.dataset.age) + Math.floor((performance.now() - read.get(mark)) / 1000);
      const behind = seconds > 10;
      stale ||= behind;
      mark.toggleAttribute("data-stale", behind);
      mark.textContent = behind ? `Stale: last sample ${seconds}\u00a0s ago` : `Live, last sample ${seconds}\u00a0s ago`;
    }
    for (const notice of document.querySelectorAll("[data-stale-notice]")) notice.hidden = !stale;
  }

  // The server has not answered: say so, and go on asking (htmx does).
  let lost = false;
  function reach(reached) {
    if (lost === !reached) return;
    lost = !reached;
    for (const notice of document.querySelectorAll("[data-lost-notice]")) notice.hidden = reached;
  }
  document.addEventListener("htmx:sendError", () => reach(false));
  document.addEventListener("htmx:responseError", () => reach(false));
  document.addEventListener("htmx:afterOnLoad", () => reach(true));

  document.addEventListener("DOMContentLoaded", () => { localise(); age(); setInterval(age, 1000); });
  document.addEventListener("htmx:load", () => { localise(); age(); });
})();

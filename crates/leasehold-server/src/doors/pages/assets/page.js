// Puts what has changed on the server into the page: the page is asked for again and its content is
// morphed, so that nothing jumps and nothing that is being typed is lost. Without this script the
// pages read and work; they only stand still.
(() => {
  "use strict";
  const root = document.documentElement;
  const main = document.getElementById("main");
  // A form stands still: it may be the answer to one, which cannot be asked for again.
  if (!root.dataset.now || main.querySelector("form.fields")) return;

  const live = document.getElementById("live");
  root.classList.add("scripted");
  let ahead = Date.now() - Number(root.dataset.now);
  const serverNow = () => Date.now() - ahead;

  // Times.
  const length = (milliseconds) => {
    const s = Math.max(0, Math.floor(milliseconds / 1000));
    const m = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(s / 86400);
    if (d) return `${d} d ${h % 24} h`;
    if (h) return `${h} h ${m % 60} min`;
    if (m >= 10) return `${m} min`;
    if (m) return `${m} min ${s % 60} s`;
    return `${s} s`;
  };
  const write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  let isDue = false;
  const tick = () => {
    const now = serverNow();
    for (const time of main.querySelectorAll("time[data-ago]"))
      write(time, `${length(now - Number(time.dataset.ago))} ago`);
    for (const time of main.querySelectorAll("time[data-until]")) {
      const left = Number(time.dataset.until) - now;
      write(time, left > 0 ? `in ${length(left)}` : "now");
      if (left <= 0 && left > -1500) isDue = true;
    }
  };

  // Content.
  const isTyped = (form) => [...form.elements].some((field) =>
    field.matches("input:not([type=hidden]), textarea, select") &&
    (field === document.activeElement ||
      (field.type === "radio" || field.type === "checkbox"
        ? field.checked !== field.defaultChecked
        : field.tagName === "SELECT"
          ? [...field.options].some((option) => option.selected !== option.defaultSelected)
          : field.value !== field.defaultValue)));
  const callbacks = {
    beforeNodeMorphed: (old) => !(old instanceof HTMLFormElement && isTyped(old)),
    beforeAttributeUpdated: (name, element) => !(name === "open" && element.tagName === "DETAILS"),
  };
  const put = (html) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const content = page.getElementById("main");
    const now = Number(page.documentElement.dataset.now);
    if (!content || !now) return false;
    ahead = Date.now() - now;
    Idiomorph.morph(main, content, { ignoreActiveValue: true, callbacks });
    tick();
    return true;
  };
  const say = (text) => {
    live.hidden = !text;
    write(live, text);
  };

  let isAsking = false, askAgain = false;
  const refresh = async () => {
    if (document.hidden) { askAgain = true; return; }
    if (isAsking) { askAgain = true; return; }
    isAsking = true;
    askAgain = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Leasehold-Refresh": "1" } });
      if (answer.redirected && new URL(answer.url).pathname.endsWith("/sign-in")) location.reload();
      else if (answer.ok && put(await answer.text())) say("");
      else say(answer.status === 404 ? "This is not there any more" : "The server cannot answer now");
    } catch (error) {
      // Whatever it is, the page stands still, and the console says why.
      if (!(error instanceof TypeError)) console.error(error);
      say("No connection to the server");
    } finally {
      isAsking = false;
      if (askAgain) setTimeout(refresh, 400);
    }
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.matches("form[data-search]")) {
      event.preventDefault();
      search(form);
    } else if (form.matches("form[data-inline]")) {
      event.preventDefault();
      try {
        const body = new URLSearchParams(new FormData(form));
        const answer = await fetch(form.action, { method: "POST", body });
        if (answer.ok) { put(await answer.text()) || refresh(); return; }
        say("Nothing was changed: load the page again");
      } catch {
        say("No connection to the server: nothing was changed");
      }
    }
  });

  // Searching while typing.
  const search = (form) => {
    const query = new URLSearchParams(new FormData(form));
    if (!query.get("q")) query.delete("q");
    if (query.get("sort") === "name") query.delete("sort");
    const text = query.toString();
    history.replaceState(null, "", text ? `${form.action}?${text}` : form.action);
    refresh();
  };
  let typing;
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-search]");
    if (!form) return;
    clearTimeout(typing);
    typing = setTimeout(() => search(form), event.target.tagName === "SELECT" ? 0 : 200);
  });

  // What changes without an event (renewals, draining) is asked for now and then.
  let seconds = 0;
  setInterval(() => {
    tick();
    seconds += 1;
    if (isDue || seconds % 5 === 0) { isDue = false; refresh(); }
  }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  tick();
  const stream = new EventSource("/leasehold/live");
  stream.addEventListener("changed", refresh);
  stream.addEventListener("open", refresh);
  addEventListener("pagehide", () => stream.close());
})();

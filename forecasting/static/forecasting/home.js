// Keeps the admin's home current while trainings run or wait: fetches the page again, and replaces only the panels that changed.
"use strict";

(() => {
    const home = document.getElementById("home");
    const PAUSE_MS = 4000;
    const SHARE = 20; // of the time, one in so many parts is spent on waiting for the page, however slow it is
    let timer = 0;
    let pause = PAUSE_MS;

    // How to find an element again in the new panel: buttons by their value, links by their address.
    const mark = (element) => [element.tagName, element.id, element.name, element.value, element.getAttribute("href")].join("|");

    function replace(old, fresh) {
        const focused = old.contains(document.activeElement) ? mark(document.activeElement) : null;
        const open = [...old.querySelectorAll("details[open]")].map((element) => element.id);
        old.innerHTML = fresh.innerHTML;
        old.querySelectorAll("details").forEach((element) => { element.open = open.includes(element.id); });
        if (focused) {
            const same = [...old.querySelectorAll("a, button, summary, [tabindex]")].find((element) => mark(element) === focused);
            same?.focus({ preventScroll: true });
        }
    }

    function show(fresh) {
        home.dataset.busy = fresh.dataset.busy;
        for (const panel of fresh.children) {
            const old = document.getElementById(panel.id);
            if (old && shown.get(panel.id) !== panel.innerHTML) {
                replace(old, panel);
            }
            shown.set(panel.id, panel.innerHTML);
        }
    }

    async function refresh() {
        const began = performance.now();
        try {
            const response = await fetch(location.pathname + location.search);
            const page = new DOMParser().parseFromString(await response.text(), "text/html");
            const fresh = page.getElementById("home");
            if (response.ok && !fresh) {
                return; // logged out: the page stays as it is
            }
            if (fresh) {
                show(fresh);
            }
            pause = Math.max(PAUSE_MS, SHARE * (performance.now() - began));
        } catch {
            // The server is away, as it is after an error; the next try may succeed.
        }
        plan();
    }

    function plan() {
        clearTimeout(timer);
        if (home.dataset.busy === "yes" && !document.hidden) {
            timer = setTimeout(refresh, pause);
        }
    }

    const shown = new Map([...home.children].map((panel) => [panel.id, panel.innerHTML]));
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
    plan();
})();

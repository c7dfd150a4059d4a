// Asks for the forecast of the page's symbol again: at once if another one is due, and while its session is open and the page is
// visible, once a minute.
"use strict";

const article = document.querySelector("[data-ticker]");
const EVERY = 60_000; // ms
let asked = 0;

function part(name) {
    return article.querySelector(`[data-part="${name}"]`);
}

function price(value, currency) {
    const digits = Number(article.dataset.digits);
    const text = value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits});
    return `${text} ${currency}`.trim();
}

function isDue() {
    const now = Date.now();
    if (asked === 0) return true;
    const isOpen = Date.parse(article.dataset.opens) <= now && now < Date.parse(article.dataset.closes);
    return isOpen && document.visibilityState === "visible" && now - asked >= EVERY;
}

async function refresh() {
    if (!isDue()) return;
    asked = Date.now();
    const query = new URLSearchParams({symbols: article.dataset.ticker});
    const answer = await fetch(`/models/predict?${query}`).then((response) => response.ok ? response.json() : null, () => null);
    const forecast = answer && answer.predictions[article.dataset.ticker];
    if (forecast && forecast.status === "success") show(forecast);
}

function show(forecast) {
    if (part("old") && !forecast.stale) part("old").hidden = true;
    part("summary").textContent = forecast.summary;
    part("facts").hidden = forecast.as_of !== article.dataset.asOf; // they are about the forecast that the page came with
    part("knows").hidden = forecast.basis !== article.dataset.basis;
    if (forecast.interval) {
        const low = price(forecast.interval.low, ""), high = price(forecast.interval.high, forecast.currency);
        part("interval").textContent = `${low} to ${high}`;
    }
    const now = part("now");
    now.hidden = forecast.price_now === null;
    if (now.hidden) return;
    const late = forecast.delayed ? ", delayed" : "";
    now.textContent = `Now ${price(forecast.price_now, forecast.currency)} at ${forecast.price_time.slice(11, 16)} UTC${late}`;
}

if (article) {
    if (!("due" in article.dataset)) asked = Date.now(); // the page itself is new
    refresh();
    document.addEventListener("visibilitychange", refresh);
    setInterval(refresh, 5_000); // looks whether it is time; a request at most once in EVERY
}

// Charts of symbols: loads the figures of each <figure data-chart>, tells them in a sentence and a table, and has them drawn.
// While the page is visible, it looks for new figures once a minute; an unchanged chart costs no transfer.

import { draw } from "./chart_drawing.js";
import { rows, sentence } from "./chart_figures.js";

const EVERY_MS = 60_000;

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.text = "";
    this.drawing = Promise.resolve(); // one after the other
    this.sessions = this.part("sessions");
    this.sessions.addEventListener("change", () => this.load());
  }

  part(name) {
    return this.figure.querySelector(`.chart-${name}`);
  }

  async load() {
    const address = `${this.figure.dataset.chart}?sessions=${this.sessions.value}`;
    this.asked = address;
    try {
      const response = await fetch(address, { cache: "no-cache" });
      const text = await response.text();
      if (!response.ok) throw new Error(JSON.parse(text).error ?? `status ${response.status}`);
      if (address !== this.asked) return; // other sessions were chosen meanwhile
      if (text !== this.text) await this.show(text, address);
    } catch (error) {
      if (address !== this.asked) return;
      this.part("text").textContent = `The chart could not be loaded: ${error.message} It is tried again in a minute.`;
      this.text = "";
    }
    this.figure.dataset.loaded = ""; // as it is now, it may be photographed
  }

  async show(text, address) {
    const anew = address !== this.shown;
    this.shown = address;
    this.text = text;
    this.chart = JSON.parse(text);
    this.part("simulated").hidden = !this.chart.simulated;
    this.figure.querySelector(".of-live").hidden = !this.chart.live;
    this.part("text").textContent = sentence(this.chart);
    this.figure.querySelector("tbody").replaceChildren(...rows(this.chart).map(tableRow));
    await this.redraw({ anew });
  }

  // `anew`: of other sessions, so the zoom is not kept.
  redraw({ anew = false } = {}) {
    this.drawing = this.drawing.catch(() => {}).then(() => this.drawAgain(anew));
    return this.drawing;
  }

  async drawAgain(anew) {
    if (!this.chart?.closes.length) return;
    const zoom = anew ? null : this.drawn?.zoom();
    this.drawn?.remove();
    this.drawn = await draw(this.part("drawing"), this.chart, zoom);
  }
}

function tableRow(row) {
  const line = document.createElement("tr");
  line.className = row.missed ? "missed" : "";
  const cells = [row.session, row.close, row.forecast, row.range80, row.range90, row.outcome, row.knew, row.version];
  for (const [place, cell] of cells.entries()) {
    const element = document.createElement(place ? "td" : "th");
    if (!place) element.scope = "row";
    element.textContent = cell;
    line.append(element);
  }
  return line;
}

function whenThemeChanges(act) {
  new MutationObserver(act).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
}

const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => new Chart(figure));
for (const chart of charts) chart.load();
whenThemeChanges(() => charts.forEach((chart) => chart.redraw()));
setInterval(() => document.visibilityState === "visible" && charts.forEach((chart) => chart.load()), EVERY_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && charts.forEach((chart) => chart.load()));

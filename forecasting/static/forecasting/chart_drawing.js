// Draws a chart with BokehJS. The horizontal axis counts sessions, so that days without trade leave no gap.

import { beforeTheSession, rows } from "./chart_figures.js";

const MARGIN = 0.06; // of the range of prices, above and below

// Returns functions that tell the zoom and remove the drawing.
export async function draw(element, chart, zoom) {
  const colours = coloursOf(element);
  const places = new Map(chart.closes.map(({ date }, index) => [date, index]));
  const at = (session) => places.get(session);
  const plot = emptyPlot(element, chart, colours, zoom);
  bandsAsIssued(plot, chart, colours, at);
  fan(plot, chart, colours);
  lines(plot, chart, colours, at);
  closesAndMisses(plot, chart, colours, at);
  livePoint(plot, chart, colours);
  if (chart.simulated) watermark(plot, colours);
  const page = new Bokeh.Document();
  page.add_root(plot);
  await Bokeh.embed.add_document_standalone(page, element);
  const ends = [plot.x_range, plot.y_range].map(({ start, end }) => [start, end]);
  return { zoom: () => zoomOf(plot, ends), remove: () => page.clear() };
}

function coloursOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--chart-${name}`).trim();
  const names = ["fg", "bg", "quiet", "line", "band", "miss", "fan", "live"];
  return Object.fromEntries(names.map((name) => [name, colour(name)]));
}

// The ranges that a person has chosen; null if they are as they were drawn.
function zoomOf(plot, drawn) {
  const now = [plot.x_range, plot.y_range].map(({ start, end }) => [start, end]);
  return JSON.stringify(now) === JSON.stringify(drawn) ? null : now;
}

function emptyPlot(element, chart, colours, zoom) {
  const touched = matchMedia("(pointer: coarse)").matches; // there, dragging scrolls the page until a tool is chosen
  const [xs, ys] = zoom ?? rangesOf(chart);
  const plot = Bokeh.Plotting.figure({
    sizing_mode: "stretch_both",
    tools: "pan,box_zoom,wheel_zoom,reset,save",
    active_drag: touched ? null : "auto",
    toolbar_location: "above",
    x_range: new Bokeh.Range1d({ start: xs[0], end: xs[1] }),
    y_range: new Bokeh.Range1d({ start: ys[0], end: ys[1] }),
    background_fill_color: colours.bg,
    border_fill_color: colours.bg,
    outline_line_color: colours.line,
    min_border: 5,
    min_border_right: 35, // half of the last date
  });
  plot.toolbar.logo = null;
  for (const axis of [plot.xaxis, plot.yaxis]) {
    Object.assign(axis, { axis_line_color: colours.line, major_tick_line_color: colours.line, minor_tick_line_color: null });
    Object.assign(axis, { major_label_text_color: colours.quiet });
  }
  for (const grid of [plot.xgrid, plot.ygrid]) grid.grid_line_color = colours.line;
  plot.yaxis.formatter = new Bokeh.NumeralTickFormatter({ format: `0,0.${"0".repeat(chart.decimals)}` });
  nameSessions(plot.xaxis, chart, element.clientWidth);
  return plot;
}

function rangesOf(chart) {
  const steps = chart.outlook.map(({ sessions }) => sessions);
  const end = chart.closes.length - 1 + Math.max(chart.next.length ? 1 : 0, chart.live ? 1 : 0, ...steps);
  const bands = [...chart.forecasts, ...chart.next, ...chart.outlook];
  const prices = [...chart.closes.map(({ close }) => close), ...bands.flatMap(({ low_90, high_90 }) => [low_90, high_90])];
  if (chart.live) prices.push(chart.live.price);
  const [low, high] = [prices.reduce((a, b) => Math.min(a, b)), prices.reduce((a, b) => Math.max(a, b))];
  const space = MARGIN * (high - low || high);
  return [[-1, end + 1], [low - space, high + space]];
}

function nameSessions(axis, chart, width) {
  const named = rows(chart).map(({ at, session }) => [at, session]);
  const ticker = new Bokeh.BasicTicker({ desired_num_ticks: Math.max(2, Math.floor(width / 130)), min_interval: 1 });
  Object.assign(axis, { ticker, major_label_overrides: new Map(named), formatter: new Bokeh.PrintfTickFormatter({ format: " " }) });
}

// Each interval is as wide as its session; neighbours touch.
function bandsAsIssued(plot, chart, colours, at) {
  const bands = beforeTheSession(chart).map((band) => ({ ...band, at: at(band.session) })).filter((band) => band.at !== undefined);
  for (const [level, alpha] of [[90, 0.2], [80, 0.3]]) {
    const runs = inRuns(bands).map((run) => outline(run.flatMap((band) => [
      { x: band.at - 0.5, low: band[`low_${level}`], high: band[`high_${level}`] },
      { x: band.at + 0.5, low: band[`low_${level}`], high: band[`high_${level}`] },
    ])));
    area(plot, runs, colours.band, alpha);
  }
}

function inRuns(bands) {
  const runs = [];
  for (const band of bands) {
    const run = runs.at(-1);
    if (run && run.at(-1).at === band.at - 1) run.push(band);
    else runs.push([band]);
  }
  return runs;
}

function outline(points) {
  const back = [...points].reverse();
  const xs = [...points, ...back].map(({ x }) => x);
  return { xs, ys: [...points.map(({ low }) => low), ...back.map(({ high }) => high)] };
}

function area(plot, outlines, colour, alpha) {
  const source = new Bokeh.ColumnDataSource({ data: { xs: outlines.map(({ xs }) => xs), ys: outlines.map(({ ys }) => ys) } });
  plot.patches({ field: "xs" }, { field: "ys" }, { source, fill_color: colour, fill_alpha: alpha, line_color: null });
}

// From the last close through the next forecast to those of later sessions.
function fan(plot, chart, colours) {
  const last = chart.closes.length - 1;
  const { close } = chart.closes[last];
  const next = chart.next.slice(-1).map((band) => ({ ...band, at: last + 1 }));
  const bands = [...next, ...chart.outlook.map((band) => ({ ...band, at: last + band.sessions }))];
  if (!bands.length) return;
  for (const [level, alpha] of [[90, 0.2], [80, 0.3]]) {
    const ends = bands.map((band) => ({ x: band.at, low: band[`low_${level}`], high: band[`high_${level}`] }));
    area(plot, [outline([{ x: last, low: close, high: close }, ...ends])], colours.fan, alpha);
  }
  const style = { line_color: colours.fan, line_width: 2, line_dash: "dashed" };
  plot.line([last, ...bands.map((band) => band.at)], [close, ...bands.map(({ price }) => price)], style);
  plot.segment(next.map((band) => band.at), next.map(({ low_80 }) => low_80), next.map((band) => band.at), next.map(({ high_80 }) => high_80), {
    line_color: colours.fan,
    line_width: 3,
  });
}

// Dashed: another version; dotted: a split, dividend or correction.
function lines(plot, chart, colours, at) {
  for (const { number, kind, since } of chart.versions) {
    if (at(since)) line(plot, at(since), kind === "base" ? `base v${number}` : `v${number}`, "dashed", colours, 4);
  }
  for (const { date, reason } of chart.restatements) {
    if (at(date)) line(plot, at(date), reason, "dotted", colours, 18);
  }
}

function line(plot, place, text, dash, colours, height) {
  const x = place - 0.5;
  plot.add_layout(new Bokeh.Span({ location: x, dimension: "height", line_color: colours.quiet, line_dash: dash }));
  const look = { text_font_size: "11px", text_color: colours.fg, background_fill_color: colours.bg, background_fill_alpha: 0.7 };
  plot.add_layout(new Bokeh.Label({ x, y: height, y_units: "screen", x_offset: 3, text, ...look }));
}

function closesAndMisses(plot, chart, colours, at) {
  plot.line(chart.closes.map((_, index) => index), chart.closes.map(({ close }) => close), { line_color: colours.fg, line_width: 1.5 });
  const missed = beforeTheSession(chart).filter(({ inside, session }) => inside === false && at(session) !== undefined);
  const style = { marker: "x", size: 10, line_color: colours.miss, line_width: 3 };
  plot.scatter(missed.map(({ session }) => at(session)), missed.map(({ session }) => chart.closes[at(session)].close), style);
  shownAtPointer(plot, chart, colours);
}

// Of each session the row that knew most before it, with all its figures.
function shownAtPointer(plot, chart, colours) {
  const best = new Map();
  for (const row of rows(chart)) {
    if (row.band?.basis !== "live" || !best.has(row.at)) best.set(row.at, row);
  }
  const shown = [...best.values()];
  const names = ["at", "value", "session", "close", "forecast", "range80", "range90", "outcome", "knew", "version"];
  const source = new Bokeh.ColumnDataSource({ data: Object.fromEntries(names.map((name) => [name, shown.map((row) => row[name])])) });
  const points = plot.scatter({ field: "at" }, { field: "value" }, { source, size: 7, fill_alpha: 0, line_alpha: 0 });
  points.hover_glyph = new Bokeh.Scatter({ x: { field: "at" }, y: { field: "value" }, size: 7, fill_color: colours.fg, line_color: colours.bg });
  const tooltips = [
    ["Session", "@session"],
    [`Close, ${chart.currency}`, "@close"],
    ["Forecast", "@forecast"],
    ["80 %", "@range80"],
    ["90 %", "@range90"],
    ["Outcome", "@outcome"],
    ["It knew", "@knew"],
    ["Version", "@version"],
  ];
  plot.add_tools(new Bokeh.HoverTool({ renderers: [points], mode: "vline", tooltips, attachment: "horizontal" }));
}

function livePoint(plot, chart, colours) {
  if (!chart.live) return;
  const style = { marker: "diamond", size: 15, fill_color: colours.live, line_color: colours.fg };
  plot.scatter([chart.closes.length], [chart.live.price], style);
}

function watermark(plot, colours) {
  const look = { text_color: colours.miss, text_alpha: 0.35, text_font_size: "28px", text_font_style: "bold", text_align: "left" };
  plot.add_layout(new Bokeh.Label({ x: 12, y: 40, x_units: "screen", y_units: "screen", text: "SIMULATED PRICES", ...look }));
}

// The figures of a chart, as text: a sentence, and rows of a table, which are also what the pointer shows.

const KNEW = { close: "own bars", lead: "other markets", live: "the price now" };
const NONE = "-";

// One row per session and basis of the past, then the forecasts of the sessions to come. `at`: sessions after the first one.
export function rows(chart) {
  const place = new Map(chart.closes.map(({ date }, index) => [date, index]));
  const closes = new Map(chart.closes.map(({ date, close }) => [date, close]));
  const known = new Set(chart.forecasts.map(({ session }) => session));
  const bare = chart.closes.filter(({ date }) => !known.has(date)).map(({ date }) => ({ session: date }));
  const past = [...bare, ...chart.forecasts].map((each) => row(chart, each, place.get(each.session), closes.get(each.session)));
  const last = chart.closes.length - 1;
  const next = chart.next.map((each) => row(chart, each, last + 1));
  const later = chart.outlook.map((each) => row(chart, each, last + each.sessions));
  return [...past.sort((one, other) => one.at - other.at), ...next, ...later].filter(({ at }) => at !== undefined);
}

function row(chart, band, at, close) {
  const price = (value) => (value === undefined || value === null ? NONE : value.toFixed(chart.decimals));
  const range = (low, high) => (low === undefined ? NONE : `${price(low)} to ${price(high)}`);
  return {
    at,
    band: band.price === undefined ? null : band,
    session: band.session,
    value: close ?? band.price,
    close: price(close),
    forecast: price(band.price),
    range80: range(band.low_80, band.high_80),
    range90: range(band.low_90, band.high_90),
    outcome: outcome(band),
    missed: band.inside === false,
    knew: KNEW[band.basis] ?? NONE,
    version: band.version ? `${band.kind === "base" ? "base " : ""}v${band.version}` : NONE,
  };
}

function outcome({ inside, price }) {
  if (inside === true || inside === false) return inside ? "inside" : "outside";
  return price === undefined ? "no forecast" : "open";
}

// What was forecast before the session, from the most that was known then.
export function beforeTheSession(chart) {
  const best = new Map();
  for (const each of chart.forecasts) {
    const other = best.get(each.session);
    if (each.basis !== "live" && (!other || each.basis > other.basis)) best.set(each.session, each);
  }
  return [...best.values()];
}

export function sentence(chart) {
  const last = chart.closes.at(-1);
  if (!last) return `There are no prices of ${chart.symbol} yet.`;
  const price = (value) => `${value.toFixed(chart.decimals)} ${chart.currency}`.trim();
  const told = [`${chart.symbol} closed at ${price(last.close)} on ${last.date}.`];
  if (chart.live) told.push(`Now ${price(chart.live.price)} (${time(chart.live.time)}${chart.live.delayed ? ", delayed" : ""}).`);
  const next = chart.next.at(-1);
  if (next) told.push(`Forecast for ${next.session}: 80 % between ${next.low_80.toFixed(chart.decimals)} and ${price(next.high_80)}.`);
  const scored = beforeTheSession(chart).filter(({ inside }) => inside !== null);
  const inside = scored.filter((each) => each.inside).length;
  if (scored.length) {
    const share = ((100 * inside) / scored.length).toFixed(0);
    told.push(`Of ${scored.length} forecasts shown, ${inside} closes (${share} %) were inside their 80 % interval.`);
  }
  return told.join(" ");
}

function time(moment) {
  return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
}

"""Exchange and currency of symbols in Yahoo's notation, and consistency of the tables."""

from itertools import chain

import pytest

from forecasting.prices.calendars import currency_of, exchange_of
from forecasting.prices.markets import TABLES, Market, exchange_named, market_at, market_of, sessions_like
from forecasting.prices.schedules import schedule_of

VENUES = [
    ("PETR4.SA", "BVMF", "BRL"),
    ("AAPL", "XNYS", "USD"),
    ("BRK-B", "XNYS", "USD"),
    ("SAMPLE1", "XNYS", "USD"),
    ("BHP.L", "XLON", "GBP"),
    ("RY.TO", "XTSE", "CAD"),
    ("SAP.DE", "XETR", "EUR"),
    ("AIR.PA", "XPAR", "EUR"),
    ("ASML.AS", "XAMS", "EUR"),
    ("ENI.MI", "XMIL", "EUR"),
    ("SAN.MC", "XMAD", "EUR"),
    ("EDP.LS", "XLIS", "EUR"),
    ("NESN.SW", "XSWX", "CHF"),
    ("VOLV-B.ST", "XSTO", "SEK"),
    ("7267.T", "XTKS", "JPY"),
    ("0700.HK", "XHKG", "HKD"),
    ("600519.SS", "XSHG", "CNY"),
    ("000001.SZ", "XSHE", "CNY"),
    ("005930.KS", "XKRX", "KRW"),
    ("2330.TW", "XTAI", "TWD"),
    ("CBA.AX", "XASX", "AUD"),
    ("M&M.NS", "XNSE", "INR"),
    ("TCS.BO", "XBOM", "INR"),
    ("AMXB.MX", "XMEX", "MXN"),
    ("AAA.V", "XTSX", "CAD"),
    ("AAA.F", "XFRA", "EUR"),
    ("AAA.BR", "XBRU", "EUR"),
    ("AAA.IR", "XDUB", "EUR"),
    ("AAA.VI", "XWBO", "EUR"),
    ("AAA.HE", "XHEL", "EUR"),
    ("AAA.CO", "XCSE", "DKK"),
    ("AAA.OL", "XOSL", "NOK"),
    ("AAA.IC", "XICE", "ISK"),
    ("AAA.TL", "XTAL", "EUR"),
    ("AAA.WA", "XWAR", "PLN"),
    ("AAA.PR", "XPRA", "CZK"),
    ("AAA.BD", "XBUD", "HUF"),
    ("AAA.IS", "XIST", "TRY"),
    ("AAA.JO", "XJSE", "ZAR"),
    ("AAA.SR", "XSAU", "SAR"),
    ("AAA.KQ", "XKOS", "KRW"),
    ("AAA.TWO", "ROCO", "TWD"),
    ("AAA.SI", "XSES", "SGD"),
    ("AAA.KL", "XKLS", "MYR"),
    ("AAA.BK", "XBKK", "THB"),
    ("AAA.JK", "XIDX", "IDR"),
    ("AAA.PS", "XPHS", "PHP"),
    ("AAA.NZ", "XNZE", "NZD"),
    ("AAA.BA", "XBUE", "ARS"),
    ("AAA.SN", "XSGO", "CLP"),
    ("AAA.CL", "XBOG", "COP"),
    ("AAA.LM", "XLIM", "PEN"),
    ("SU.PK", "OOTC", "USD"),
    ("AAA.CN", "XCNQ", "CAD"),
    ("BMW.MU", "XMUN", "EUR"),
    ("BMW.SG", "XSTU", "EUR"),
    ("OPAP.AT", "ASEX", "EUR"),
    ("VOD.IL", "XLON", "USD"),
    ("VOD.XC", "CHIX", "GBP"),
    ("TEVA.TA", "XTAE", "ILS"),
    ("NBK.KW", "XKUW", "KWD"),
    ("QNBK.QA", "DSMD", "QAR"),
    ("COMI.CA", "XCAI", "EGP"),
    ("EMAAR.AE", "XDFM", "AED"),
    ("FPT.VN", "XSTC", "VND"),
    ("TLV.RO", "XBSE", "RON"),
    ("JKH-N0000.CM", "XCOL", "LKR"),
    ("^TA125.TA", "XTAE", "ILS"),
    ("000001.SS", "XSHG", "CNY"),
    ("BTC-USD", "24/7", "USD"),
    ("ETH-BRL", "24/7", "BRL"),
    ("EURUSD=X", "24/5", "USD"),
    ("BRL=X", "24/5", "BRL"),
    ("GC=F", "XNYS", "USD"),
    ("^BVSP", "BVMF", "BRL"),
    ("^GSPC", "XNYS", "USD"),
    ("^SOX", "XNAS", "USD"),
    ("^TNX", "XNYS", "USD"),
    ("^STOXX50E", "XETR", "EUR"),
    ("^NSEI", "XNSE", "INR"),
    ("^GSPTSE", "XTSE", "CAD"),
    ("^CASE30", "XCAI", "EGP"),
    ("^UNHEARD", "WEEKDAYS", "XXX"),
    ("ABC.XY", "WEEKDAYS", "XXX"),
    ("A=X", "24/5", "XXX"),
]


@pytest.mark.parametrize(("symbol", "exchange", "currency"), VENUES)
def test_a_symbol_determines_its_exchange_and_currency(symbol: str, exchange: str, currency: str) -> None:
    assert (exchange_of(symbol), currency_of(symbol)) == (exchange, currency)


@pytest.mark.parametrize(
    ("symbol", "quote"),
    [("ETH-BTC", "BTC"), ("BTC-TRY", "TRY"), ("1INCH-USD", "USD"), ("DOGE-USDT", "USDT"), ("SHIB-PLN", "PLN"), ("A-B-CHF", "CHF")],
)
def test_a_coin_trades_always_with_any_quote(symbol: str, quote: str) -> None:
    assert (exchange_of(symbol), currency_of(symbol)) == ("24/7", quote)


@pytest.mark.parametrize(
    "symbol", ["BRK-B", "RDS-A", "BAC-PL", "BAC-PB", "JPM-PRA", "XYZ-WT", "XYZ-UN", "XYZ-RI", "XYZ-WTA", "USD"]
)
def test_a_class_series_warrant_or_unit_of_a_share_is_not_a_coin(symbol: str) -> None:
    assert exchange_of(symbol) == "XNYS"


def test_a_share_of_another_exchange_is_not_a_coin() -> None:
    assert exchange_of("BTC-USD.ST") == "XSTO"


def test_a_market_has_its_country() -> None:
    assert market_of("NBK.KW").country == "Kuwait"


def test_an_exchange_without_a_suffix_takes_its_country_from_the_one_with_the_same_sessions() -> None:
    assert market_at("XNAS") == Market("XNAS", "USD", "United States")


def test_a_market_that_is_not_an_exchange_has_no_country() -> None:
    assert [market_at(code).country for code in ("24/7", "24/5", "WEEKDAYS", "WEEK:MTWT--S")] == [""] * 4


@pytest.mark.parametrize(
    ("name", "exchange"),
    [("NMS", "XNAS"), ("NYQ", "XNYS"), ("SAO", "BVMF"), ("GER", "XETR"), ("CCC", "24/7"), ("???", ""), ("", "")],
)
def test_yahoos_name_of_an_exchange_maps_to_its_code(name: str, exchange: str) -> None:
    assert exchange_named(name) == exchange


NAMED = {
    *(exchange for exchange, *_ in TABLES["suffixes"].values()),
    *TABLES["names"].values(),
    *TABLES["indices"],
    *chain(*TABLES["calendars"].items()),
}


@pytest.mark.parametrize("exchange", sorted(NAMED))
def test_every_exchange_of_the_tables_has_a_calendar(exchange: str) -> None:
    schedule = schedule_of(exchange)
    assert len(schedule.days) or schedule.week.complete or sessions_like(exchange) in TABLES["weeks"]


def test_an_index_is_listed_once() -> None:
    indices = list(chain(*TABLES["indices"].values()))
    assert len(indices) == len(set(indices))

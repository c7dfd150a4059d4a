"""Settings: every variable is read, an invalid one stops the start by name, and no secret is printed."""

import os
import runpy
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

SETTINGS = Path(__file__).resolve().parent.parent / "stockpred" / "settings.py"
VARIABLES = (
    "SEED", "DAILY_TASK_HOUR", "MODEL_MAX_AGE_DAYS", "TRAIN_WORKERS", "TRAIN_QUEUE_LIMIT", "TRAIN_TIME_LIMIT", "TRAIN_THREADS",
    "TRAIN_MEMORY_MB", "LEASE_SECONDS", "HEARTBEAT_SECONDS", "HANG_SECONDS", "PRICE_SOURCE", "KEEP_VERSIONS",
    "PRICE_DIR", "PREDICT_REFRESH_SECONDS", "YAHOO_URL", "STATE_DIR", "MEDIA_ROOT", "ENABLE_LOGS", "LOG_DIR", "DEBUG",
    "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "HOST", "PORT", "SECURE_COOKIES", "DATABASE_URL", "TIME_ZONE",
    "API_KEY_REQUIRED", "PUBLIC_PAGES",
    "TRUSTED_PROXIES", "RETRAIN_COOLDOWN", "ANONYMOUS_REQUESTS_PER_MINUTE", "KEY_NEW_SYMBOLS_PER_DAY",
    "LOGIN_FAILURES", "LOGIN_LOCK_MINUTES", "HTTPS_ONLY", "SSL_REDIRECT", "HSTS_SECONDS", "HSTS_SUBDOMAINS", "PROXY_SSL_HEADER",
    "DOCS_FOR_STAFF_ONLY",
    "ALERT_EMAIL", "ALERT_WEBHOOK_SECRET", "WEBHOOK_ALLOW_PRIVATE", "CORS_ALLOWED_ORIGINS",
)  # fmt: skip
PASSWORD = "hunter2"  # noqa: S105 - of no account

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Runs the settings file with only the given variables and those of the test's folders."""
    before = dict(os.environ)

    def run(**variables: str) -> dict[str, Any]:
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ.update({"ENV_FILE": os.devnull, "STATE_DIR": str(tmp_path / "state"), "LOG_DIR": str(tmp_path / "logs")})
        os.environ.update(variables)
        return runpy.run_path(str(SETTINGS))

    yield run
    os.environ.clear()
    os.environ.update(before)


def start(code: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Runs Python with these settings in a child process."""
    own = {"ENV_FILE": os.devnull, "STATE_DIR": str(folder / "state"), "LOG_DIR": str(folder / "logs")}
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=SETTINGS.parent.parent,
        env=inherited | {"DJANGO_SETTINGS_MODULE": "stockpred.settings"} | own | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Values


def test_without_any_variable_the_service_has_its_documented_defaults(load: Load) -> None:
    settings = load()
    names = ("SEED", "DAILY_TASK_HOUR", "MODEL_MAX_AGE_DAYS", "TRAIN_WORKERS", "PRICE_SOURCE", "PORT", "ENABLE_LOGS")
    assert [settings[name] for name in names] == [42, 3, 15, 1, "yahoo", 8000, True]
    assert settings["MEDIA_ROOT"] == settings["BASE_DIR"] / "media"
    assert settings["DATABASES"]["default"]["ENGINE"] == "stockpred.embedded_postgres"


def test_an_empty_variable_means_its_default(load: Load) -> None:
    assert load(SEED="", PRICE_SOURCE=" ", DATABASE_URL="")["SEED"] == 42


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SEED", " 7 ", 7),
        ("DEBUG", "off", False),
        ("ENABLE_LOGS", "No", False),
        ("PRICE_SOURCE", "csv", "csv"),
        ("PRICE_DIR", "/srv/prices", Path("/srv/prices")),
        ("YAHOO_URL", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("ALLOWED_HOSTS", "a.example, b.example,", ["a.example", "b.example", "localhost", "127.0.0.1", "[::1]"]),
        ("CORS_ALLOWED_ORIGINS", "https://a.example, http://b:8080", ["https://a.example", "http://b:8080"]),
        ("TIME_ZONE", "America/Sao_Paulo", "America/Sao_Paulo"),
        ("ANONYMOUS_REQUESTS_PER_MINUTE", "0", 0),
        ("TRUSTED_PROXIES", "10.0.0.0/8, fd00::1", [ip_network("10.0.0.0/8"), ip_network("fd00::1")]),
    ],
)
def test_a_variable_sets_its_setting(load: Load, name: str, value: str, expected: object) -> None:
    assert load(**{"SECRET_KEY": "a key", name: value})[name] == expected


def test_a_relative_folder_is_below_the_project(load: Load) -> None:
    settings = load(MEDIA_ROOT="elsewhere")
    assert settings["MEDIA_ROOT"] == settings["BASE_DIR"] / "elsewhere"


def test_a_database_url_replaces_the_embedded_postgres(load: Load) -> None:
    settings = load(DATABASE_URL=f"postgres://me:{PASSWORD}@db.example:5433/prices")
    database = settings["DATABASES"]["default"]
    assert settings["EMBEDDED_POSTGRES"] is None
    assert [database[name] for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD")] == [
        "db.example", 5433, "prices", "me", PASSWORD,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEED", "-1"),
        ("SEED", "many"),
        ("DAILY_TASK_HOUR", "24"),
        ("MODEL_MAX_AGE_DAYS", "0"),
        ("TRAIN_WORKERS", "0"),
        ("TRAIN_QUEUE_LIMIT", "1.5"),
        ("TRAIN_TIME_LIMIT", "9"),
        ("TRAIN_THREADS", "0"),
        ("TRAIN_MEMORY_MB", "199"),
        ("LEASE_SECONDS", "3"),
        ("HEARTBEAT_SECONDS", "0"),
        ("HANG_SECONDS", "4"),
        ("PRICE_SOURCE", "google"),
        ("PREDICT_REFRESH_SECONDS", "61"),
        ("UPSTREAM_REQUESTS_PER_MINUTE", "0"),
        ("UPSTREAM_REQUESTS_PER_MINUTE", "0.5"),
        ("UPSTREAM_IN_FLIGHT", "0"),
        ("UPSTREAM_IN_FLIGHT", "9"),
        ("API_KEY_REQUIRED", "sometimes"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "nginx"),
        ("RETRAIN_COOLDOWN", "-1"),
        ("KEY_NEW_SYMBOLS_PER_DAY", "many"),
        ("ENABLE_LOGS", "maybe"),
        ("LOG_DIR", "/dev/null/logs"),
        ("DEBUG", "2"),
        ("SECURE_COOKIES", "perhaps"),
        ("HTTPS_ONLY", "perhaps"),
        ("HSTS_SECONDS", "-1"),
        ("PROXY_SSL_HEADER", "X-Forwarded-Proto: https"),
        ("LOGIN_FAILURES", "0"),
        ("LOGIN_LOCK_MINUTES", "soon"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example/page"),
        ("CORS_ALLOWED_ORIGINS", "a.example"),
        ("ALERT_EMAIL", "ana@example.org ben@example.org"),
        ("ALERT_WEBHOOK_SECRET", "whsec_" + "A" * 33),
        ("PORT", "65536"),
        ("STATE_DIR", "/dev/null/state"),
        ("DATABASE_URL", "mysql://me@db.example/prices"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("TIME_ZONE", "/etc/passwd"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start_and_names_its_variable(load: Load, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"\b{name}\b"):
        load(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{PASSWORD}@db.example/prices",
        f"postgres://me:{PASSWORD}/part@db.example:5432/prices",
        f"postgres://me@db.example:{PASSWORD}/prices",
        f"postgres://me:{PASSWORD}@db.example:99999/prices",
        f"postgres://me:{PASSWORD}@db.example",
        f"postgres:/me:{PASSWORD}@db.example/prices",
    ],
)
def test_a_bad_database_url_is_refused_without_its_password(load: Load, url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refused:
        load(DATABASE_URL=url)
    assert PASSWORD not in str(refused.value)
    assert url not in "".join(traceback.format_exception(refused.value))


# The secret key


def test_a_service_for_others_must_be_given_a_secret_key(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY must be set when DEBUG is off"):
        load(DEBUG="False")


def test_a_service_for_others_does_not_use_the_local_key(load: Load) -> None:
    load()
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
        load(DEBUG="False")


def test_the_local_key_is_made_once_and_private(load: Load, tmp_path: Path) -> None:
    first = load()["SECRET_KEY"]
    assert load()["SECRET_KEY"] == first
    assert len(first) >= 50
    (file,) = (tmp_path / "state").iterdir()
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (first, 0o600)


def test_a_given_key_is_not_written_down(load: Load, tmp_path: Path) -> None:
    given = "a key of mine"
    assert load(SECRET_KEY=given)["SECRET_KEY"] == given
    assert not (tmp_path / "state").exists()


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    code = "from stockpred import settings; print(settings.SECRET_KEY)"
    keys = {child.communicate(timeout=60)[0] for child in [start(code, tmp_path) for _ in range(2)]}
    assert len(keys) == 1
    assert len(keys.pop()) > 50


# HTTPS

HTTPS = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SECURE_PROXY_SSL_HEADER")
STRONG_KEY = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQ"
CHECK = (
    "from django.core.management import execute_from_command_line as run; run(['', 'check', '--deploy', '--fail-level', 'WARNING'])"
)


def test_a_local_service_works_without_https(load: Load) -> None:
    settings = load()
    assert [settings[name] for name in HTTPS] == [False, False, False, 0, None]


def test_a_service_for_others_is_reached_by_https_only(load: Load) -> None:
    settings = load(DEBUG="False", SECRET_KEY=STRONG_KEY)
    assert [settings[name] for name in HTTPS] == [True, True, True, 31_536_000, None]


def test_one_variable_is_for_operators_without_https(load: Load) -> None:
    settings = load(DEBUG="False", SECRET_KEY=STRONG_KEY, HTTPS_ONLY="False")
    assert [settings[name] for name in HTTPS] == [False, False, False, 0, None]


def test_the_header_of_a_proxy_is_named_as_proxies_write_it(load: Load) -> None:
    assert load(PROXY_SSL_HEADER="X-Forwarded-Proto")["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_the_checks_of_a_deployment_find_nothing_in_the_defaults(tmp_path: Path) -> None:
    child = start(CHECK, tmp_path, DEBUG="False", SECRET_KEY=STRONG_KEY, ALLOWED_HOSTS="stocks.example")
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    assert output.startswith("System check identified no issues")


# The .env file


def test_an_env_file_is_read(load: Load, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('# mine\nSEED=7\nPRICE_SOURCE="csv"\nPRICE_DIR=/srv/my prices\n')
    settings = load(ENV_FILE=str(file))
    assert [settings[name] for name in ("SEED", "PRICE_SOURCE", "PRICE_DIR")] == [7, "csv", Path("/srv/my prices")]


def test_the_environment_wins_over_the_env_file(load: Load, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SEED=7\n")
    assert load(ENV_FILE=str(file), SEED="8")["SEED"] == 8


def test_a_bad_value_in_the_env_file_stops_the_start_as_well(load: Load, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SEED=many\n")
    with pytest.raises(ImproperlyConfigured, match="SEED='many' is invalid"):
        load(ENV_FILE=str(file))


# Logging

LOG = """
import logging
from django.conf import settings
from django.utils.log import configure_logging
configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)  # as django.setup() does before it loads the apps
logging.getLogger("forecasting.example").info("three bars", extra={"symbol": "PETR4.SA", "training": 7})
logging.getLogger("another.library").warning("something")
"""
LINES = [
    "INFO forecasting.example [symbol=PETR4.SA training=7 request=-] three bars",
    "WARNING another.library [symbol=- training=- request=-] something",
]


def test_every_event_is_a_line_with_its_symbol_and_training_on_the_console_and_in_the_file(tmp_path: Path) -> None:
    child = start(LOG, tmp_path)
    _, console = child.communicate(timeout=60)
    for lines in (console.splitlines(), (tmp_path / "logs" / "app.log").read_text().splitlines()):
        assert [line.split(" ", 2)[2] for line in lines] == LINES


def test_only_owner_and_group_read_the_log(tmp_path: Path) -> None:
    start(LOG, tmp_path).communicate(timeout=60)
    assert stat.S_IMODE((tmp_path / "logs" / "app.log").stat().st_mode) == 0o640


def test_without_logs_nothing_is_written(tmp_path: Path) -> None:
    child = start(LOG, tmp_path, ENABLE_LOGS="False")
    assert child.communicate(timeout=60) == ("", "")
    assert child.returncode == 0
    assert not (tmp_path / "logs").exists()


def test_a_bad_value_stops_a_command_with_one_clear_line(tmp_path: Path) -> None:
    child = start("from django.core.management import execute_from_command_line as run; run(['', 'check'])", tmp_path, SEED="many")
    _, console = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "SEED='many' is invalid: expected a whole number from 0 to 2147483647." in console


def test_pages_are_for_visitors_unless_the_api_needs_a_key(load: Load) -> None:
    assert load()["PUBLIC_PAGES"] is True
    assert load(API_KEY_REQUIRED="True")["PUBLIC_PAGES"] is False

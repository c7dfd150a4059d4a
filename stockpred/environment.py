"""Typed readers of environment variables: each refuses a value that it cannot use, naming the variable and what was expected.

Own code: pydantic-settings reports several lines with the value, which may hold a password. It adds 0.4 s to each start.
"""

import os
import re
import secrets
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

SHORTEST_SECRET = 16  # characters
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def load_env_file(path: Path) -> None:
    """Adds the variables of an `.env` file; what the environment already holds wins."""
    if path.is_file():
        environ.Env.read_env(path)


def invalid(name: str, expected: str) -> ImproperlyConfigured:
    """The error of a variable that cannot be used."""
    return ImproperlyConfigured(f"{name}={os.environ.get(name)!r} is invalid: expected {expected}.")


def text(name: str, default: str) -> str:
    """The variable without surrounding space; unset and empty mean the default."""
    return os.environ.get(name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    """True or False, in the usual spellings."""
    try:
        return BOOLEANS[text(name, str(default)).lower()]
    except KeyError:
        raise invalid(name, "True or False") from None


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """A whole number within bounds, both included."""
    expected = f"a whole number from {minimum} to {maximum}"
    try:
        value = int(text(name, str(default)))
    except ValueError:
        raise invalid(name, expected) from None
    if not minimum <= value <= maximum:
        raise invalid(name, expected)
    return value


def choice(name: str, default: str, *, among: tuple[str, ...]) -> str:
    """One of a few words."""
    value = text(name, default)
    if value not in among:
        raise invalid(name, " or ".join(among))
    return value


def address(name: str, default: str) -> str:
    """An IPv4 address to listen on, 0.0.0.0 for all of this machine's."""
    value = text(name, default)
    try:
        return str(IPv4Address(value))
    except ValueError:
        raise invalid(name, "an IPv4 address of this machine, or 0.0.0.0 for all of them") from None


def words(name: str) -> list[str]:
    """A list separated by commas."""
    return [word for part in text(name, "").split(",") if (word := part.strip())]


def mail_addresses(name: str) -> list[str]:
    """Addresses of people, separated by commas."""
    listed = words(name)
    try:
        for each in listed:
            validate_email(each)
    except ValidationError:
        raise invalid(name, "mail addresses, separated by commas") from None
    return listed


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Addresses or networks, separated by commas."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError:
        raise invalid(name, "addresses or networks such as 10.0.0.0/8, separated by commas") from None


def https_header(name: str) -> tuple[str, str] | None:
    """Django's setting of the header by which a proxy says that a client used HTTPS; None if the variable is unset."""
    value = text(name, "")
    if not value:
        return None
    if not re.fullmatch("[A-Za-z0-9-]+", value):
        raise invalid(name, "a header such as X-Forwarded-Proto")
    return f"HTTP_{value.upper().replace('-', '_')}", "https"


def origins(name: str) -> list[str]:
    """Origins of web pages, such as https://example.org, separated by commas."""
    listed = words(name)
    for origin in listed:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?", origin):
            raise invalid(name, "origins such as https://example.org, separated by commas, without a path")
    return listed


def time_zone(name: str, default: str) -> str:
    """The name of a time zone that this machine knows."""
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(name, "a time zone such as UTC or America/Sao_Paulo") from None
    return value


def folder(name: str, default: Path, *, base: Path, create: bool = False) -> Path:
    """A folder; a relative one is below `base`. With `create` it is made, and must be writable."""
    path = base / text(name, str(default))
    if create:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(f"{name}: the folder {path} cannot be made: {error.strerror}.") from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise ImproperlyConfigured(f"{name}: the folder {path} is not writable.")
    return path


def bucket(name: str) -> dict[str, str] | None:
    """Bucket and prefix of an address such as s3://models/stockpred, as django-storages names them; None if unset."""
    if not (address := text(name, "")):
        return None
    parts = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?([A-Za-z0-9_./-]*)", address)
    if parts is None:
        raise invalid(name, "an address such as s3://bucket or s3://bucket/folder")
    return {"bucket_name": parts[1], "location": parts[2].strip("/")}


def database(name: str) -> dict[str, Any] | None:
    """Django's settings of a Postgres URL, None if the variable is unset."""
    url = text(name, "")
    if not url:
        return None
    # No message repeats the value, nor what the parser says of it: both may hold a password.
    expected = "postgres://user:password@host:5432/name, with / and other special characters of the password percent-encoded"
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(f"{name} is invalid: expected {expected}.")
    try:
        parsed = dict(environ.Env.db_url_config(url))
    except ValueError:
        raise ImproperlyConfigured(f"{name} cannot be read: expected {expected}.") from None
    if not parsed["NAME"]:
        raise ImproperlyConfigured(f"{name} names no database: expected {expected}.")
    return parsed | {"ENGINE": "stockpred.postgres"}


def long_secret(name: str) -> str:
    """A text that nobody can guess; empty if the variable is unset. The message does not repeat it."""
    value = text(name, "")
    if value and len(value) < SHORTEST_SECRET:
        raise ImproperlyConfigured(f"{name} is too short: expected at least {SHORTEST_SECRET} random characters.")
    return value


def mail_server(name: str) -> dict[str, Any]:
    """Django's settings of a mail server's URL. The message does not repeat it: it may hold a password."""
    try:
        return dict(environ.Env.email_url_config(text(name, "smtp://localhost:25")))
    except (KeyError, ValueError):
        expected = "smtp://host:25, smtp+tls://user:password@host:587 or smtp+ssl://user:password@host:465"
        raise ImproperlyConfigured(f"{name} cannot be read: expected {expected}, special characters percent-encoded.") from None


def webhook_secret(name: str) -> str:
    """A secret for signatures, as the Standard Webhooks specification writes it; empty if the variable is unset."""
    value = text(name, "")
    if value and not re.fullmatch(r"whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", value):
        raise ImproperlyConfigured(f"{name} is invalid: expected whsec_ and the Base64 of at least 24 random bytes.")
    return value


def secret_key(name: str, *, generate_in: Path, debug: bool) -> str:
    """The secret key; when it is unset and `debug` is on, one that is generated once and kept in a private file."""
    if value := text(name, ""):
        return value
    if not debug:
        raise ImproperlyConfigured(f"{name} must be set when DEBUG is off: a long random text, the same for every process.")
    try:
        return _generated_once(generate_in / "secret_key")
    except OSError as error:
        told = f"{name} is unset, and one cannot be kept in {generate_in}: {error.strerror}"
        raise ImproperlyConfigured(f"{told}. Set {name}, or STATE_DIR to a folder that can be written.") from error


def _generated_once(path: Path) -> str:
    """The text in `path`, random if the file is new. Safe from many processes at once; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        scratch.touch(mode=0o600)
        scratch.write_text(secrets.token_urlsafe(50))
        try:
            os.link(scratch, path)  # unlike rename, it never replaces the key that another process made meanwhile
        except FileExistsError:
            pass
        finally:
            scratch.unlink()
    return path.read_text()

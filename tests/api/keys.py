"""API keys for tests."""

from typing import Any

from rest_framework.test import APIClient

from forecasting.models import Key


def make_key(**values: Any) -> tuple[Key, str]:
    """A key and its text."""
    key, text = Key.objects.create_key(**({"name": "robot"} | values))
    assert isinstance(key, Key)
    return key, text


def send_key(client: APIClient, **values: Any) -> Key:
    """The client sends a new key with every request from now on."""
    key, text = make_key(**values)
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {text}")
    return key

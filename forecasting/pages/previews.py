"""Where the pictures are that social networks show. The worker draws them; the web server only sends them."""

from pathlib import Path

from django.conf import settings

WIDTH, HEIGHT = 1200, 630  # pixels


def folder() -> Path:
    """The folder of all pictures."""
    return Path(settings.MEDIA_ROOT) / "previews"


def name(symbol_id: int, forecast_id: int) -> str:
    """The name of a picture: numbers only, nothing that a caller wrote."""
    return f"{symbol_id}-{forecast_id}.png"


def exists(symbol_id: int, forecast_id: int) -> bool:
    """Whether the picture of a forecast has been drawn."""
    return (folder() / name(symbol_id, forecast_id)).is_file()

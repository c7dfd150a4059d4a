"""Small line charts as inline SVG. Their colours come from the style sheet."""

from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, MARGIN = 600, 140, 6


def lines(series: Mapping[str, Sequence[float]], *, label: str) -> SafeString:
    """One line for each series, all on one scale, with the ends of that scale; `label` tells what is seen.

    Series have the same length, at least 2.
    """
    values = [value for each in series.values() for value in each]
    low, high = min(values), max(values)
    scale = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)

    def points(each: Sequence[float]) -> str:
        step = WIDTH / (len(each) - 1)
        return " ".join(f"{place * step:.1f},{HEIGHT - MARGIN - (value - low) * scale:.1f}" for place, value in enumerate(each))

    drawn = format_html_join(
        "",
        '<polyline class="line line-{}" points="{}"><title>{}</title></polyline>',
        ((number, points(each), name) for number, (name, each) in enumerate(series.items(), 1)),
    )
    names = format_html_join("", '<li class="line-{}">{}</li>', ((number, name) for number, name in enumerate(series, 1)))
    return format_html(
        '<figure class="lines"><ul>{}</ul><svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        "<figcaption>{}; from {} to {}.</figcaption></figure>",
        *(names, WIDTH, HEIGHT, label, drawn, label, f"{low:.4f}", f"{high:.4f}"),
    )

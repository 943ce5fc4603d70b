"""The look of figures: colours for light and dark pages, and shapes and dashes beside them."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["DASHES", "SHAPES", "config"]

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 2]]

_INKS = {
    # contrast with the page is at least 4.5 for text and for every series colour
    "light": {
        "ink": "#1b1f24",
        "soft": "#57606a",
        "grid": "#e4e7eb",
        "page": "#ffffff",
        "series": [
            "#1f5fa8", "#bf4308", "#0b746b", "#8b3fa0", "#7d6200", "#b0245e", "#4b5563", "#3a751e",
        ],
    },
    "dark": {
        "ink": "#e8ebef",
        "soft": "#a9b3be",
        "grid": "#2d333b",
        "page": "#171b21",
        "series": [
            "#7fb3ff", "#ff9e64", "#4fd1b5", "#d6a2f0", "#e5c453", "#ff8ab5", "#b7c0cc", "#a3d977",
        ],
    },
}  # fmt: skip


def config(mode: Literal["light", "dark"]) -> dict[str, Any]:
    """Return the Vega-Lite configuration of one mode."""
    ink = _INKS[mode]
    text = {"labelColor": ink["soft"], "titleColor": ink["ink"]}
    return {
        "background": ink["page"],
        "font": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif",
        "view": {"stroke": None},
        "range": {"category": ink["series"], "symbol": SHAPES},
        "axis": {
            **text,
            "gridColor": ink["grid"],
            "domainColor": ink["soft"],
            "tickColor": ink["soft"],
            "labelFontSize": 12,
            "titleFontSize": 12.5,
            "titleFontWeight": 600,
            "titlePadding": 8,
            "labelFlush": False,
        },
        "legend": {
            **text,
            "labelColor": ink["ink"],
            "labelFontSize": 12,
            "titleFontSize": 12,
            "labelLimit": 0,
            "symbolLimit": 0,
            "symbolSize": 90,
            "orient": "bottom",
            "direction": "horizontal",
            "columnPadding": 18,
            "layout": {"bottom": {"direction": "vertical", "anchor": "start", "margin": 10}},
        },
        "axisX": {"grid": False},
        "header": {"labelColor": ink["ink"], "labelFontSize": 13, "labelFontWeight": 600},
        "text": {"color": ink["soft"], "fontSize": 11},
        "rule": {"color": ink["soft"]},
    }

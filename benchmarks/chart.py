"""Draw what `benchmarks.shape` found, for docs/performance.md.

`python -m benchmarks.chart` reads results/shape.json and writes docs/charts/shape.svg, and beside it the figures that
it shows as shape.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS

CHARTS = Path(__file__).parent.parent / "docs" / "charts"
Point = Mapping[str, float]

_SERIES = (("rows_per_second", "FlashQL", "#0b6bcb"), ("pg_recvlogical_rows_per_second", "pg_recvlogical", "#9aa4ae"))
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 760, 330, 64, 270
_LEFT_PANEL, _RIGHT_PANEL = (64, 464), (540, 740)
_BAR = 22
_STYLE = "text{font:12px system-ui,sans-serif;fill:#3c4650}.title{font-weight:600;font-size:13px;fill:#14181c}"


def drawn(results: Sequence[Point]) -> str:
    """The chart as SVG: on the left by rows per transaction, on the right by columns."""
    usual_width, usual_rows = 7, 1000
    by_rows = sorted((one for one in results if one["columns"] == usual_width), key=_rows)
    by_width = sorted((one for one in results if one["rows_per_transaction"] == usual_rows), key=_columns)
    top = _ceiling(max(one[name] for one in results for name, _, _ in _SERIES))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'aria-label="Rows per second by transaction size and by row width">',
        f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_legend(),
        *_grid(_LEFT_PANEL, top, f"rows per transaction ({usual_width} columns)"),
        *_lines(by_rows, top),
        *_grid(_RIGHT_PANEL, top, f"columns ({usual_rows:,} rows per transaction)"),
        *_bars(by_width, top),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rows(one: Point) -> float:
    return one["rows_per_transaction"]


def _columns(one: Point) -> float:
    return one["columns"]


def _ceiling(value: float) -> float:
    """The least of 1, 2, 3, 4, 5, 6, 8 or 10 times a power of ten that is not below the value.

    >>> _ceiling(230_000), _ceiling(610_000)
    (300000.0, 800000.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def _y(value: float, top: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * value / top, 1)


def _text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}">{words}</text>'


def _legend() -> list[str]:
    parts = [_text(_LEFT_PANEL[0] - 44, 24, "Rows per second, from backlog to durable and visible", "start", "title")]
    for at, (_, label, color) in enumerate(_SERIES):
        x = _WIDTH - 230 + at * 90
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" rx="2" fill="{color}"/>')
        parts.append(_text(x + 18, 24, label, "start"))
    return parts


def _grid(panel: tuple[int, int], top: float, words: str) -> list[str]:
    parts = []
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line x1="{panel[0]}" x2="{panel[1]}" y1="{y}" y2="{y}" stroke="#e3e7eb"/>')
        parts.append(_text(panel[0] - 8, y + 4, f"{value / 1000:,.0f}k" if value else "0", "end"))
    return [*parts, _text((panel[0] + panel[1]) / 2, _BOTTOM + 44, words)]


def _lines(points: Sequence[Point], top: float) -> list[str]:
    low, high = (math.log10(_rows(points[at])) for at in (0, -1))
    span = (high - low) or 1.0

    def x(one: Point) -> float:
        return round(
            _LEFT_PANEL[0] + 16 + (_LEFT_PANEL[1] - _LEFT_PANEL[0] - 32) * (math.log10(_rows(one)) - low) / span, 1
        )

    parts = [_text(x(one), _BOTTOM + 20, f"{_rows(one):,.0f}") for one in points]
    for name, _, color in reversed(_SERIES):
        path = " ".join(f"{x(one)},{_y(one[name], top)}" for one in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x(one)}" cy="{_y(one[name], top)}" r="3.5" fill="{color}"/>' for one in points]
    return parts


def _bars(points: Sequence[Point], top: float) -> list[str]:
    room = (_RIGHT_PANEL[1] - _RIGHT_PANEL[0]) / len(points)
    parts = []
    for at, one in enumerate(points):
        middle = round(_RIGHT_PANEL[0] + room * (at + 0.5), 1)
        parts.append(_text(middle, _BOTTOM + 20, f"{_columns(one):.0f}"))
        for nth, (name, _, color) in enumerate(_SERIES):
            y = _y(one[name], top)
            parts.append(
                f'<rect x="{middle - _BAR + nth * _BAR}" y="{y}" width="{_BAR - 2}" height="{round(_BOTTOM - y, 1)}" '
                f'fill="{color}"/>'
            )
    return parts


def draw(figures: Mapping[str, Any]) -> None:
    """Write the chart of what `benchmarks.shape` found, and beside it the figures, to docs/charts."""
    CHARTS.mkdir(exist_ok=True)
    (CHARTS / "shape.json").write_text(json.dumps(figures, indent=2) + "\n")
    (CHARTS / "shape.svg").write_text(drawn(figures["results"]))
    print(f"drawn: {CHARTS / 'shape.svg'}")


if __name__ == "__main__":
    draw(json.loads((RESULTS / "shape.json").read_text()))

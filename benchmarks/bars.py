"""Draw what `benchmarks.maintain` found of TPC-H: for each query, a batch over computing the view anew.

`python -m benchmarks.bars` reads results/maintain.json and writes docs/charts/maintain.svg, and beside it the figures
that it shows as maintain.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.chart import CHARTS
from benchmarks.measuring import RESULTS

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 760, 300, 52, 250, 48, 744
_STYLE = "text{font:12px system-ui,sans-serif;fill:#3c4650}.title{font-weight:600;font-size:13px;fill:#14181c}"
_BAR, _MEAN = "#0b6bcb", "#c2410c"


def drawn(results: Sequence[Mapping[str, Any]], mean: float) -> str:
    """The chart as SVG: a bar for each query, a line at 1 (as dear as computing anew) and one at the geometric mean."""
    top: float = max(1.2, *(one["ratio"] for one in results))
    room = (_RIGHT - _LEFT) / len(results)

    def y(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * value / top, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'aria-label="Time per batch over time to compute the view anew, by query of TPC-H">',
        f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        '<text x="16" y="24" class="title">A batch of 0.1 %, over computing the view anew, by query of TPC-H</text>',
    ]
    for value, color, words in ((1.0, "#9aa4ae", "1"), (mean, _MEAN, f"{mean:.2f}")):
        parts.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y(value)}" y2="{y(value)}" stroke="{color}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{words}</text>')
    for at, one in enumerate(results):
        x, high = round(_LEFT + room * at, 1), y(one["ratio"])
        parts.append(
            f'<rect x="{x + 5}" y="{high}" width="{round(room - 10, 1)}" height="{round(_BOTTOM - high, 1)}" '
            f'fill="{_BAR}"/>'
        )
        name = one["view"].rsplit("q", 1)[1].lstrip("0")
        parts.append(f'<text x="{round(x + room / 2, 1)}" y="{_BOTTOM + 20}" text-anchor="middle">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw(figures: Mapping[str, Any]) -> None:
    """Write the chart of what `benchmarks.maintain` found, and beside it the figures, to docs/charts."""
    CHARTS.mkdir(exist_ok=True)
    (CHARTS / "maintain.json").write_text(json.dumps(figures, indent=2) + "\n")
    (CHARTS / "maintain.svg").write_text(drawn(figures["tpch"]["results"], figures["tpch"]["ratio_geometric_mean"]))
    print(f"drawn: {CHARTS / 'maintain.svg'}")


if __name__ == "__main__":
    draw(json.loads((RESULTS / "maintain.json").read_text()))

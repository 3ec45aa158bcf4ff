"""Draws what `rivals.py` has measured: `python -m tests.benchmarks.plots FIGURES.json FOLDER`.

Makes a picture and a table for the documentation, both from the one file of figures.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 210, 46, 46
TITLE = "A request takes so many times as long as in clear"
TIMES = "\N{MULTIPLICATION SIGN}"
# Told apart without colours too: by their dashes, and by the label at each line's end.
STYLES = (
    ("#0b5cad", ""),
    ("#0b5cad", "6 4"),
    ("#a33b00", ""),
    ("#5b2a86", ""),
    ("#5b2a86", "6 4"),
    ("#6b6b00", ""),
    ("#2f6b2f", "2 3"),
)


def sizes(rows: dict[str, Any]) -> list[int]:
    return sorted({int(size) for row in rows.values() for size in row["times"]})


def ratios(rows: dict[str, Any]) -> dict[str, dict[int, float]]:
    """How many times as long each takes as the same in clear, by size."""
    return {
        name: {
            int(size): time / rows[row["base"]]["times"][size]
            for size, time in row["times"].items()
        }
        for name, row in rows.items()
        if row["base"]
    }


def picture(rows: dict[str, Any]) -> str:
    lines = ratios(rows)
    every = sizes(rows)
    most = max(max(line.values()) for line in lines.values())
    top = math.ceil(math.log2(most))

    def x(size: int) -> float:
        low, high = math.log10(every[0]), math.log10(every[-1])
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(size) - low) / (high - low)

    def y(ratio: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log2(max(ratio, 1)) / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        ' font-family="sans-serif" font-size="12" fill="#222">',
        "<title>Time of a request, as a multiple of the same in clear, by size</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{TITLE}</text>',
    ]
    for power in range(top + 1):
        height = y(2**power)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{2**power}{TIMES}</text>'
        )
    for size in every:
        text = f"{size:,}".replace(",", " ")
        place = f'x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {place} text-anchor="middle">{text}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">bytes of JSON, echoed</text>')
    ends: list[float] = []
    for (name, line), (colour, dash) in zip(
        sorted(lines.items(), key=lambda one: -one[1][max(one[1])]), STYLES, strict=True
    ):
        points = " ".join(f"{x(size):.1f},{y(ratio):.1f}" for size, ratio in sorted(line.items()))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dash}"/>'
        )
        end = y(line[max(line)])
        # One below the other, where lines end together.
        at = max([end, *(other + 15 for other in ends)])
        ends.append(at)
        label = WIDTH - RIGHT + 14
        leader = f"M{x(max(line)) + 4:.1f} {end:.1f}L{label - 3} {at - 4:.1f}"
        parts.append(f'<path d="{leader}" stroke="{colour}" stroke-width=".7"/>')
        parts.append(f'<text x="{label}" y="{at:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>", ""))


def table(rows: dict[str, Any]) -> list[list[str]]:
    every = sizes(rows)
    head = [
        "µs a request, and how many times as long as in clear",
        *(f"{size:,} B" for size in every),
    ]
    lines = ratios(rows)
    body = [head]
    for name, row in rows.items():
        cells = []
        for size in every:
            time = row["times"].get(str(size))
            ratio = lines.get(name, {}).get(size)
            told = "refused" if time is None else f"{time:,.0f}"
            cells.append(told if ratio is None else f"{told} ({ratio:.2f}{TIMES})")
        body.append([name, *cells])
    return body


def main(figures: Path, folder: Path) -> None:
    rows = json.loads(figures.read_text("utf-8"))["rows"]
    (folder / "benchmarks.svg").write_text(picture(rows), "utf-8")
    with (folder / "benchmarks.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

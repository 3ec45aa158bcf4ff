"""Draws what `page.py` has measured: ``python -m tests.benchmarks.plots FIGURES.json FOLDER``.

Makes the pictures and tables of docs/benchmarks.rst, all from the one file of figures.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

TIMES, SPACE = "\N{MULTIPLICATION SIGN}", "\N{NO-BREAK SPACE}"
_UNITS = ((1_000_000, "MB"), (1_000, "KB"), (1, "B"))
_MICRO = ((1_000_000, "s"), (1_000, "ms"), (0, "µs"))

Rows = list[list[str]]


# --- numbers as text ---


def bytes_text(size: int) -> str:
    divisor, unit = next(one for one in _UNITS if size >= one[0])
    return f"{size // divisor}{SPACE}{unit}"


def time_text(microseconds: float) -> str:
    divisor, unit = next(one for one in _MICRO if microseconds >= one[0])
    return f"{digits(microseconds / (divisor or 1))}{SPACE}{unit}"


def ratio_text(ratio: float) -> str:
    return f"{digits(ratio)}{TIMES}"


def rate_text(rate: float) -> str:
    return f"{rate:,.0f}"


def digits(number: float) -> str:
    """Three digits, at most two of them after the point, or all before it."""
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}"


# --- pictures ---

# For a phone, too: the text is still readable when the picture is 350 pixels wide.
WIDTH, LEFT, RIGHT, TOP, PLOT, BELOW, LINE = 560, 62, 32, 44, 300, 76, 24
BLUE = "#0b5cad"
# Told apart without colours, too, by dashes; Flask-Sealed's own are the broad ones.
_OWN = {
    "Flask-Sealed, session": "",
    "Flask-Sealed, session, records": "2 4",
    "Flask-Sealed, Level 3": "9 4",
    "sealed": "",
}
_OTHERS = (
    ("#a33b00", ""),
    ("#5b2a86", "7 4"),
    ("#2f6b2f", "2 3"),
    ("#8a6d00", "9 3 2 3"),
    ("#444", "4 3"),
)


@dataclass(frozen=True)
class Axis:
    """One side of a picture.

    :param title: what it is, and its unit.
    :param marks: values with their text, the least and the greatest value included.
    :param scale: where a value lies; values below the least lie on it.
    """

    title: str
    marks: dict[float, str]
    scale: Callable[[float], float] = lambda value: value

    def place(self, value: float) -> float:
        """From 0 to 1."""
        low, high = (self.scale(end(self.marks)) for end in (min, max))
        return (self.scale(max(value, min(self.marks))) - low) / (high - low)


def even(title: str, most: float) -> Axis:
    """An axis from 0 on, with about five round marks."""
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    count = math.ceil(most / step)
    return Axis(title, {step * index: f"{step * index:,.0f}" for index in range(count + 1)})


def picture(title: str, x: Axis, y: Axis, lines: dict[str, dict[float, float]]) -> str:
    height = TOP + PLOT + BELOW + LINE * len(lines) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        ' font-family="sans-serif" font-size="17" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="24">{escape(y.title)}</text>',
        *_marks(x, y),
    ]
    styles = dict(zip(lines, _styles(lines), strict=True))
    # As they end, so that the list below reads as the picture does.
    for index, name in enumerate(sorted(lines, key=lambda name: -lines[name][max(lines[name])])):
        points = sorted(lines[name].items())
        parts.append(_line([(_x(x, at), _y(y, value)) for at, value in points], styles[name]))
        below = TOP + PLOT + BELOW + LINE * index
        parts.append(_line([(LEFT, below), (LEFT + 44, below)], styles[name]))
        parts.append(f'<text x="{LEFT + 56}" y="{below + 6}">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>", ""))


def _x(axis: Axis, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * axis.place(value)


def _y(axis: Axis, value: float) -> float:
    return TOP + PLOT * (1 - axis.place(value))


def _marks(x: Axis, y: Axis) -> Iterable[str]:
    for value, text in y.marks.items():
        height = _y(y, value)
        yield f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{height + 6:.1f}" text-anchor="end">{text}</text>'
    for value, text in x.marks.items():
        place = f'x="{_x(x, value):.1f}" y="{TOP + PLOT + 26}"'
        yield f'<text {place} text-anchor="middle">{text}</text>'
    yield f'<text x="{LEFT}" y="{TOP + PLOT + 52}">{escape(x.title)}</text>'


def _styles(names: Iterable[str]) -> Iterator[str]:
    rest = iter(_OTHERS)
    for name in names:
        colour, dash = (BLUE, _OWN[name]) if name in _OWN else next(rest)
        width = 3 if name in _OWN else 1.8
        yield f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"'


def _line(points: list[tuple[float, float]], style: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" {style}/>'


def by_size(rivals: dict[str, Any]) -> str:
    lines = ratios(rivals, "times")
    top = math.ceil(math.log2(max(max(line.values()) for line in lines.values())))
    return picture(
        "Time of a request by its size, as a multiple of the same in clear",
        Axis(
            "bytes of a request's body, and of its answer's",
            {size: bytes_text(size) for size in sizes(rivals)},
            math.log10,
        ),
        Axis(
            "Time of a request, as a multiple of the same in clear",
            {2**power: f"{2**power}{TIMES}" for power in range(top + 1)},
            math.log2,
        ),
        lines,
    )


def by_workers(workers: dict[str, Any]) -> str:
    lines = turned(workers)
    most = max(max(line.values()) for line in lines.values())
    return picture(
        "Requests per second by the number of workers, sealed and in clear",
        Axis("workers of gunicorn", {int(count): count for count in workers}),
        even("Requests per second", most),
        lines,
    )


def by_sessions(sessions: dict[str, Any]) -> str:
    lines = turned(sessions)
    most = max(max(line.values()) for line in lines.values())
    return picture(
        "Time of a request by the number of sessions, sealed and in clear",
        Axis(
            "sessions that take turns at random",
            {int(count): f"{int(count):,}" for count in sessions},
            math.log10,
        ),
        even("Microseconds of a request", most),
        lines,
    )


def turned(growth: dict[str, dict[str, float]]) -> dict[str, dict[float, float]]:
    names = next(iter(growth.values()))
    return {name: {int(count): row[name] for count, row in growth.items()} for name in names}


# --- tables ---


def sizes(rivals: dict[str, Any]) -> list[int]:
    return sorted({int(size) for row in rivals.values() for size in row["times"]})


def ratios(rivals: dict[str, Any], figure: str) -> dict[str, dict[float, float]]:
    """How many times as much each has as the same in clear, by size."""
    return {
        name: {
            int(size): value / rivals[row["base"]][figure][size]
            for size, value in row[figure].items()
        }
        for name, row in rivals.items()
        if row["base"]
    }


def times_table(rivals: dict[str, Any]) -> Rows:
    times: dict[str, dict[float, float]] = {
        name: {int(size): time for size, time in row["times"].items()}
        for name, row in rivals.items()
    }
    return _by_size("Time of a request", sizes(rivals), times, time_text)


def ratios_table(rivals: dict[str, Any], figure: str, title: str) -> Rows:
    return _by_size(title, sizes(rivals), ratios(rivals, figure), ratio_text)


def _by_size(
    title: str,
    every: list[int],
    rows: dict[str, dict[float, float]],
    text: Callable[[float], str],
) -> Rows:
    return [
        [title, *map(bytes_text, every)],
        *(
            [name, *(text(row[size]) if size in row else "refused" for size in every)]
            for name, row in rows.items()
        ),
    ]


def growth_table(title: str, growth: dict[str, Any], text: Callable[[float], str]) -> Rows:
    return [
        [title, "In clear", "Sealed", "Sealed / in clear"],
        *(
            [f"{int(count):,}", text(row["in clear"]), text(row["sealed"]), _ratio(row)]
            for count, row in growth.items()
        ),
    ]


def _ratio(row: dict[str, float]) -> str:
    return f"{row['sealed'] / row['in clear']:.2f}"


def primitives_table(primitives: dict[str, list[float]], records: dict[str, float]) -> Rows:
    rows = dict(primitives)
    for name in ("seal", "open, pieces of 16 KiB"):
        least = records["bare encrypt" if name == "seal" else "bare decrypt"]
        rows[f"a record of 64 KiB: {name}"] = [records[name], least]
    return [
        ["A part by itself, 1 KB both ways", "Time", "Library calls alone", "Ratio"],
        *(
            [name, time_text(time), time_text(least), f"{time / least:.2f}"]
            for name, (time, least) in rows.items()
        ),
    ]


def requests_table(requests: dict[str, float]) -> Rows:
    return [
        ["In an application, 1 KB", "Time", "Added"],
        *(
            [name, time_text(time), _added(time - requests[name.partition(",")[0]])]
            for name, time in requests.items()
        ),
    ]


def _added(more: float) -> str:
    return time_text(more) if more > 0 else ""


def calls_table(calls: dict[str, dict[str, float]]) -> Rows:
    return [
        ["1 KB of JSON", "In clear", "Sealed", "Sealed / in clear"],
        *(
            [name, *(f"{row[way]:.2f}{SPACE}ms" for way in ("in clear", "sealed")), _ratio(row)]
            for name, row in calls.items()
        ),
    ]


def streams_table(streams: dict[str, dict[str, float]]) -> Rows:
    return [
        ["100 MiB in Chromium", "In clear", "Sealed", "Sealed / in clear", "Heap at the most"],
        *(
            [
                name,
                *(f"{row[way]:.0f}{SPACE}MB/s" for way in ("in clear", "sealed")),
                _ratio(row),
                f"{row['heap']:.0f}{SPACE}MB",
            ]
            for name, row in streams.items()
        ),
    ]


# --- files ---


def tables(figures: dict[str, Any]) -> dict[str, Rows]:
    rivals, clients = figures["rivals"], figures["clients"]
    return {
        "machine": [["Measured with", "Version"], *map(list, figures["machine"].items())],
        "times": times_table(rivals),
        "ratios": ratios_table(rivals, "times", "Time, as a multiple of the same in clear"),
        "wire": ratios_table(rivals, "wire", "Bytes both ways, as a multiple of those in clear"),
        "workers": growth_table(
            "Workers; requests per second", figures["workers"], lambda rate: f"{rate:,.0f}"
        ),
        "sessions": growth_table("Sessions; time of a request", figures["sessions"], time_text),
        "primitives": primitives_table(figures["primitives"], figures["records"]),
        "requests": requests_table(figures["requests"]),
        "calls": calls_table(clients["calls"]),
        "streams": streams_table(clients["streams"]),
    }


def files(figures: dict[str, Any]) -> dict[str, str]:
    """The content of each file by its name."""
    made = {
        "benchmarks-sizes.svg": by_size(figures["rivals"]),
        "benchmarks-workers.svg": by_workers(figures["workers"]),
        "benchmarks-sessions.svg": by_sessions(figures["sessions"]),
    }
    for name, rows in tables(figures).items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        made[f"benchmarks-{name}.csv"] = text.getvalue()
    return made


def main(figures: Path, folder: Path) -> None:
    for name, text in files(json.loads(figures.read_text("utf-8"))).items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

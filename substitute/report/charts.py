"""Charts as inline SVG: their colours are the page's, through classes, so that they follow its scheme."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any

from .text import format_count

Json = Mapping[str, Any]

LEAST_SHARE = 1e-6
"""Smallest share of elements that a histogram shows; less is drawn as this."""


def _svg(width: float, height: float, title: str) -> ElementTree.Element:
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": title})
    svg.set("class", "chart")
    ElementTree.SubElement(svg, "title").text = title
    return svg


def _add(parent: ElementTree.Element, tag: str, text: str = "", /, **attributes: object) -> ElementTree.Element:
    """Append an element; `_class` is `class`, and underscores in other names are hyphens."""
    names = {name.lstrip("_").replace("_", "-"): _attribute(value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, names)
    element.text = text or None
    return element


def _attribute(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _text(svg: ElementTree.Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")


def draw_roofline(rows: Sequence[Json], machine: Json) -> str:
    """Draw each dispatch of a profile below the machine's roof; empty if no dispatch has known operations and bytes."""
    points = []
    for number, row in enumerate(rows):
        flops, size = row["flops"], row["bytes"]
        if not isinstance(flops, int) or not isinstance(size, int) or flops <= 0 or size <= 0:
            continue
        times = [("stock", row["stock_us"]), ("ours", row["kernels_us"] if row["kernel"] else None)]
        rates = [(kind, flops * (row["launches"] or 1) / (us * 1e-6)) for kind, us in times if us]
        points.append((number, row["name"], flops / size, rates))
    if not points:
        return ""
    peak, bandwidth = machine["flops_per_s"], machine["bytes_per_s"]
    ridge = peak / bandwidth
    left = math.floor(math.log10(min([ridge / 10, *(p[2] for p in points)])))
    right = math.ceil(math.log10(max([ridge * 10, *(p[2] for p in points)])))
    speeds = [rate for p in points for _, rate in p[3]]
    low = math.floor(math.log10(min([peak / 100, *speeds])))
    high = math.ceil(math.log10(max([peak, *speeds]) * 1.05))
    width, height, x0, y0, x1, y1 = 720.0, 380.0, 74.0, 16.0, 704.0, 330.0

    def across(value: float) -> float:
        return x0 + (math.log10(value) - left) / (right - left) * (x1 - x0)

    def down(value: float) -> float:
        return y1 - (math.log10(value) - low) / (high - low) * (y1 - y0)

    svg = _svg(width, height, "Roofline: operations per second over operations per byte")
    for power in range(left, right + 1):
        x = across(10.0**power)
        _add(svg, "line", x1=x, x2=x, y1=y0, y2=y1, _class="grid")
        _add(svg, "text", f"{10.0**power:g}", x=x, y=y1 + 16, text_anchor="middle")
    for power in range(low, high + 1):
        y = down(10.0**power)
        _add(svg, "line", x1=x0, x2=x1, y1=y, y2=y, _class="grid")
        _add(
            svg,
            "text",
            format_count(10**power).replace(".00", "").replace(".0", "") if power >= 0 else "",
            x=x0 - 6,
            y=y + 4,
            text_anchor="end",
        )
    _add(svg, "text", "operations per byte", x=(x0 + x1) / 2, y=y1 + 36, text_anchor="middle")
    _add(
        svg,
        "text",
        "operations per second",
        x=14,
        y=(y0 + y1) / 2,
        transform=f"rotate(-90 14 {(y0 + y1) / 2:g})",
        text_anchor="middle",
    )
    start = max(10.0**left, 10.0**low / bandwidth)
    roof = [(start, start * bandwidth), (ridge, peak), (10.0**right, peak)]
    _add(svg, "polyline", points=" ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in roof), _class="roof")
    for number, name, intensity, rates in points:
        link = _add(svg, "a", href=f"#d{number}")
        if len(rates) == 2:
            ends = [down(rate) for _, rate in rates]
            _add(link, "line", x1=across(intensity), x2=across(intensity), y1=ends[0], y2=ends[1], _class="step")
        for kind, rate in rates:
            dot = _add(link, "circle", cx=across(intensity), cy=down(rate), r=5, _class=kind)
            word = "IREE's code" if kind == "stock" else "kernel"
            _add(dot, "title", f"{name}, {word}: {format_count(round(rate), 'FLOP/s')}, {intensity:.3g} FLOP per byte")
    _legend(svg, x0 + 12, y0 + 14, (("stock", "IREE's code"), ("ours", "kernel")))
    return _text(svg)


def _legend(svg: ElementTree.Element, x: float, y: float, names: Sequence[tuple[str, str]]) -> None:
    for kind, name in names:
        _add(svg, "circle", cx=x, cy=y - 4, r=5, _class=kind)
        _add(svg, "text", name, x=x + 10, y=y)
        x += 30 + 7.0 * len(name)


def draw_timings(timings: Sequence[Json]) -> str:
    """Draw the samples of each code on one axis: all of them, the quartiles as a box, the median as a line."""
    row, x0, x1 = 52.0, 150.0, 696.0
    height = row * len(timings) + 44
    svg = _svg(720, height, "Times of each code: samples, quartiles, median")
    ordered = [sorted(timing["samples_us"]) for timing in timings]
    low = min(samples[0] for samples in ordered)
    # a single slow round must not squeeze everything else into a corner
    high = max(samples[min(len(samples) - 1, int(0.95 * len(samples)))] for samples in ordered)
    span = (high - low) or max(high, 1e-9) * 0.01
    low, high = low - 0.05 * span, high + 0.08 * span

    def across(value: float) -> float:
        return float(x0 + (min(value, high) - low) / (high - low) * (x1 - x0))

    bottom = row * len(timings) + 10
    for step in range(5):
        value = low + (high - low) * step / 4
        _add(svg, "line", x1=across(value), x2=across(value), y1=8, y2=bottom, _class="grid")
        _add(svg, "text", f"{value / 1e3:.4g}", x=across(value), y=bottom + 16, text_anchor="middle")
    beyond = "; rounds that took longer are at the edge" if any(samples[-1] > high for samples in ordered) else ""
    _add(svg, "text", f"milliseconds{beyond}", x=(x0 + x1) / 2, y=bottom + 31, text_anchor="middle")
    for number, (timing, samples) in enumerate(zip(timings, ordered, strict=True)):
        kind = "ours" if number == 0 else "stock"
        middle = 8 + row * (number + 0.5)
        _add(svg, "text", timing["name"], x=x0 - 10, y=middle + 4, text_anchor="end", _class="label")
        for at, value in enumerate(samples[:: max(1, len(samples) // 200)]):
            _add(svg, "circle", cx=across(value), cy=middle - 7 + 7 * (at % 3), r=2, _class=f"{kind} sample")
        quarter, half, most = (samples[round(q * (len(samples) - 1))] for q in (0.25, 0.5, 0.75))
        _add(
            svg,
            "rect",
            x=across(quarter),
            y=middle - 13,
            width=max(across(most) - across(quarter), 1.0),
            height=26,
            _class=f"{kind} box",
        )
        _add(svg, "line", x1=across(half), x2=across(half), y1=middle - 16, y2=middle + 16, _class=f"{kind} median")
    return _text(svg)


def draw_histogram(picture: Json) -> str:
    """Draw bars per bin of ULP, candidate next to baseline, as shares of all elements on a logarithmic scale."""
    sets = [("ours", "kernel", shares(picture["candidate"]))]
    if picture["baseline"] is not None:
        sets.append(("stock", "IREE's own code", shares(picture["baseline"])))
    labels = bin_labels()
    width, x0, y0, y1 = 560.0, 56.0, 38.0, 200.0
    svg = _svg(width, 274, f"How the errors of {picture['result']} are distributed, case {picture['case']}")
    decades = round(-math.log10(LEAST_SHARE))
    for power in range(0, decades + 1, 1):
        y = y0 + (y1 - y0) * power / decades
        _add(svg, "line", x1=x0, x2=width - 6, y1=y, y2=y, _class="grid")
        _add(
            svg,
            "text",
            f"{100 * 10.0**-power:.10g} %" if power % 2 == 0 else "",
            x=x0 - 4,
            y=y + 4,
            text_anchor="end",
            _class="small",
        )
    place = (width - 6 - x0) / len(labels)
    bar = 0.8 * place / len(sets)
    for number, (kind, name, values) in enumerate(sets):
        for at, value in enumerate(values):
            if value <= 0:
                continue
            top = y0 + (y1 - y0) * min(1.0, -math.log10(max(value, LEAST_SHARE)) / decades)
            top = min(top, y1 - 1.5)  # so that one element in millions is seen
            x = x0 + place * (at + 0.1) + bar * number
            rect = _add(svg, "rect", x=x, y=top, width=bar, height=y1 - top, _class=f"{kind} bar")
            _add(rect, "title", f"{name}: {100 * value:.3g} % of the elements, {labels[at]} ULP")
    for at, label in enumerate(labels):
        x, y = x0 + place * (at + 0.6), y1 + 12
        _add(svg, "text", label, x=x, y=y, text_anchor="end", _class="small", transform=f"rotate(-50 {x:.1f} {y:.1f})")
    _add(svg, "text", "error in units of the last place", x=(x0 + width) / 2, y=268, text_anchor="middle")
    _add(svg, "text", f"{picture['result']}, case {picture['case']}", x=4, y=13, _class="label")
    _legend(svg, x0 + 6, 30, [(kind, name) for kind, name, _ in sets])
    return _text(svg)


def draw_map(picture: Json, grid: Json) -> str:
    """Shade each cell by its largest error as a share of the allowance; those above 100 % have another colour."""
    cells = [[float(value) for value in row] for row in grid["cells"]]
    rows, columns = len(cells), len(cells[0])
    x0, y0, x1, y1 = 52.0, 22.0, 552.0, 222.0
    shape = "×".join(map(str, grid["shape"])) or "scalar"
    svg = _svg(560, 262, f"Where in {picture['result']} ({shape}) the errors are")
    _add(svg, "text", f"where the errors are: {shape}", x=4, y=13, _class="label")
    across, down = (x1 - x0) / columns, (y1 - y0) / rows
    _add(svg, "rect", x=x0, y=y0, width=x1 - x0, height=y1 - y0, _class="frame")
    for r, row in enumerate(cells):
        for c, value in enumerate(row):
            if value <= 0:
                continue
            wrong = not value <= 1
            shade: dict[str, float] = {} if wrong else {"fill_opacity": max(round(value, 2), 0.02)}
            cell = _add(
                svg,
                "rect",
                x=x0 + c * across,
                y=y0 + r * down,
                width=across,
                height=down,
                _class="wrong" if wrong else "ours bar",
                **shade,
            )
            if wrong:
                _add(cell, "title", f"row {r + 1}, column {c + 1} of the map: {value:.3g} of what is allowed")
    last = grid["shape"][-1] if grid["shape"] else 1
    others = math.prod(grid["shape"][:-1])
    for share in (0.0, 0.5, 1.0):
        _add(svg, "text", str(round(share * last)), x=x0 + share * (x1 - x0), y=y1 + 15, text_anchor="middle")
        _add(svg, "text", str(round(share * others)), x=x0 - 6, y=y0 + share * (y1 - y0) + 4, text_anchor="end")
    _add(
        svg,
        "text",
        "last dimension; upwards: all others, row-major. The darker, the nearer to what is allowed; "
        "orange is beyond it",
        x=280,
        y=254,
        text_anchor="middle",
        _class="small",
    )
    return _text(svg)


def shares(counted: Json) -> list[float]:
    """Return each bin's share of all elements; the last one counts those that are not finite."""
    total = max(sum(counted["counts"]) + counted["not_finite"], 1)
    return [count / total for count in (*counted["counts"], counted["not_finite"])]


def bin_labels() -> list[str]:
    """Return the label below each bar."""
    from ..validate.picture import ULP_EDGES

    inner = [f"{a:g}…{b:g}" for a, b in itertools.pairwise(ULP_EDGES)]
    return [f"< {ULP_EDGES[0]:g}", *inner, f"≥ {ULP_EDGES[-1]:g}", "∞, NaN"]

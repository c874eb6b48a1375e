"""A validation as one self-contained HTML page: tables, and plots as inline SVG."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..validate.picture import ErrorMap, Histogram, Picture
    from ..validate.validation import Validation
    from ..validate.verdict import CaseVerdict, DispatchVerdict

CANDIDATE, BASELINE, WRONG = "#1b6ca8", "#b0b7bd", "#c0392b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One dispatch on the page."""

    verdict: DispatchVerdict
    word: str
    """`passed`, `failed` or `skipped`."""
    plots: tuple[str, ...]
    """SVG."""


def validation_to_html(validation: Validation) -> str:
    """Return the page. Raises `UsageError` if matplotlib is not installed."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = _figure
    text = files(__package__).joinpath("templates/validation.html.j2").read_text(encoding="utf-8")
    sections = [
        Section(verdict=d, word=_word(d), plots=tuple(_plots(d, n))) for n, d in enumerate(validation.dispatches)
    ]
    counts = {word: sum(s.word == word for s in sections) for word in ("passed", "failed", "skipped")}
    return environment.from_string(text).render(validation=validation, sections=sections, counts=counts)


def _word(verdict: DispatchVerdict) -> str:
    return "skipped" if verdict.skipped else "passed" if verdict.passed else "failed"


def _figure(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def _plots(verdict: DispatchVerdict, number: int) -> list[str]:
    """Return the plots of the case with the largest error; failed cases come first."""
    drawn = [c for c in verdict.cases if c.picture is not None]
    if not drawn:
        return []
    case = max(drawn, key=_weight)
    assert case.picture is not None
    plots = [_draw_histogram(case.picture, f"histogram{number}")]
    if case.picture.map is not None and case.picture.map.cells and case.picture.map.cells[0]:
        plots.append(_draw_map(case.picture, case.picture.map, f"map{number}"))
    return plots


def _weight(case: CaseVerdict) -> tuple[bool, float]:
    return (not case.passed, case.worst)


def _draw_histogram(picture: Picture, name: str) -> str:
    """Draw bars per bin of ULP, candidate next to baseline, as shares of all elements on a logarithmic scale."""
    figure, axes = _figure_and_axes(5.6, 2.9)
    labels = bin_labels()
    sets = [("kernel", picture.candidate, CANDIDATE)]
    if picture.baseline is not None:
        sets.append(("IREE's own code", picture.baseline, BASELINE))
    width = 0.8 / len(sets)
    for number, (label, counted, colour) in enumerate(sets):
        places = [i + (number - (len(sets) - 1) / 2) * width for i in range(len(labels))]
        axes.bar(places, shares(counted), width, label=label, color=colour)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5 / max(picture.candidate.total, 2), top=2)
    axes.set_xticks(range(len(labels)), labels, rotation=55, ha="right", fontsize=7)
    axes.set_ylabel("share of elements", fontsize=8)
    axes.set_xlabel("error in units of the last place", fontsize=8)
    axes.set_title(f"{picture.result}, case {picture.case}", fontsize=8, loc="left")
    axes.legend(fontsize=7, frameon=False)
    return _svg(figure, "How the errors are distributed", name)


def shares(counted: Histogram) -> list[float]:
    """Return each bin's share of all elements; the last one counts those that are not finite."""
    total = max(counted.total, 1)
    return [c / total for c in (*counted.counts, counted.not_finite)]


def bin_labels() -> list[str]:
    """Return the label below each bar."""
    from ..validate.picture import ULP_EDGES

    inner = [f"{a:g}…{b:g}" for a, b in itertools.pairwise(ULP_EDGES)]
    return [f"< {ULP_EDGES[0]:g}", *inner, f"≥ {ULP_EDGES[-1]:g}", "∞, NaN"]


def _draw_map(picture: Picture, grid: ErrorMap, name: str) -> str:
    """Colour each cell by its largest error as a share of the allowance; red above 100 %."""
    import matplotlib.colors
    import numpy as np

    figure, axes = _figure_and_axes(5.6, 2.9)
    cells = np.array(grid.cells, dtype=float)
    scale = matplotlib.colors.LinearSegmentedColormap.from_list("share", ["#f4f7f9", CANDIDATE])
    colours = scale.with_extremes(over=WRONG)
    image = axes.imshow(
        np.where(np.isfinite(cells), cells, 1e300), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    _ticks(axes, grid)
    figure.colorbar(image, ax=axes, extend="max").set_label("|error| ÷ allowed", fontsize=8)
    shape = "×".join(map(str, grid.shape)) or "scalar"
    axes.set_title(f"where the errors sit: {picture.result} ({shape})", fontsize=8, loc="left")
    return _svg(figure, "Where in the result the errors sit", name)


def _ticks(axes: Any, grid: ErrorMap) -> None:
    """Label the axes with element numbers instead of cell numbers."""
    rows, columns = len(grid.cells), len(grid.cells[0])
    across = grid.shape[-1] if grid.shape else 1
    down = math.prod(grid.shape[:-1])
    for set_ticks, cells, size in ((axes.set_xticks, columns, across), (axes.set_yticks, rows, down)):
        marks: Sequence[int] = sorted({0, cells // 2, cells - 1})
        set_ticks(list(marks), [str(round(m * size / cells)) for m in marks], fontsize=7)
    axes.set_xlabel("last dimension", fontsize=8)
    axes.set_ylabel("all others, row-major", fontsize=8)


def _figure_and_axes(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "the page cannot be drawn",
            expected="matplotlib",
            found="it is not installed",
            next_step="pip install 'iree-substitute[report]'",
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")  # not pyplot: it would look for a display
    return figure, figure.add_subplot()


def _svg(figure: Any, title: str, name: str) -> str:
    """Return the drawing; `name` makes its ids unique on the page, where all drawings share one space of ids."""
    import matplotlib

    buffer = io.StringIO()
    # text as text, ids that do not change from run to run, no date: the same validation gives the same page
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    text = buffer.getvalue()
    # ids of parts of the figure (`patch_1`) are not salted
    text = re.sub(r'(id="|url\(#|href="#)(?=[A-Za-z])', rf"\1{name}-", text)
    return text[text.index("<svg") :]

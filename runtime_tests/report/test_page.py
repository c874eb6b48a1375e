"""The page that `--html` writes, for every command: structure, escaping, colours, and a look at it in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from runtime_tests.report.pages import contrast, find_faults, read_page
from runtime_tests.report.validations import FAILED, PASSED, SKIPPED, TOGETHER, validation
from substitute import CompileResult, compile_model
from substitute.bench.bench_report import BenchReport, report_to_json
from substitute.bench.subject import LeftOut
from substitute.device.timing import Timing
from substitute.model.dispatch import Target
from substitute.payload.llvm.assembly import add_line_numbers, assemble
from substitute.report.as_json import inspection_to_json, plan_to_json
from substitute.report.listing import AFTER, ASSEMBLY, BEFORE, MOST_LINES, Line, Listing, list_code
from substitute.report.page import Entry, Page, link_lines, write_page
from substitute.report.page_contents import (
    page_of_bench,
    page_of_compilation,
    page_of_inspection,
    page_of_profile,
    page_of_validation,
)
from substitute.report.validation_json import validation_to_json
from substitute.validate.validation import ResultLine

ODD = 'a<b>&"c"\'{{ d }}</script>'
MODEL = """
func.func @main(%x: tensor<6x40xf32>, %y: tensor<40x16xf32>) -> tensor<6x16xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<6x16xf32>
  %filled = linalg.fill ins(%zero : f32) outs(%empty : tensor<6x16xf32>) -> tensor<6x16xf32>
  %r = linalg.matmul ins(%x, %y : tensor<6x40xf32>, tensor<40x16xf32>)
    outs(%filled : tensor<6x16xf32>) -> tensor<6x16xf32>
  return %r : tensor<6x16xf32>
}
"""


def profile_json(name: str) -> dict[str, Any]:
    row = {"launches": 2, "stock_spread_us": 1.0, "kernels_spread_us": 0.5, "reason": "right", "kind": "contraction"}
    fast = {"name": name, "stock_us": 8.0, "kernels_us": 4.0, "share": 0.4, "faster": 2.0, "kernel": "matmul"}
    slow = {"name": "slow", "stock_us": 12.0, "kernels_us": 12.0, "share": 0.6, "faster": None, "kernel": None}
    return {
        "model": ODD,
        "device": "local-task",
        "function": "main",
        "inputs": ["4xf32"],
        "inputs_drawn": True,
        "stock_us": 20.0,
        "kernels_us": 16.0,
        "machine": {"flops_per_s": 1e10, "bytes_per_s": 1e9, "threads": 1},
        "dispatches": [
            {**row, **fast, "flops": 4000, "bytes": 800, "least_us": 1.6},
            {**row, **slow, "flops": "push(0)", "bytes": None, "least_us": None},
        ],
    }


def bench_report() -> BenchReport:
    times = {"with kernels": 1.0, "IREE": 2.0}
    return BenchReport(
        model=ODD,
        digest="0",
        function="main",
        device="local-task",
        threads=1,
        clock="processor time",
        flags=("--x",),
        machine={"cpu": ODD},
        taken=1,
        dispatches=2,
        unchecked=(),
        timings=tuple(
            Timing(name=name, samples_us=tuple(us + n / 50 for n in range(20))) for name, us in times.items()
        ),
        left_out=(LeftOut(name="IREE, best flags", reason=ODD),),
        clear=False,
    )


def validation_page() -> Page:
    wrong = ResultLine(name="result 1", passed=False, detail="NaN stands in other places")
    skipped = replace(SKIPPED, name=ODD)
    data = validation_to_json(validation(PASSED, FAILED, TOGETHER, skipped, results=(wrong,)))
    nearest = {"kernel": "softmax", "rule": "constraint", "expected": "N % 4 == 0", "found": "N = 3"}
    return page_of_validation(data, {"unsubstituted": [{"dispatch": "left", "reason": "", "nearest": nearest}]})


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    model = tmp_path_factory.mktemp("page") / "m.mlir"
    model.write_text(MODEL)
    return compile_model(model, check=False, keep_ir=True)


def compilation_page(compiled: CompileResult) -> Page:
    return page_of_compilation(
        plan_to_json(compiled.plan, compiled.payloads),
        inspection_to_json(compiled.plan),
        model=ODD,
        facts=(("flags", ODD),),
        listings=list_code(compiled.plan, compiled.ir, compiled.payloads),
    )


@pytest.fixture(scope="module")
def pages(compiled: CompileResult) -> dict[str, Page]:
    code = list_code(compiled.plan, compiled.ir, {})
    return {
        "inspect": page_of_inspection(inspection_to_json(compiled.plan), model=ODD, listings=code),
        "compile": compilation_page(compiled),
        "profile": page_of_profile(profile_json(ODD), listings={ODD: (Listing(name=BEFORE, lines=(Line(text=ODD),)),)}),
        "bench": page_of_bench(report_to_json(bench_report())),
        "validate": validation_page(),
    }


@pytest.mark.compile
def test_the_structure_of_every_page(pages: dict[str, Page]) -> None:
    for command, page in pages.items():
        text = write_page(page)
        assert find_faults(text) == [], command
        shown = read_page(text)
        assert ODD in shown.text or command == "validate", "the model's name is text"
        assert text == write_page(page)
        for entry in page.entries:
            assert entry.name in shown.text, f"{command}: {entry.name}"
            assert all(reason in shown.text for reason in entry.reasons)
        details = [attrs for tag, attrs in shown.tags if tag == "details"]
        assert len(details) == len(page.entries)


def test_twin_faults_are_found() -> None:
    page = write_page(Page(command="inspect", subject="m", summary=(), entries=(Entry(name="d"),)))
    assert find_faults(page) == []
    for change, fault in (
        (('href="#d0"', 'href="#d7"'), "link to #d7"),
        (('<details id="d0"', '<details id="dispatches"'), "id dispatches stands there twice"),
        (("</h3>", "</h3><img src=x>"), "<img> needs something else"),
        (("</h3>", "</h3></p>"), "closes something else"),
        (('scope="col"', ""), "a table without headers"),
        (("</style>", "@import 'x';</style>"), "an address from elsewhere"),
    ):
        assert any(fault in found for found in find_faults(page.replace(*change))), fault


@pytest.mark.compile
def test_code_beside_code(compiled: CompileResult) -> None:
    (entry,) = compilation_page(compiled).entries
    assert [one.name for one in entry.listings][:4] == [BEFORE, AFTER, "payload, LLVM IR", ASSEMBLY]
    before, after, payload, assembly = entry.listings[:4]
    assert any("linalg.matmul" in line.text for line in before.lines)
    assert not any("linalg.matmul" in line.text for line in after.lines)
    assert not any("sse4.1" in line.text for line in before.lines), "features of the CPU are left out"
    leads = link_lines(entry.listings, "d0")
    (define,) = (n for n, line in enumerate(payload.lines) if line.text.startswith("define void"))
    calls = [n for n, line in enumerate(after.lines) if re.search(r" call @", line.text)]
    assert [leads[1][n] for n in calls] == [f"d0-2-{define + 1}"], "the call leads to the function"
    linked = [line for line in assembly.lines if any(name.startswith("line") for name in line.links)]
    assert len(linked) > len(assembly.lines) / 2
    for line in linked[:20]:
        number = next(int(name[4:]) for name in line.links if name.startswith("line"))
        assert payload.lines[number - 1].text.strip()


def test_assembly_knows_its_lines() -> None:
    text = """define i32 @f(i32 %a, i32 %b) {
  %c = mul i32 %a, %b
  switch i32 %c, label %other [
    i32 1, label %one
    i32 5, label %other
  ]
one:
  ret i32 %a
other:
  %d = udiv i32 %c, 3
  ret i32 %d
}
"""
    target = Target(backend="llvm-cpu", format="x", config=(("target_triple", "x86_64-unknown-unknown-eabi-elf"),))
    lines = assemble(text, target, "here")
    assert {line.line for line in lines if "imul" in line.text and "$" not in line.text} >= {2}
    assert any(line.line == 10 for line in lines) and any(line.line == 8 for line in lines)
    assert all(line.line == 0 for line in lines if line.text.endswith(":"))
    assert add_line_numbers("declare void @f()\n") == "declare void @f()\n"
    numbered = add_line_numbers(text)
    assert add_line_numbers(numbered) == numbered, "twin: what has debug information keeps its own"


def test_long_and_equal_code() -> None:
    long = Listing(name=BEFORE, lines=tuple(Line(text=f"line {n}") for n in range(3)), left_out=7)
    entries = (Entry(name="one", listings=(long,), cost=2.0), Entry(name="two", listings=(long,), cost=1.0))
    page = write_page(Page(command="inspect", subject="m", summary=(), entries=entries))
    assert page.count(">line 1") == page.count("line 1\n") == 1 and "7 more lines are left out" in page
    assert 'The same as <a href="#d0-0-title">in one</a>' in page
    assert find_faults(page) == [] and MOST_LINES > 500


def test_the_dearest_dispatch_comes_first() -> None:
    page = write_page(page_of_profile(profile_json("fast"), listings={}))
    assert page.index('<a href="#d0">slow') < page.index('<a href="#d1">fast')
    links = re.findall(r'<a href="#d(\d)"><line', page)
    assert links == ["1"], "its point in the roofline leads to the dispatch with known operations"


def test_colours_can_be_read() -> None:
    css = files("substitute.report").joinpath("templates/page.css").read_text("utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in css.split("@media")[:2]]
    assert len(schemes) == 2 and schemes[0]["paper"] != schemes[1]["paper"]
    for scheme in schemes:
        for ground in ("paper", "panel"):
            for ink in ("ink", "soft", "link", "good", "bad", "warn"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
        for ground in ("mark", "new"):
            assert contrast(scheme["ink"], scheme[ground]) >= 4.5
    assert contrast("#777777", "#888888") < 4.5 and contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the extra page-test)")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium was found (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.compile
def test_in_a_browser(browser: Any, pages: dict[str, Page], tmp_path: Path) -> None:
    """Nothing is wider than the window, nothing is loaded, the script works; lines light up together."""
    for scheme, width in (("light", 1280), ("dark", 360)):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        for command, made in pages.items():
            file = tmp_path / f"{command}.html"
            file.write_text(write_page(made), "utf-8")
            page = context.new_page()
            wrong: list[str] = []
            page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
            requests: list[str] = []
            page.on("request", lambda request, requests=requests: requests.append(request.url))
            page.goto(file.as_uri())
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), (command, width)
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 25, 29)")
            if command == "compile":
                page.locator(".panel:nth-child(4) .l[data-g]").first.hover()
                assert page.locator(".panel:nth-child(3) .l.on").count() == 1
            if command == "validate":
                page.locator("#filter").fill("dispatch_1")
                assert page.locator("details:visible").count() == 1
            assert (wrong, requests) == ([], [file.as_uri()]), command
            page.close()
        context.close()

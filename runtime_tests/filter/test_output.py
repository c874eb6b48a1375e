"""Output of the filter: the same as in-process, or its input."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime_tests.filter.conftest import CPU, CUDA, NAME, VULKAN, Surroundings
from runtime_tests.filter.in_process import executables_in_process

pytestmark = pytest.mark.compile
Executables = Callable[[tuple[str, ...]], dict[str, bytes]]


def normalised(text: str) -> dict[str, str]:
    """Each executable of a module by its name, as the bindings print it, without locations."""
    from iree.compiler import ir

    with ir.Context():
        module = ir.Module.parse(text)
        return {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation.get_asm(use_local_scope=True)
            for op in module.body.operations
            if op.operation.name == "hal.executable"
        }


@pytest.mark.parametrize("flags", [CPU, VULKAN, CUDA], ids=["cpu", "vulkan", "cuda"])
def test_gives_the_same_ir_as_in_process(shared: Surroundings, flags: tuple[str, ...]) -> None:
    done = shared.compile(NAME, flags=flags)
    assert done.returncode == 0, done.stderr
    through_the_filter = normalised((shared.folder / "out.mlir").read_text())
    assert len(through_the_filter) == 3
    assert through_the_filter == normalised(executables_in_process(shared.folder / "model.mlir", flags, builtin=True))


def test_the_comparison_sees_a_difference(shared: Surroundings) -> None:
    done = shared.compile(NAME)
    assert done.returncode == 0, done.stderr
    through_the_filter = normalised((shared.folder / "out.mlir").read_text())
    plain = normalised(executables_in_process(shared.folder / "model.mlir", CPU, builtin=False))
    assert through_the_filter.keys() == plain.keys()
    assert all(through_the_filter[name] != plain[name] for name in plain)


def test_a_compiled_model_runs(shared: Surroundings) -> None:
    import numpy as np

    from substitute.device import Session

    done = shared.compile(NAME, phase="", output="model.vmfb")
    assert done.returncode == 0, done.stderr
    random = np.random.default_rng(7)
    a, b = (random.standard_normal(shape, np.float32) for shape in ((24, 32), (32, 48)))
    with Session((shared.folder / "model.vmfb").read_bytes(), device="local-sync") as session:
        (result,) = session.call("product", [a, b])
    np.testing.assert_allclose(result, np.maximum(a @ b, 0), rtol=1e-5, atol=1e-5)


def test_gives_back_its_input_where_nothing_matches(shared: Surroundings, executables: Executables) -> None:
    kernel = shared.kernel("return ''", dispatches="no_such_dispatch")
    texts = [text for flags in (CPU, VULKAN, CUDA) for text in executables(flags).values()]
    cases = [(("--no-cache", "--no-worker"), texts[0]), *(((), text) for text in texts), ((), texts[0])]
    for words, text in cases:
        done = shared.run("--no-builtin", "--kernels", kernel, *words, data=text)
        assert (done.returncode, done.stdout, done.stderr) == (0, text, b"")


def test_a_worker_a_process_alone_and_the_cache_give_the_same(
    surroundings: Surroundings, executables: Executables
) -> None:
    for text in executables(CPU).values():
        alone = surroundings.run("--no-worker", "--no-cache", data=text)
        worker = surroundings.run("--no-cache", data=text)
        kept = [surroundings.run(data=text) for _ in range(3)]
        assert alone.returncode == 0, alone.stderr
        assert alone.stdout.startswith(b"hal.executable")
        assert alone.stdout != text
        assert {alone.stdout} == {worker.stdout, *(done.stdout for done in kept)}


def test_a_report_says_what_was_put_in_and_what_nobody_here_can_know(
    surroundings: Surroundings, executables: Executables
) -> None:
    import json

    for text in executables(CPU).values():
        assert surroundings.run("--report-dir", "reports", data=text).returncode == 0
    reports = [json.loads(path.read_text()) for path in (surroundings.folder / "reports").iterdir()]
    assert sorted(len(report["substitutions"]) for report in reports) == [1, 1, 1]
    assert all("the program that launches the dispatches" in report["not_seen"][0] for report in reports)


@pytest.mark.parametrize("again", [False, True], ids=["worker", "cache"])
def test_a_report_says_why_nothing_matched(shared: Surroundings, executables: Executables, again: bool) -> None:
    import json

    kernel = shared.kernel("return ''", dispatches="no_such_dispatch")
    text = executables(CPU)["matmul"]
    folder = shared.folder / f"reports-{again}"
    assert shared.run("--no-builtin", "--kernels", kernel, "--report-dir", folder, data=text).stdout == text
    (path,) = folder.iterdir()
    (entry,) = json.loads(path.read_text())["unsubstituted"]
    assert entry["nearest"]["rule"] == "select.name"
    assert entry["nearest"]["expected"] == "no_such_dispatch"


def test_a_plan_is_replayed(shared: Surroundings, executables: Executables) -> None:
    texts = executables(CPU)
    names = {word: _export(text) for word, text in texts.items()}
    plan = shared.folder / "plan.json"
    plan.write_text(f'{{"substitutions": [{{"dispatch": "{names["matmul"]}", "kernel": "matmul"}}]}}')
    assert shared.run("--plan", plan, data=texts["matmul"]).stdout not in (b"", texts["matmul"])
    assert shared.run("--plan", plan, data=texts["rows"]).stdout == texts["rows"]
    plan.write_text(f'{{"substitutions": [{{"dispatch": "{names["matmul"]}", "kernel": "softmax"}}]}}')
    done = shared.run("--plan", plan, data=texts["matmul"])
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"the plan's kernel softmax does not fit" in done.stderr


def _export(text: bytes) -> str:
    return text.partition(b"hal.executable.export public @")[2].partition(b" ")[0].decode()


def test_what_iree_evaluates_itself_is_left_alone(surroundings: Surroundings, executables: Executables) -> None:
    text = executables(CPU)["matmul"]
    name = text.partition(b"@")[2].partition(b" ")[0]
    renamed = text.replace(name, b"jit_eval_3_dispatch_0", 1)
    done = surroundings.run("--report-dir", "reports", data=renamed)
    assert (done.returncode, done.stdout) == (0, renamed)
    assert "IREE runs it itself" in (surroundings.folder / "reports" / "jit_eval_3_dispatch_0.json").read_text()
    assert surroundings.run(data=text.replace(name, b"jit_evaluate_dispatch_0", 1)).stdout != renamed


@pytest.mark.slow
def test_object_files_outlive_the_filter(surroundings: Surroundings) -> None:
    from runtime_tests.kinds.objects import MODEL, OWN, folder_of, make_object

    kernel = folder_of(make_object(OWN["a function"]), surroundings.folder / "objects")
    hook = f"{NAME} --no-builtin --kernels {kernel}"
    for _ in range(3):  # the second takes all from the cache, the third finds that the file was changed
        done = surroundings.compile(hook, model=MODEL, phase="", output="model.vmfb")
        assert done.returncode == 0, done.stderr
        (file,) = (surroundings.folder / "cache").rglob("*.o")
        whole = file.read_bytes()
        file.write_bytes(b"rubbish")
    done = surroundings.compile(hook, model=MODEL, phase="", output="model.vmfb")
    assert file.read_bytes() == whole


@pytest.mark.parametrize("flags", [CPU, VULKAN, CUDA], ids=["cpu", "vulkan", "cuda"])
def test_a_dispatch_that_writes_nothing_is_no_trouble(
    shared: Surroundings, executables: Executables, flags: tuple[str, ...]
) -> None:
    text = executables(flags)["exponential"]
    lines = [line for line in text.splitlines(keepends=True) if b"dispatch.tensor.store" not in line]
    silent = b"".join(lines)
    assert silent != text
    done = shared.run("--no-cache", data=silent)
    assert done.returncode == 0, done.stderr


def test_flags_of_the_compiler_are_obeyed(shared: Surroundings) -> None:
    import json

    flag = "--iree-llvmcpu-reassociate-fp-reductions=false"
    found = {}
    for name, flags in (("free", CPU), ("ordered", (*CPU, flag))):
        done = shared.compile(f"{NAME} --report-dir {name}", flags=flags)
        assert done.returncode == 0, done.stderr
        reports = (json.loads(path.read_text()) for path in (shared.folder / name).iterdir())
        found[name] = {report["executable"]: bool(report["substitutions"]) for report in reports}
    (rows,) = [name for name in found["free"] if "rows" in name]
    assert found["free"][rows] and not found["ordered"][rows]

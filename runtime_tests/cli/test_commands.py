"""Each command over pretended steps: what it passes on and what it prints."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime_tests.cli.conftest import Pretended, Run
from runtime_tests.rewrite.centred import function, kernels_in
from substitute import device, validate
from substitute.cli import validate_command
from substitute.model.plan import Plan
from substitute.validate import ModelVerdict, ResultVerdict
from substitute.validate.judge import Options

pytestmark = pytest.mark.unit


def kernel_folder(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / "kernel.toml").write_text(
        f'schema = 1\nname = "{name}"\nsummary = "About {name}"\n[operands]\nx = ["N"]\n'
        '[[target]]\nbackend = "llvm-cpu"\n[payload]\nkind = "llvm-generator"\nfile = "g.py"\nentry = "k"\n'
    )
    (folder / "g.py").write_text("")
    (folder / "definition.mlir").write_text("")
    return folder


def test_compile(run: Run, pretended: Pretended, tmp_path: Path) -> None:
    out, plan_out = tmp_path / "o.vmfb", tmp_path / "plan.json"
    finished = run(
        "compile",
        "--iree-opt-level",
        "O2",
        "m.onnx",
        "-o",
        out,
        "--kernels",
        "a",
        "--kernels",
        "b",
        "--no-builtin",
        "--plan-out",
        plan_out,
        "--plan",
        "p.json",
        "--require",
        "matmul",
        "--iree-hal-target-device=local",
    )
    assert finished.status == 0
    assert finished.err == (
        "note: added --iree-hal-local-target-device-backends=llvm-cpu --iree-llvmcpu-target-cpu=host, "
        "which --iree-hal-target-device=local leaves open\n"
    )
    assert pretended.calls == [
        (
            "compile",
            Path("m.onnx"),
            {
                "output": out,
                "kernels": (Path("a"), Path("b")),
                "builtin": False,
                "flags": ("--iree-opt-level=O2", "--iree-hal-target-device=local"),
                "plan": Path("p.json"),
                "require": ("matmul",),
                "substitute": True,
                "check": False,
                "require_validated": None,
                "isolate": True,
            },
        )
    ]
    assert finished.out == (
        "dispatch                kernel  axes  payload\n"
        "main_dispatch_0_matmul  matmul        llvm-bitcode, 100 B; tiles\n"
        "1 of 2 dispatches substituted\n"
        f"wrote {out} (1,234 bytes) in 1.25 s: import 0.25, rest 1.00\n"
    )
    written = json.loads(plan_out.read_text())
    assert [(s["dispatch"], s["kernel"]) for s in written["substitutions"]] == [("main_dispatch_0_matmul", "matmul")]
    assert written["substitutions"][0]["payload"]["size_bytes"] == 100


def test_compile_defaults(run: Run, pretended: Pretended, tmp_path: Path) -> None:
    assert run("compile", "m.mlir", "-o", tmp_path / "o", "--no-substitute").status == 0
    _, _, options = pretended.calls[0]
    assert (options["kernels"], options["builtin"], options["flags"], options["plan"], options["require"]) == (
        (),
        True,
        (),
        None,
        (),
    )
    assert options["substitute"] is False


@pytest.mark.parametrize("option", ["-o", "--plan-out"])
def test_compile_finds_a_bad_output_before_the_work(
    run: Run, pretended: Pretended, tmp_path: Path, option: str
) -> None:
    args = ["compile", "m.mlir", "-o", tmp_path / "o", option, tmp_path / "missing" / "x"]
    finished = run(*args)
    assert finished.status == 2
    assert finished.err.replace(str(tmp_path), "DIR") == (
        f"error: {option} DIR/missing/x: the folder of the output does not exist\n"
        "  expected:  a folder DIR/missing\n  found:     nothing\n  next:      mkdir -p DIR/missing\n"
    )
    assert "the output is a folder" in run("compile", "m.mlir", "-o", tmp_path / "o", option, tmp_path).err
    assert pretended.calls == []


def test_compile_writes_two_outputs_to_two_files(run: Run, pretended: Pretended, tmp_path: Path) -> None:
    args = ["compile", "m.mlir", "-o", tmp_path / "o", "--plan-out", tmp_path / "p", "--lock"]
    finished = run(*args, tmp_path / "x" / ".." / "p")
    assert finished.status == 2
    assert finished.err.splitlines()[1] == "  expected:  another file than that of --plan-out"
    assert pretended.calls == []
    assert "two outputs are one file" not in run(*args, tmp_path / "q").err


def test_inspect(run: Run, pretended: Pretended) -> None:
    finished = run("inspect", "m.mlir", "--iree-x=1")
    assert (finished.status, finished.err) == (0, "")
    assert pretended.calls == [
        (
            "inspect",
            Path("m.mlir"),
            {"kernels": (), "builtin": True, "flags": ("--iree-x=1",), "require": (), "isolate": True},
        )
    ]
    assert finished.out.splitlines()[-1] == ("1 of 2 dispatches have a kernel: contraction 1/2; 2 could not be read")


def test_inspect_json_is_json_and_nothing_else(run: Run, pretended: Pretended) -> None:
    value = json.loads(run("inspect", "m.mlir", "--json").out)
    assert [d["kernel"] for d in value["dispatches"]] == ["matmul", None]
    assert pretended.calls


def test_explain_one_pair(run: Run, pretended: Pretended) -> None:
    finished = run("explain", "m.mlir", "--dispatch", "1", "--kernel", "matmul")
    assert finished.status == 0
    assert finished.out == (
        "matmul does not fit main_dispatch_1_matmul: constraint failed\n"
        "rule        expected     found\n"
        "target      llvm-cpu     llvm-cpu  ok\n"
        "constraint  N % 16 == 0  N = 33    failed\n"
    )
    value = json.loads(run("explain", "m.mlir", "--dispatch=1", "--kernel=matmul", "--json").out)
    assert value["decisions"][0]["accepted"] is False
    assert len(pretended.calls) == 2


def test_explain_one_side(run: Run, pretended: Pretended) -> None:
    finished = run("explain", "m.mlir", "--kernel", "matmul")
    assert [line.split()[0] for line in finished.out.splitlines()] == [
        "kernel",
        "dispatch",
        "main_dispatch_0_matmul",
        "main_dispatch_1_matmul",
    ]
    assert run("explain", "m.mlir", "--dispatch", "0").out.splitlines()[-1].endswith("fits")
    assert len(pretended.calls) == 2


def test_explain_what_cannot_be_explained(run: Run, pretended: Pretended) -> None:
    assert run("explain", "m.mlir").err.splitlines()[0] == "error: nothing to explain"
    finished = run("explain", "m.mlir", "--kernel", "matmull")
    assert finished.err.splitlines()[0] == "error: there is no kernel `matmull`"
    assert finished.err.splitlines()[-1] == "  next:      did you mean `matmul`?"
    assert pretended.calls == []  # found out before the model is compiled
    assert run("explain", "m.mlir", "--dispatch", "9").err.splitlines()[0] == (
        "error: --dispatch: there is no dispatch `9`"
    )
    finished = run("explain", "m.mlir", "--kernel", "softmax")
    assert finished.err == (
        "error: `softmax` was not compared: it is for another backend\n"
        "  expected:  a kernel for llvm-cpu\n  found:     a model compiled for llvm-cpu\n"
        "  next:      choose the target with IREE's flags, such as --iree-hal-target-device=vulkan\n"
    )


def test_kernels(run: Run, tmp_path: Path) -> None:
    folder = kernel_folder(tmp_path / "k", "mine")
    finished = run("kernels", "--no-builtin", "--kernels", folder)
    assert (finished.status, finished.err) == (0, "")
    assert finished.out == (
        "kernel  backend: payload          operands, slots, constraints  summary\n"
        "mine    llvm-cpu: llvm-generator  x[N]                          About mine\n"
        "1 kernel\n"
    )
    value = json.loads(run("kernels", "--kernels", folder, "--json").out)["kernels"]
    assert [k["name"] for k in value if not k["builtin"]] == ["mine"]
    assert len(value) > 1
    assert run("kernels", "--no-builtin", "--kernels", folder, "--backend", "cuda").out.endswith("0 kernels\n")


def test_kernels_with_a_bad_folder(run: Run, tmp_path: Path) -> None:
    finished = run("kernels", "--kernels", tmp_path / "missing")
    assert finished.status == 2
    assert finished.err.splitlines()[0] == f"error: {tmp_path}/missing: there is no such folder"
    folder = kernel_folder(tmp_path / "k", "two words")
    assert "kernel.toml:2: name: not a valid name" in run("kernels", "--kernels", folder).err


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """`device.run_module` returns two results and notes its arguments."""
    calls: list[Any] = []

    def run_module(vmfb: Path, *, device: str, function: str | None, inputs: list[Any]) -> list[Any]:
        calls.append((vmfb, device, function, [np.asarray(i).tolist() for i in inputs]))
        return [np.arange(4, dtype=np.float32), np.ones((1, 2), np.int32)]

    monkeypatch.setattr(device, "run_module", run_module)
    return calls


def test_run_prints_results(run: Run, results: list[Any]) -> None:
    finished = run("run", "m.vmfb", "--function", "f", "--input=2xf32=1 2", "--input", "3")
    assert (finished.status, finished.err) == (0, "")
    assert results == [(Path("m.vmfb"), "local-task", "f", [[1.0, 2.0], 3])]
    assert finished.out == "result[0]: 4xf32=0 1 2 3\nresult[1]: 1x2xi32=[1 1]\n"


def test_run_writes_results(run: Run, results: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "r.npy"
    finished = run("run", "m.vmfb", "--device=local-sync", "--output", f"@{file}", "--output=-")
    assert (finished.status, finished.out) == (0, "1x2xi32=[1 1]\n")
    assert np.load(file).tolist() == [0, 1, 2, 3]
    assert results[0][1] == "local-sync"
    finished = run("run", "m.vmfb", *["--output=-"] * 3)
    assert finished.status == 2
    assert finished.err.splitlines()[0] == "error: --output: more outputs than results"


def test_run_compares_results(run: Run, results: list[Any]) -> None:
    good = run("run", "m.vmfb", "--expected_output=4xf32=0 1 2 3", "--expected_output=1x2xi32=1")
    assert (good.status, len(good.out.splitlines())) == (0, 2)
    bad = run("run", "m.vmfb", "--expected_output=4xf32=0 1 2 4", "--expected_output=(ignored)")
    assert bad.status == 1
    assert bad.out.startswith("result 0: 1 of 4 elements differ, first at [3]: expected 4.0, found 3.0")
    assert len(results) == 2


def test_run_with_a_bad_value(run: Run, results: list[Any]) -> None:
    finished = run("run", "m.vmfb", "--input=2xf33=1")
    assert finished.status == 2
    assert finished.err.startswith("error: ")
    assert results == []


@pytest.mark.parametrize(("reason", "status", "word"), [("", 0, "passed"), ("too far", 1, "failed")])
def test_validate(run: Run, plan: Plan, monkeypatch: pytest.MonkeyPatch, reason: str, status: int, word: str) -> None:
    seen = SimpleNamespace(options={})

    def validate_model(model: Path, **options: Any) -> ModelVerdict:
        options.pop("progress")("run", None)
        seen.options = options
        result = ResultVerdict(
            number=0, type="4xf32", largest_error=float("inf"), share=0.5, tolerance=1e-4, reason=reason
        )
        return ModelVerdict(plan=plan, device=options["device"], seed=options["seed"], results=(result,), note="weak")

    monkeypatch.setattr(validate, "validate_model", validate_model)
    finished = run("validate", "m.mlir", "--seed=7", "--iree-x", "y")
    assert finished.status == status
    mark = f"wrong: {reason}" if reason else "ok"
    assert finished.out == (
        "result  type   largest error  share of largest value  allowed\n"
        f"     0  4xf32            inf                     0.5   0.0001  {mark}\n"
        "weak\n"
        f"{word} on local-task, inputs drawn with --seed=7; 1 of 2 dispatches substituted\n"
    )
    assert seen.options.pop("options") == Options()
    assert seen.options == {
        "device": "local-task",
        "kernels": (),
        "builtin": True,
        "flags": ("--iree-x=y",),
        "plan": None,
        "require": (),
        "function": None,
        "seed": 7,
        "inputs": [],
        "isolate": True,
        "expected": [],
        "quick": False,
        "case": "",
        "reproducer": Path("reproducers"),
        "emitted": False,
    }
    value = json.loads(run("validate", "m.mlir", "--json", "--input=3").out)
    assert (value["passed"], value["seed"], value["results"][0]["largest_error"]) == (not reason, None, "inf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: there is nothing to validate\n"),
        (("a.onnx", "b.onnx"), "error: one model at a time\n"),
        (("no_such_kernel",), "error: there is no kernel `no_such_kernel`\n"),
        (("--replay", "nowhere"), "error: nowhere: there is nothing to replay\n"),
        (("--replay", "nowhere", "--case=x", "--time-limit=3"), "error: nowhere: there is nothing to replay\n"),
        (("--replay", "nowhere", "--no-builtin"), "error: --no-builtin has no effect with --replay\n"),
        (("--replay", "nowhere", "softmax"), "error: MODEL or KERNEL has no effect with --replay\n"),
        (("--replay", "nowhere", "--iree-x=y"), "error: --iree-x=y has no effect with --replay\n"),
        (("no_such_kernel", "--min-coverage=0", "--jobs=2"), "error: there is no kernel `no_such_kernel`\n"),
        (("no_such_kernel", "--plan=p"), "error: --plan has no effect with kernels\n"),
        (("no_such_kernel", "--count=100"), "error: --count has no effect with kernels\n"),
        (("no_such_kernel", "--mutate", "--count=5"), "error: there is no kernel `no_such_kernel`\n"),
        (("no_such_kernel", "--mutate", "--bundle=b"), "error: --bundle has no effect with --mutate\n"),
        (
            ("no_such_kernel", "--bundle=b", "--min-coverage=0"),
            "error: --min-coverage has no effect with --bundle of kernels\n",
        ),
        (("no_such.mlir", "--min-coverage=0"), "error: --min-coverage has no effect with a model\n"),
        (("no_such.mlir", "--mutate"), "error: --mutate: faults are planted in kernels, not in models\n"),
    ],
)
def test_validate_what(run: Run, arguments: tuple[str, ...], message: str) -> None:
    finished = run("validate", *arguments)
    assert finished.status == 2
    assert finished.err.startswith(message)


def test_every_option_of_validate_is_of_use_somewhere() -> None:
    names = {parameter.name for parameter in validate_command.command.params}
    assert frozenset[str]().union(*validate_command.USED.values()) - {"flags"} == names


def test_validate_a_kernel_elsewhere(run: Run) -> None:
    finished = run("validate", "vulkan_softmax", "--device=local-sync")
    assert finished.status == 2
    assert "vulkan_softmax is not for local-sync" in finished.err
    assert "expected:  a device for vulkan-spirv" in finished.err


def test_kernels_show(run: Run) -> None:
    finished = run("kernels", "show", "matmul")
    assert (finished.status, finished.err) == (0, "")
    assert finished.out.splitlines()[0].startswith("matmul  Matrix multiplication")
    assert 'request.match.axis("K").size' in finished.out
    (value,) = json.loads(run("kernels", "show", "matmul", "--json").out)["kernels"]
    assert [(o["type"], o["result"]) for o in value["operands"]] == [("f32", False), ("f32", False), ("f32", True)]
    assert "did you mean `matmul`" in run("kernels", "show", "matmull").err
    assert run("kernels", "--help").out == run("kernels", "-h").out
    assert "there is no kernel" in run("kernels", "show", "x").err


def test_kernels_check(run: Run, tmp_path: Path) -> None:
    good, _, worse = (kernel_folder(tmp_path / name, name) for name in ("good", "bad", "worse"))
    (good / "definition.mlir").write_text(
        "func.func @k(%x: tensor<?xf32>) -> tensor<?xf32> { return %x : tensor<?xf32> }"
    )
    for folder in (good, worse):
        manifest = (folder / "kernel.toml").read_text()
        (folder / "kernel.toml").write_text(manifest.replace('x = ["N"]', 'x = ["N"]\ny = ["N"]'))
    (good / "g.py").write_text("def generate(request):\n    return ''\n")
    (worse / "kernel.toml").write_text("schema = 2")
    finished = run("kernels", "check", tmp_path)
    assert finished.status == 2
    assert finished.out == "1 kernel right, 2 folders wrong\n"
    assert "the definition has no function" in finished.err and f"{worse}/kernel.toml" in finished.err
    assert run("kernels", "check", good).out == "1 kernel right\n"
    assert "--kernels has no effect" in run("kernels", "check", good, "--kernels", good).err


@pytest.mark.compile
def test_explain_names_the_flag_with_which_iree_does_not_split(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "model.mlir"
    model.write_text(function("main", "4", "16"))
    own = tmp_path / "kernels"
    own.mkdir()
    kernels_in(own, chosen='dispatches = ["reduction"]')
    words = ("explain", model, "--kernel", "centred", "--kernels", own, "--no-builtin")
    finished = run(*words)
    assert finished.out.splitlines()[-1] == (
        "with --iree-opt-level=O2 IREE makes one dispatch of it, which centred takes"
    )
    assert finished.out.count("IREE splits this into 2 dispatches") == 2
    assert json.loads(run(*words, "--json").out)["fits_with"] == "--iree-opt-level=O2"
    # where a level is given, it stays
    assert "fits_with" not in json.loads(run(*words, "--json", "--iree-opt-level=O1").out)

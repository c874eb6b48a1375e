"""Running the command in this process, and steps below it that are only pretended."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from substitute.cli.main import main
from substitute.model.dispatch import Dispatch, PipelineLayout, Target
from substitute.model.kernel import Kernel, Launch, PayloadSpec, TargetRule
from substitute.model.payload_kind import PayloadFormat
from substitute.model.plan import Decision, Match, Payload, Plan, Rule, Substitution
from substitute.payload.kinds import find_kind


@dataclass(frozen=True, slots=True)
class Finished:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


Run = Callable[..., Finished]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("compile", "model.mlir", …)`; standard output and standard error are no terminals."""
    monkeypatch.delenv("IREE_SUBSTITUTE_DEBUG", raising=False)

    def call(*args: object) -> Finished:
        capsys.readouterr()
        status = main([str(a) for a in args])
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return call


def dispatch(number: int) -> Dispatch:
    return Dispatch(
        executable=f"main_dispatch_{number}",
        variant="cpu",
        name=f"main_dispatch_{number}_matmul",
        target=Target(backend="llvm-cpu", format="embedded-elf-x86_64", config=()),
        layout=PipelineLayout(constants=0, bindings=()),
        workload=(),
        program=None,
        reason="not needed here",
        operations=("linalg.matmul",),
        kind="contraction",
    )


KERNEL = Kernel(
    name="matmul",
    folder=Path("kernels/matmul"),
    summary="",
    abi="canonical",
    targets=(TargetRule(backend="llvm-cpu"),),
    forms=(),
    operands=(),
    payload=PayloadSpec(kind=find_kind("llvm-generator"), path=Path("generator.py"), entry="matmul"),
    launch=Launch(),
)


@pytest.fixture
def plan() -> Plan:
    """Two dispatches; `matmul` takes the first."""
    first, second = dispatch(0), dispatch(1)
    match = Match(form="plain", axes=(), program=None, arguments=(), specificity=1)
    fits = Rule(name="target", passed=True, expected="llvm-cpu", found="llvm-cpu")
    fails = Rule(name="constraint", passed=False, expected="N % 16 == 0", found="N = 33")
    return Plan(
        substitutions=(Substitution(dispatch=first, kernel=KERNEL, match=match),),
        decisions=(
            Decision(kernel=KERNEL, dispatch=first, rules=(fits,), match=match),
            Decision(kernel=KERNEL, dispatch=second, rules=(fits, fails), match=None),
        ),
        dispatches=(first, second),
    )


@dataclass
class Pretended:
    """Recorded calls of the layer below the commands."""

    calls: list[tuple[str, Path, dict[str, Any]]]


@pytest.fixture
def pretended(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """The pipeline's functions, replaced by ones that note their arguments and return `plan`."""
    from substitute import inspection, pipeline

    calls: list[tuple[str, Path, dict[str, Any]]] = []
    payload = Payload(
        format=PayloadFormat.BITCODE, data=b"BC" * 50, entry="e", workgroup_count=(1, 1, 1), summary="tiles"
    )

    def compile_model(model: Path, **options: Any) -> pipeline.CompileResult:
        options.pop("progress")("import", None)
        calls.append(("compile", model, options))
        options["output"].write_bytes(b"x" * 1234)
        return pipeline.CompileResult(
            vmfb=b"",
            plan=plan,
            payloads={"main_dispatch_0_matmul": payload},
            seconds={"import": 0.25, "rest": 1},
            signatures={},
        )

    def inspect_model(model: Path, **options: Any) -> Plan:
        options.pop("progress")("import", None)
        calls.append(("inspect", model, options))
        return plan

    monkeypatch.setattr(pipeline, "compile_model", compile_model)
    monkeypatch.setattr(inspection, "inspect_model", inspect_model)
    monkeypatch.setattr(inspection, "make_code", lambda plan, pairs, progress: plan)
    return Pretended(calls)

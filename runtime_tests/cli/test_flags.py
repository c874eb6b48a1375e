"""Our options and IREE's flags on one command line."""

import pytest

from substitute.cli.flags import split_arguments
from substitute.errors import UsageError

pytestmark = pytest.mark.unit
OPTIONS = {"-o": True, "--output": True, "--kernels": True, "--no-builtin": False, "--plan": True, "--input": True}


@pytest.mark.parametrize(
    ("args", "ours", "flags"),
    [
        ("m.mlir -o o", "-o o m.mlir", ""),
        ("--iree-x=1 m.mlir -o o", "-o o m.mlir", "--iree-x=1"),
        ("--iree-x 1 m.mlir", "m.mlir", "--iree-x=1"),
        ("m.mlir --iree-x 1 --iree-y", "m.mlir", "--iree-x=1 --iree-y"),
        ("m.mlir --iree-x --iree-y=2", "m.mlir", "--iree-x --iree-y=2"),
        # a flag without value before the model: there is no other word that can be the model
        ("--iree-opt-data-tiling m.mlir", "m.mlir", "--iree-opt-data-tiling"),
        ("--iree-opt-data-tiling m.onnx --iree-x y", "m.onnx", "--iree-opt-data-tiling --iree-x=y"),
        # a file that is a flag's value, though it looks like a model
        ("--iree-spec spec.mlir m.mlir", "m.mlir", "--iree-spec=spec.mlir"),
        # LLVM's one dash; click would find -o in it
        ("-iree-foo=1 m.mlir", "m.mlir", "-iree-foo=1"),
        ("--kernels=d --no-builtin m.mlir", "--kernels=d --no-builtin m.mlir", ""),
        ("--kernels d -o o m.mlir", "--kernels d -o o m.mlir", ""),
        ("--input @x.npy m.mlir", "--input @x.npy m.mlir", ""),
        ("m.mlir -- --plan=x --kernel=z", "m.mlir", "--plan=x --kernel=z"),
        ("--debug-only=x m.mlir", "m.mlir", "--debug-only=x"),
        ("a.mlir b.mlir", "a.mlir b.mlir", ""),
        ("--iree-a x.mlir --iree-b y.mlir", "", "--iree-a=x.mlir --iree-b=y.mlir"),
        ("m.mlir --kernels", "--kernels m.mlir", ""),
        ("", "", ""),
    ],
)
def test_split(args: str, ours: str, flags: str) -> None:
    split = split_arguments(args.split(), OPTIONS)
    assert split.ours == tuple(ours.split())
    assert split.flags == tuple(flags.split())


@pytest.mark.parametrize(
    ("wrong", "right"), [("--kernel", "--kernels"), ("--no-builtins", "--no-builtin"), ("--ouput=x", "--output")]
)
def test_misspelt_option_is_not_passed_on(wrong: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_arguments([wrong, "m.mlir"], OPTIONS)
    assert str(caught.value) == (
        f"unknown option {wrong.partition('=')[0]}\n"
        "  expected:  an option of this command, or a flag of IREE's compiler\n"
        f"  next:      did you mean {right}? A flag of the compiler of that name can follow after --"
    )

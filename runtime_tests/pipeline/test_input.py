"""Models and flags that cannot be compiled: what a person reads, and that nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from substitute.compiler import load_model
from substitute.device import run_module
from substitute.errors import CompilerError, ModelError, SubstituteError, UsageError
from substitute.inspection import inspect_model
from substitute.pipeline import compile_model

pytestmark = pytest.mark.compile

GOOD = """
func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
  %r = arith.addf %a, %a : tensor<4xf32>
  return %r : tensor<4xf32>
}
"""
UNKNOWN_OPERATION = GOOD.replace(
    "arith.addf %a, %a : tensor<4xf32>", '"foo.bar"(%a) : (tensor<4xf32>) -> tensor<4xf32>'
)


def failure(folder: Path, *, flags: tuple[str, ...] = (), model: Path | None = None) -> SubstituteError:
    """Return the error of compiling, with `folder` replaced by DIR; the folder must hold no output afterwards."""
    path = model or folder / "m.mlir"
    with pytest.raises(SubstituteError) as caught:
        compile_model(path, output=folder / "o.vmfb", flags=flags, isolate=True)
    assert [p.name for p in folder.iterdir() if p != path] == []
    return caught.value


def words(error: SubstituteError, folder: Path) -> str:
    return str(error).replace(str(folder), "DIR")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "missing.mlir",
            "DIR/missing.mlir: the model cannot be read\n  expected:  a file\n  found:     nothing there\n"
            "  next:      check the path",
        ),
        (
            "m.pb",
            "DIR/m.pb: this kind of file is not known\n  expected:  .mlir, .mlirbc, .onnx\n  found:     .pb\n"
            "  next:      export the model to ONNX or to MLIR first",
        ),
        (
            "folder.mlir",
            "DIR/folder.mlir: the model cannot be read\n  expected:  a file\n  found:     a folder\n"
            "  next:      check the path",
        ),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, name: str, message: str) -> None:
    if name == "folder.mlir":
        (tmp_path / name).mkdir()
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / name)
    assert words(caught.value, tmp_path) == message


def test_malformed_text_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(GOOD.replace("%a, %a", "%a, %b"))
    error = failure(tmp_path)
    assert isinstance(error, ModelError)
    assert words(error, tmp_path) == (
        "DIR/m.mlir: the model is not valid MLIR\n"
        "  expected:  a module that IREE's compiler parses\n"
        "  found:     a parse error\n"
        "  next:      check it with iree-opt\n\n"
        "  DIR/m.mlir:3:23: error: use of undeclared SSA value name\n"
        "    %r = arith.addf %a, %b : tensor<4xf32>\n"
        "                        ^"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the model is empty"),
        (b"// nothing but a comment\n", "the model is empty"),
        (b"ML\xefR" + bytes(200), "the model is not valid MLIR"),
        (bytes(range(256)), "the model is not valid MLIR"),
        (UNKNOWN_OPERATION.encode(), "the model is not valid MLIR"),
    ],
)
def test_other_rubbish(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "m.mlir").write_bytes(content)
    error = failure(tmp_path)
    assert (type(error), error.what) == (ModelError, what)
    assert all(c.isprintable() or c == "\n" for c in str(error))


def test_twin_a_good_model_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(GOOD)
    compile_model(tmp_path / "m.mlir", output=tmp_path / "o.vmfb", isolate=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mlir", "o.vmfb"]


@pytest.mark.parametrize("flag", ["--iree-no-such-flag", "--iree-opt-level=O9"])
def test_flags_that_the_compiler_does_not_have(tmp_path: Path, flag: str) -> None:
    (tmp_path / "m.mlir").write_text(GOOD)
    error = failure(tmp_path, flags=(flag,))
    assert (type(error), error.what) == (UsageError, "the compiler does not take these flags")
    assert error.found == flag
    assert error.next_step == "iree-compile --help lists them"


@pytest.mark.parametrize(
    "flag",
    ["--compile-to=vm", "--compile-from=flow", "--output-format=vm-c", "--iree-hal-preprocess-executables-with=x"],
)
def test_flags_that_make_no_sense_here(tmp_path: Path, flag: str) -> None:
    (tmp_path / "m.mlir").write_text(GOOD)
    error = failure(tmp_path, flags=(flag,))
    assert (type(error), error.what, error.found) == (UsageError, "this flag of iree-compile makes no sense here", flag)
    assert error.next_step


def test_a_device_that_the_compiler_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(GOOD)
    error = failure(tmp_path, flags=("--iree-hal-target-device=nosuch",))
    assert type(error) is CompilerError
    flags = "--iree-hal-target-device=nosuch"
    assert error.next_step == f"no kernel has been put in yet; compare with `iree-compile {tmp_path}/m.mlir {flags}`"
    assert 'unregistered device alias "nosuch"' in error.details


# -- ONNX ----------------------------------------------------------------------------------------------------------


def onnx_model(path: Path, nodes: list[Any], shape: list[int], opset: int, constants: dict[str, Any]) -> Path:
    import onnx
    from onnx import helper

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(
            name, onnx.TensorProto.FLOAT, [None] * len(shape) if name == "z" else shape
        )

    initializers = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "main", [value("x")], [value("z")], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def test_an_old_operator_set_is_upgraded(tmp_path: Path) -> None:
    """`Upsample` was removed in operator set 10."""
    from onnx import helper

    node = helper.make_node("Upsample", ["x", "scales"], ["z"], mode="nearest")
    scales = np.array([1, 1, 2, 2], np.float32)
    model = onnx_model(tmp_path / "old.onnx", [node], [1, 1, 2, 2], 9, {"scales": scales})
    result = compile_model(model, isolate=True)
    x = np.array([[[[1, 2], [3, 4]]]], np.float32)
    (found,) = run_module(result.vmfb, device="local-sync", inputs=[x])
    assert np.array_equal(found, x.repeat(2, axis=2).repeat(2, axis=3))


@pytest.mark.parametrize("content", [b"", b"\x00rubbish" * 40], ids=["empty", "rubbish"])
def test_files_that_are_no_onnx(tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(content)
    error = failure(tmp_path, model=model)
    assert (type(error), error.what) == (ModelError, "the ONNX model cannot be imported")
    assert error.details


def test_a_truncated_onnx_file(tmp_path: Path) -> None:
    from onnx import helper

    model = onnx_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["z"])], [4], 17, {"w": np.zeros(500)})
    whole = model.read_bytes()
    compile_model(model, isolate=True)
    model.write_bytes(whole[: len(whole) // 2])
    assert failure(tmp_path, model=model).what == "the ONNX model cannot be imported"


def test_operations_that_nobody_knows(tmp_path: Path) -> None:
    from onnx import helper

    model = onnx_model(tmp_path / "m.onnx", [helper.make_node("Nonsense", ["x"], ["z"])], [4], 17, {})
    error = failure(tmp_path, model=model)
    assert error.what == "the ONNX model cannot be imported"
    assert "No Op registered for Nonsense" in error.details


def test_an_operation_that_iree_cannot_compile(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node("LpPool", ["x"], ["z"], kernel_shape=[2, 2], p=3, auto_pad="SAME_UPPER")
    model = onnx_model(tmp_path / "m.onnx", [node], [1, 1, 5, 5], 17, {})
    error = failure(tmp_path, model=model)
    assert type(error) is CompilerError
    assert error.next_step.startswith(f"no kernel has been put in yet; compare with `iree-compile {tmp_path}/m.onnx --")
    assert "onnx.LpPool" in error.details


def test_twin_an_operation_that_nobody_but_the_model_knows(tmp_path: Path) -> None:
    import onnx

    node = onnx.helper.make_node("Mine", ["x"], ["z"], domain="my.domain")
    path = onnx_model(tmp_path / "m.onnx", [node], [4], 17, {})
    model = onnx.load(path)
    model.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    onnx.save(model, path)
    error = failure(tmp_path, model=path)
    assert type(error) is CompilerError
    assert "a kernel of that name, given with --kernels" in error.next_step


@pytest.mark.unit
def test_paths_may_be_text(tmp_path: Path) -> None:
    for call in (compile_model, inspect_model):
        with pytest.raises(ModelError, match="the model cannot be read"):
            call(f"{tmp_path}/missing.mlir")


@pytest.mark.device
@pytest.mark.parametrize("given", [GOOD, GOOD.encode()], ids=["text", "bytes"])
@pytest.mark.parametrize("isolate", [False, True])
def test_mlir_itself_is_compiled(given: str | bytes, isolate: bool) -> None:
    result = compile_model(given, isolate=isolate, check=False)
    (found,) = run_module(result.vmfb, device="local-sync", inputs=[np.ones(4, np.float32)])
    assert found.tolist() == [2.0] * 4


def test_mlir_that_does_not_parse_has_a_name() -> None:
    with pytest.raises(ModelError) as caught:
        compile_model(UNKNOWN_OPERATION, isolate=True)
    assert caught.value.where == "the given MLIR"
    with pytest.raises(ModelError) as missing:  # one line is a path
        compile_model("no_such_file.mlir")
    assert missing.value.where == "no_such_file.mlir"

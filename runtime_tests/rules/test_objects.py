"""Objects linked with a kernel's code, or with IREE's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import bitcode, build, floats, object_file, run
from runtime_tests.rules.folders import DOUBLE, elementwise, kernel
from substitute.catalog.manifest import parse_manifest
from substitute.errors import ManifestError, PayloadError
from substitute.payload.attached import archive_members

pytestmark = pytest.mark.device

CALLER = """
declare float @outside(float)
define void @kernel(ptr %x, ptr %y, i64 %n, i64 %id_x, i64 %id_y, i64 %id_z) {
entry:
  br label %check
check:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %px = getelementptr float, ptr %x, i64 %i
  %py = getelementptr float, ptr %y, i64 %i
  %v = load float, ptr %px
  %r = call float @outside(float %v)
  store float %r, ptr %py
  %next = add i64 %i, 1
  br label %check
done:
  ret void
}
"""
OUTSIDE = """
declare float @further(float)
define float @outside(float %v) {
  %w = call float @further(float %v)
  %r = fmul float %w, 3.0
  ret float %r
}
"""
FURTHER = "define float @further(float %v) {\n  ret float %v\n}\n"
BODY = """
func.func private @outside(%v: f32) -> f32 attributes {hal.import.static, llvm.bareptr = true}
""" + elementwise("%r = func.call @outside(%x) : (f32) -> f32", "?", name="kernel")
MANIFEST = """
name = "caller"
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "{kind}"
file = "{file}"
entry = "kernel"
objects = [{objects}]
{launch}
"""


def archive(*members: tuple[str, bytes]) -> bytes:
    data = b"!<arch>\n"
    for name, code in members:
        data += f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(code):<10}`\n".encode()
        data += code + b"\n" * (len(code) % 2)
    return data


def caller(folder: Path, kind: str, objects: dict[str, bytes]) -> Path:
    kinds: dict[str, tuple[str, str | bytes]] = {
        "llvm-ir": ("kernel.ll", CALLER),
        "object": ("kernel.o", object_file(CALLER)),
        "mlir": ("body.mlir", BODY),
    }
    file, text = kinds[kind]
    launch = "" if kind == "mlir" else '[launch]\nworkgroup_count = ["1", "1", "1"]'
    names = ", ".join(f'"{name}"' for name in objects)
    manifest = MANIFEST.format(kind=kind, file=file, objects=names, launch=launch)
    files: dict[str, str | bytes] = {file: text, "definition.mlir": elementwise(DOUBLE, "?"), **objects}
    return kernel(folder, manifest, files)


OBJECTS = {
    "o": {"outside.o": object_file(OUTSIDE), "further.o": object_file(FURTHER)},
    "a": {"both.a": archive(("outside.o", object_file(OUTSIDE)), ("further.o", object_file(FURTHER)))},
    "bc": {"outside.bc": bitcode(OUTSIDE), "further.bc": bitcode(FURTHER)},
}


@pytest.mark.parametrize("suffix", sorted(OBJECTS))
@pytest.mark.parametrize("kind", ["llvm-ir", "object", "mlir"])
def test_a_function_of_an_object(kind: str, suffix: str, tmp_path: Path) -> None:
    if (kind, suffix) == ("object", "bc"):
        with pytest.raises(ManifestError, match="bitcode comes too early for an object"):
            build(tmp_path, elementwise(DOUBLE), [caller(tmp_path / "k", kind, OBJECTS[suffix])])
        return
    x = floats(24, 32)
    (found,) = run(tmp_path, elementwise(DOUBLE), [caller(tmp_path / "k", kind, OBJECTS[suffix])], [x])
    np.testing.assert_allclose(found, 3 * x, rtol=1e-6)


@pytest.mark.parametrize("kind", ["llvm-ir", "object"])
def test_twin_without_the_object(kind: str, tmp_path: Path) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [caller(tmp_path / "k", kind, {})])
    assert "outside" in caught.value.found


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ({"outside.o": object_file(OUTSIDE)}, "needs what the link does not have"),
        ({"outside.o": b"!<arch>\n"}, "this cannot be linked"),
        ({"outside.bc": object_file(OUTSIDE)}, "this cannot be linked"),
        ({"outside.a": b"!<arch>\nrubbish"}, "the archive cannot be read"),
        ({"outside.o": object_file(OUTSIDE)[:200]}, "damaged"),
    ],
)
def test_objects_that_cannot_be_linked(objects: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [caller(tmp_path / "k", "llvm-ir", objects)])
    assert words in caught.value.what


def test_members_of_an_archive() -> None:
    members = [("a.o", b"\x7fELF odd."), ("b.o", b"\x7fELFeven")]
    data = archive(("/", b"table"), *members)
    assert archive_members(data, Path("x.a")) == members


def test_beside_iree_s_own_code(tmp_path: Path) -> None:
    """The object is there for what the body calls; here nothing does, and the result is IREE's."""
    manifest = """
name = "own"
kinds = ["elementwise"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "iree"
objects = ["further.o"]
"""
    folder = kernel(tmp_path / "own", manifest, {"further.o": object_file(FURTHER)})
    x = floats(24, 32)
    (found,) = run(tmp_path, elementwise(DOUBLE), [folder], [x])
    np.testing.assert_allclose(found, 2 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("backend", "kind", "name", "words"),
    [
        ("vulkan-spirv", "mlir", "further.o", "vulkan-spirv does not link `.o` files"),
        ("cuda", "mlir", "further.o", "cuda does not link `.o` files"),
        ("llvm-cpu", "mlir", "further.so", "llvm-cpu does not link `.so` files"),
        ("llvm-cpu", "mlir", "farther.o", "did you mean `further.o`?"),
        ("vulkan-spirv", "spirv", "further.o", "nothing is linked to a payload of kind `spirv`"),
    ],
)
def test_wrong_names(backend: str, kind: str, name: str, words: str, tmp_path: Path) -> None:
    text = MANIFEST.format(kind=kind, file="body.mlir", objects=f'"{name}"', launch="").replace("llvm-cpu", backend)
    files = {"body.mlir": "", "further.o": "", "further.so": "", "definition.mlir": ""}
    folder = kernel(tmp_path / "k", text, files)
    with pytest.raises(ManifestError) as caught:
        parse_manifest((folder / "kernel.toml").read_text(), folder / "kernel.toml")
    assert words in str(caught.value)

"""Discovery of kernels in folders and packs, and reading of their manifests."""

from pathlib import Path

import pytest

from substitute.catalog import catalog as module
from substitute.catalog.catalog import Catalog, builtin_folders, find_manifests, load_catalog, load_manifests
from substitute.errors import ManifestError, UsageError
from substitute.model.dispatch import Program
from substitute.model.kernel import Form, OperandSpec

pytestmark = pytest.mark.unit
FORM = Form(name="f", program=Program(operands=(), cores=(), stores=()))


def write_kernel(folder: Path, name: str, backend: str = "llvm-cpu") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kind, file = ("llvm-generator", "g.py") if backend == "llvm-cpu" else ("glsl-generator", "g.py")
    (folder / "kernel.toml").write_text(
        f'schema = 1\nname = "{name}"\n[operands]\nx = ["N"]\n[[target]]\nbackend = "{backend}"\n'
        f'[payload]\nkind = "{kind}"\nfile = "{file}"\nentry = "k"\n'
    )
    (folder / file).write_text("")
    (folder / "definition.mlir").write_text(f"// {name}")
    return folder


def no_forms(path: Path, text: str, operands: tuple[OperandSpec, ...]) -> tuple[Form, ...]:
    return ()


def names(catalog: Catalog) -> list[str]:
    return [kernel.name for kernel in catalog.kernels]


def test_a_folder_is_a_kernel_or_holds_kernels(tmp_path: Path) -> None:
    one = write_kernel(tmp_path / "one", "one")
    write_kernel(tmp_path / "many" / "b", "b")
    write_kernel(tmp_path / "many" / "deep" / "a", "a")
    write_kernel(tmp_path / "many" / ".hidden", "hidden")
    write_kernel(tmp_path / "many" / "b" / "inside", "inside")  # a kernel's folder holds no other kernels
    found = load_catalog([one, tmp_path / "many"], builtin=False, read_forms=no_forms)
    assert names(found) == ["a", "b", "one"]


def test_a_folder_given_twice_counts_once(tmp_path: Path) -> None:
    one = write_kernel(tmp_path / "one", "one")
    found = load_catalog([one, tmp_path, tmp_path / "one" / ".." / "one"], builtin=False, read_forms=no_forms)
    assert names(found) == ["one"]


def test_only_wanted_backends_are_read(tmp_path: Path) -> None:
    write_kernel(tmp_path / "cpu", "cpu")
    write_kernel(tmp_path / "gpu", "gpu", backend="vulkan-spirv")
    read: list[tuple[str, str, int]] = []

    def read_forms(path: Path, text: str, operands: tuple[OperandSpec, ...]) -> tuple[Form, ...]:
        read.append((path.name, text, len(operands)))
        return (FORM,)

    found = load_catalog([tmp_path], builtin=False, backends=frozenset({"llvm-cpu"}), read_forms=read_forms)
    assert names(found) == ["cpu"]
    assert read == [("definition.mlir", "// cpu", 1)]
    assert found.kernels[0].forms == (FORM,)
    assert names(load_catalog([tmp_path], builtin=False, read_forms=read_forms)) == ["cpu", "gpu"]


def test_equal_names_are_an_error_that_names_both(tmp_path: Path) -> None:
    write_kernel(tmp_path / "a", "same")
    write_kernel(tmp_path / "b", "same", backend="vulkan-spirv")
    with pytest.raises(ManifestError) as caught:
        load_catalog([tmp_path], builtin=False, backends=frozenset({"llvm-cpu"}), read_forms=no_forms)
    assert str(caught.value).replace(str(tmp_path.resolve()), "DIR") == (
        "DIR/b/kernel.toml: name: two kernels are called `same`\n"
        "  expected:  a name that no other kernel has\n"
        "  found:     the same name in DIR/a/kernel.toml\n"
        "  next:      rename one of them, or leave its folder out (--no-builtin leaves out the built-in ones)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "missing", "DIR/missing: there is no such folder"),
        (lambda p: (p / "file").write_text("x") and p / "file", "DIR/file: not a folder of kernels"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "DIR/empty: the folder holds no kernels"),
    ],
)
def test_folders_without_kernels(tmp_path: Path, make: object, message: str) -> None:
    folder = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        find_manifests(folder)
    assert str(caught.value).replace(str(tmp_path), "DIR").splitlines()[0] == message
    assert caught.value.next_step


def test_unreadable_definition(tmp_path: Path) -> None:
    write_kernel(tmp_path / "a", "a")
    (tmp_path / "a" / "definition.mlir").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match="the definition cannot be read"):
        load_catalog([tmp_path], builtin=False, read_forms=no_forms)


def test_kernel_by_name(tmp_path: Path) -> None:
    write_kernel(tmp_path / "a", "matmul")
    found = load_catalog([tmp_path], builtin=False, read_forms=no_forms)
    assert found.kernel("matmul").name == "matmul"
    with pytest.raises(UsageError) as caught:
        found.kernel("matmull")
    assert str(caught.value) == (
        "there is no kernel `matmull`\n  expected:  one of matmul\n  found:     a catalog of 1 kernels\n"
        "  next:      did you mean `matmul`?"
    )


def test_built_in_kernels_are_found_and_marked(tmp_path: Path) -> None:
    ours = write_kernel(tmp_path / "mine", "mine_only")
    found = {m.kernel.name: m.kernel for m in load_manifests([ours])}
    assert len(found) > 1
    assert [name for name, kernel in found.items() if not kernel.builtin] == ["mine_only"]
    assert [m.kernel.name for m in load_manifests([ours], builtin=False)] == ["mine_only"]


def test_installed_copy_goes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "substitute"
    (package / "catalog").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "catalog" / "catalog.py"))
    assert builtin_folders() == []
    (tmp_path / "site" / "kernels").mkdir()
    assert builtin_folders() == [tmp_path / "site" / "kernels"]
    (package / "_kernels").mkdir()
    assert builtin_folders() == [package / "_kernels"]


def add_pack(monkeypatch: pytest.MonkeyPatch, place: Path, value: str, distribution: str = "some_pack") -> None:
    """Write the metadata of an installed package with this entry point, as pip does."""
    package = place / f"{distribution}-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[substitute.kernels]\npack = {value}\n")
    monkeypatch.syspath_prepend(str(place))


def test_installed_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kernel(tmp_path / "some_pack_of_kernels" / "k", "from_pack")
    (tmp_path / "some_pack_of_kernels" / "__init__.py").write_text("raise RuntimeError('a pack is not imported')")
    add_pack(monkeypatch, tmp_path, "some_pack_of_kernels")
    found = {m.kernel.name: m.kernel.builtin for m in load_manifests([])}
    assert found["from_pack"] is False
    assert "from_pack" not in [
        m.kernel.name for m in load_manifests([write_kernel(tmp_path / "x", "x")], builtin=False)
    ]


def test_two_packs_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        write_kernel(tmp_path / name / f"pack_{name}" / "k", f"kernel_{name}")
        add_pack(monkeypatch, tmp_path / name, f"pack_{name}", distribution=f"dist_{name}")
    with pytest.raises(ManifestError, match="two installed packs of kernels are called `pack`") as caught:
        load_manifests([])
    assert "pack_one" in str(caught.value) and "pack_two" in str(caught.value)


@pytest.mark.parametrize("value", ["no_such_package_anywhere", "no_such_package_anywhere.kernels"])
def test_broken_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    add_pack(monkeypatch, tmp_path, value)
    with pytest.raises(ManifestError) as caught:
        load_manifests([])
    assert caught.value.what == "the installed pack of kernels `pack` is broken"
    assert caught.value.where == f"entry point substitute.kernels: pack = {value}"

"""The kinds of payload: one list, facts on the objects, and kinds of other packages."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import substitute
from substitute.errors import PayloadError
from substitute.model.payload_kind import CodeKind, PayloadKind
from substitute.model.target import BACKENDS
from substitute.payload import kinds
from substitute.payload.kinds.rewriting import BodyRewriter

pytestmark = pytest.mark.unit
SOURCES = Path(substitute.__file__).parent
MODULE = """
from substitute.model.payload_kind import CodeKind


class Incomplete(CodeKind):
    name = "{name}"
    backends = ("llvm-cpu",)


class Template(Incomplete):
    def build(self, request, linked):
        raise AssertionError


KIND = Template()
NOT_A_KIND = "words"
"""


@pytest.fixture(autouse=True)
def _fresh_registry() -> Iterator[None]:
    kinds._installed_kinds.cache_clear()
    yield
    kinds._installed_kinds.cache_clear()


def install(folder: Path, package: str, name: str, attribute: str = "KIND") -> None:
    """Write the files of an installed package with one kind."""
    (folder / f"{package}.py").write_text(MODULE.format(name=name))
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{kinds.GROUP}]\n{name} = {package}:{attribute}\n")


def test_names_are_unique_and_found() -> None:
    names = [kind.name for kind in kinds.KINDS]
    assert len(set(names)) == len(names)
    assert all(kinds.find_kind(kind.name) is kind for kind in kinds.KINDS)
    with pytest.raises(KeyError):
        kinds.find_kind("llvm_ir")


@pytest.mark.parametrize("kind", kinds.KINDS, ids=str)
def test_facts_agree_with_each_other(kind: PayloadKind) -> None:
    assert set(kind.backends) <= set(BACKENDS)
    assert set(kind.sized_backends) <= set(kind.backends)
    assert not (kind.slots and kind.arguments == "none")
    assert not (kind.rewrites_body and kind.keeps_body)
    assert kind.needs_entry <= kind.has_file
    assert isinstance(kind, CodeKind) != isinstance(kind, BodyRewriter), "it makes a payload or rewrites the body"
    assert kind.rewrites_body == isinstance(kind, BodyRewriter)


@pytest.mark.parametrize("kind", kinds.KINDS, ids=str)
def test_a_kind_survives_pickling_as_itself(kind: PayloadKind) -> None:
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_a_kind_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "their_templates", "llvm-template")
    monkeypatch.syspath_prepend(tmp_path)
    assert [e.value for e in entry_points(group=kinds.GROUP)] == ["their_templates:KIND"]
    assert kinds.find_kind("llvm-template").backends == ("llvm-cpu",)
    assert [kind.name for kind in kinds.list_kinds()][-1] == "llvm-template"


@pytest.mark.parametrize(("name", "other"), [("llvm-ir", "iree-substitute"), ("llvm-twice", "a_twice")])
def test_two_kinds_of_one_name(name: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix = name.rpartition("-")[2]
    for package in (f"a_{suffix}", f"b_{suffix}"):
        install(tmp_path, package, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PayloadError, match="two packages bring a payload kind") as raised:
        kinds.list_kinds()
    assert raised.value.found.startswith(f"{other} and ")


@pytest.mark.parametrize(
    ("attribute", "found"), [("NOT_A_KIND", "str"), ("MISSING", "AttributeError"), ("Incomplete", "ABCMeta")]
)
def test_an_entry_that_is_no_kind(attribute: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, f"broken_{found.lower()}", "llvm-template", attribute)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PayloadError, match="cannot be used") as raised:
        kinds.find_kind("llvm-template")
    assert found in raised.value.found


def test_a_kind_that_makes_nothing_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "without_build", "llvm-nothing")
    file = tmp_path / "without_build.py"
    file.write_text(file.read_text().replace("KIND = Template()", "KIND = Incomplete()"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PayloadError, match="cannot be used") as raised:
        kinds.find_kind("llvm-nothing")
    assert "abstract" in raised.value.found and "build" in raised.value.found


def test_nothing_outside_compares_a_kind_by_its_name() -> None:
    compared = re.compile(r"payload\.kind(\.name)? (==|!=|in|not in) |kind\.name (==|!=)")
    found = [
        f"{path.relative_to(SOURCES)}: {line.strip()}"
        for path in SOURCES.rglob("*.py")
        for line in path.read_text().splitlines()
        if compared.search(line)
    ]
    assert found == []
    assert compared.search('if kernel.payload.kind == "ptx":'), "the search finds what it looks for"

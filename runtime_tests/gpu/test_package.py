from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime_tests.gpu.package import INDEX, Code, Index, Item, Started, Timed, WholeModel, read_index, write_index
from runtime_tests.gpu.workloads import Problem
from substitute.errors import UsageError
from substitute.validate.case import BindingRange, Launch

pytestmark = pytest.mark.unit

LAUNCH = Launch(
    bindings=(BindingRange(resource=0, offset=64, length=256, read_only=True),),
    constants=(3, 4_000_000_000),
    workload=(),
)


PROBLEM = Problem(name="p", kind="softmax", rows=4, columns=8, kernels=("softmax",))


def code(target: str = "sm_80", file: str = "ptx/a.ptx") -> Code:
    return Code(file=file, entry="k", target=target, grid=(4, 2, 1), block=(128, 1, 1), shared_bytes=49_152)


def started(*targets: str) -> Started:
    return Started(dispatch="d", kernels=tuple(map(code, targets)), own=code(), launch=LAUNCH, case=2)


INDEX_DATA = Index(
    made="2026-11-23T00:00:00Z",
    versions={"numpy": "2"},
    items=(Item(name="x", bundle="x.bundle", kernels=("a", "b"), needs="sm_90a", started=(started("sm_90a"),)),),
    models=(WholeModel(name="m", vmfb="m.vmfb", arrays="m.npz", kernels=("a",), absolute=1e-5),),
    timed=(Timed(problem=PROBLEM, started=replace(started("sm_80"), own=None)),),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ptx").mkdir()
    for name in ("ptx/a.ptx", "x.bundle", "m.vmfb", "m.npz"):
        (tmp_path / name).touch()
    write_index(INDEX_DATA, tmp_path)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    assert read_index(folder) == INDEX_DATA


def test_another_schema(folder: Path) -> None:
    data = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps({**data, "schema": 99}))
    with pytest.raises(UsageError, match="of another version"):
        read_index(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "items": 3}'])
def test_what_is_no_index(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    with pytest.raises(UsageError, match="no folder of `--build`"):
        read_index(folder)


def test_a_folder_without_anything(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of `--build`"):
        read_index(tmp_path)


@pytest.mark.parametrize("name", ["ptx/a.ptx", "x.bundle", "m.npz"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UsageError, match="a file of the folder is missing"):
        read_index(folder)


@pytest.mark.parametrize("name", ["../a.ptx", "/etc/hostname"])
def test_a_file_outside_of_the_folder(folder: Path, name: str) -> None:
    wrong = replace(INDEX_DATA.timed[0], started=replace(started("sm_80"), own=code(file=name)))
    write_index(replace(INDEX_DATA, timed=(wrong,)), folder)
    with pytest.raises(UsageError, match="a file of the folder is missing"):
        read_index(folder)


@pytest.mark.parametrize(
    ("target", "capability", "expected"),
    [
        ("sm_80", (8, 0), True),
        ("sm_80", (7, 5), False),
        ("sm_80", (12, 0), True),
        ("sm_90a", (9, 0), True),
        ("sm_90a", (8, 0), False),
        ("sm_90a", (10, 0), False),
        ("sm_120", (12, 0), True),
        ("sm_120", (9, 0), False),
    ],
)
def test_where_a_target_runs(target: str, capability: tuple[int, int], expected: bool) -> None:
    assert code(target).runs_on(capability) is expected


def test_the_first_that_runs_is_taken() -> None:
    both = started("sm_90a", "sm_80")
    assert [getattr(both.chosen(c), "target", None) for c in ((9, 0), (8, 6), (7, 0))] == ["sm_90a", "sm_80", None]

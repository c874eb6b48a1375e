"""PTX kernels, compiled into modules for CUDA; nothing runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests.kinds.models import CHAIN, OPEN, THREE, ptx, raw_ptx
from runtime_tests.kinds.programs import build
from substitute import inspect_model
from substitute.errors import PayloadError
from substitute.payload.check import BROKEN

pytestmark = pytest.mark.compile

FLAGS = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")


@pytest.mark.parametrize("name", ["main", "a model's $name {x}"], ids=["plain", "quoted"])
def test_the_entry_gets_the_exports_name(tmp_path: Path, name: str) -> None:
    model = CHAIN.replace("@main", f'@"{name}"')
    built = build(tmp_path, model, [raw_ptx(ptx(THREE)).write(tmp_path / "kernel")], flags=FLAGS)
    (substitution,) = built.plan.substitutions
    payload = built.payloads[substitution.dispatch.name]
    entry = "".join(c if c.isalnum() else "_" for c in substitution.dispatch.name)
    assert payload.entry == entry
    assert f".visible .entry {entry}(".encode() in built.vmfb
    assert b".visible .entry my_entry(" not in built.vmfb
    assert b"// my_entry stands here as well" in built.vmfb


def test_push_constants_are_parameters(tmp_path: Path) -> None:
    constants = "".join(f", .param .u32 c{n}" for n in range(4))
    built = build(tmp_path, OPEN, [raw_ptx(ptx(THREE + constants), 3, 4).write(tmp_path / "kernel")], flags=FLAGS)
    assert b".param .u32 c3" in built.vmfb


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (ptx(THREE.rpartition(",")[0]), "entry my_entry has 2 parameters, the dispatch passes 3"),
        (ptx(THREE.replace(".u64 second", ".u32 second")), "parameter 1 (second) does not fit binding 1"),
        (ptx(THREE, target="sm_90a", version="8.0"), "the PTX does not run on sm_80"),
        (ptx(THREE, version="9.9"), "the PTX is newer than the driver accepts"),
        (ptx(THREE, entry="other"), "the PTX has no entry 'my_entry'"),
        (ptx(THREE).replace("  ret;\n", ""), "entry my_entry never returns: is the PTX cut off?"),
    ],
)
def test_what_iree_would_not_notice(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, CHAIN, [raw_ptx(text).write(tmp_path / "kernel")], flags=FLAGS)
    assert caught.value.what == what
    (tmp_path / "chain.mlir").write_text(CHAIN)
    plan = inspect_model(tmp_path / "chain.mlir", kernels=[tmp_path / "kernel"], builtin=False, flags=FLAGS)
    assert plan.substitutions == ()
    assert [what in d.rules[-1].found for d in plan.decisions if d.rules[-1].name == BROKEN] == [True]

"""The shipped texts equal those of the generator, and the index describes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ptx_blobs.generator.index import FOLDER, INDEX, index, texts
from substitute.catalog.catalog import load_catalog, load_manifests
from substitute.payload.ptx.assembler import assemble
from substitute.payload.ptx.parse import parse

pytestmark = pytest.mark.unit
TEXTS = texts()


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_the_generators(name: str) -> None:
    assert (FOLDER / name).read_text() == TEXTS[name], "run `python -m ptx_blobs.generator`"


def test_the_index_is_of_these_texts() -> None:
    assert INDEX.read_text() == index(), "run `python -m ptx_blobs.generator`"
    found = json.loads(INDEX.read_text())
    folders = {manifest.kernel.folder.name for manifest in load_manifests([FOLDER], builtin=False)}
    assert set(found) == folders
    for name, entry in found.items():
        text = (FOLDER / name / "kernel.ptx").read_text()
        assert entry["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert hashlib.sha256((text + "\n").encode()).hexdigest() != entry["sha256"]
        assert f".visible .entry {entry['entry']}(" in text
        assert f"\n.version {entry['isa']}\n.target {entry['target']}\n" in text


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".ptx")])
def test_ptxas_takes_it_and_spills_nothing_much(name: str) -> None:
    text = TEXTS[name]
    module = parse(text, name=name)
    (entry,) = module.entries
    done = assemble(text, entry=entry.name, target=module.target, arch=module.target)
    if done.resources is None and not done.error:
        pytest.skip("no ptxas is installed")
    assert not done.error
    assert done.resources is not None
    assert done.resources.spill_bytes <= (8 if name.startswith("attention") else 0)
    wrong = assemble(text.replace("  ret;", "  rut;"), entry=entry.name, target=module.target, arch="")
    assert wrong.error


def test_the_kernels_are_used_only_where_they_are_named() -> None:
    wanted = {f"cuda_{folder}" for folder in json.loads(INDEX.read_text())}
    cuda = frozenset(["cuda"])
    assert wanted <= {kernel.name for kernel in load_catalog([Path("builtin:ptx_blobs")], backends=cuda).kernels}
    assert not wanted & {kernel.name for kernel in load_catalog([], backends=cuda).kernels}

"""Flags in the key of a verdict."""

from __future__ import annotations

import pytest

from substitute.flags import HOST_FLAGS
from substitute.guard.keys import _demands

pytestmark = pytest.mark.unit


def test_flags_count_that_may_change_code_and_no_others() -> None:
    none = _demands(())
    assert _demands(HOST_FLAGS) == none
    assert _demands((*HOST_FLAGS, "--iree-hal-dump-executable-files-to=dumped")) == none
    assert _demands(("--iree-input-type=onnx", "--iree-flow-inline-constants-max-byte-length=0")) == none
    reassociate = "--iree-llvmcpu-reassociate-fp-reductions"
    found = {_demands((f"{reassociate}={value}",)) for value in ("true", "false")}
    assert len(found | {none}) == 3
    assert _demands((f"{reassociate}=false", "--iree-opt-level=O3")) == _demands(
        ("--iree-opt-level=O3", f"{reassociate}=false")
    )

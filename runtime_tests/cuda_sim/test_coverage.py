"""The ways of branches that the simulated device records: which were gone, and which never."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime_tests.cuda_sim.lane_programs import HEADER
from substitute.device.cuda_sim.coverage import append, read, watch
from substitute.device.cuda_sim.launch import launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load
from substitute.model.coverage import measure

KERNEL = f"""{HEADER.format(target="sm_80")}
.visible .entry k(.param .u64 pdata, .param .u32 pcount) {{
.reg .b64 %d, %w; .reg .b32 %t, %n, %v; .reg .pred %p, %q;
ld.param.u64 %d, [pdata]; ld.param.u32 %n, [pcount]; mov.u32 %t, %tid.x;
setp.ge.u32 %p, %t, %n;
@%p bra DONE;
mul.wide.u32 %w, %t, 4; add.u64 %d, %d, %w; mov.u32 %v, 0;
setp.gt.u32 %q, %n, 100;
@%q add.u32 %v, %v, 1;
setp.gt.u32 %q, %n, 1000;
@%q bra BAD;
st.global.u32 [%d], %v;
DONE: ret;
BAD: trap;
}}
"""


def test_what_ran_is_recorded(tmp_path: Path) -> None:
    program, memory, file = load(KERNEL, "sm_80"), Memory(1 << 16), tmp_path / "ways"
    entry = program.entries["k"]
    coverage = watch(entry.code)
    data = memory.allocate(4 * 128)
    shown = []
    for count in (128, 64, 64):
        parameters = entry.pack([data.to_bytes(8, "little"), count.to_bytes(4, "little")])
        report = launch(program, "k", grid=(1, 1, 1), block=(128, 1, 1), parameters=parameters, memory=memory)
        assert not report.findings
        append(file, "k", coverage)
        ((code, hits),) = read(file.read_text().splitlines()).values()
        shown.append(str(measure("k", code, hits)))
    row = next(at for at, line in enumerate(KERNEL.splitlines(), 1) if "bra DONE" in line)
    # the way to a trap is none that should be gone
    assert shown[0] == (
        f"1 of 3 branches both ways; never taken: line {row} `@%p bra DONE;`, true; "
        f"line {row + 3} `@%q add.u32 %v, %v, 1;`, false"
    )
    assert shown[1:] == ["3 of 3 branches both ways"] * 2
    assert len(file.read_text().splitlines()) == 2  # the last launch has nothing new
    assert not np.frombuffer(memory.read(data, 4 * 64), np.uint32).any()

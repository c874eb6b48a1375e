"""The library itself: what it exports, how it is kept, and what is said where it cannot be built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from substitute.device import available_devices
from substitute.device.cuda_sim.driver import SIMULATED, environment, target_flags
from substitute.device.cuda_sim.driver.architectures import ARCHITECTURES, find_architecture
from substitute.device.cuda_sim.driver.build import library_path
from substitute.device.cuda_sim.driver.entry_points import ARGUMENT_TYPES, ENTRY_POINTS, MOST_ARGUMENTS
from substitute.device.cuda_sim.driver.server import CALLS, HOST_FUNCTION
from substitute.device.cuda_sim.driver.settings import DEVICE
from substitute.errors import UsageError

pytestmark = pytest.mark.device


def test_what_the_library_exports(cuda_sim: str) -> None:
    with library_path().open("rb") as file:
        elf = ELFFile(file)
        symbols = {s.name for s in elf.get_section_by_name(".dynsym").iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}
        tags = {tag.entry.d_tag: tag for tag in elf.get_section_by_name(".dynamic").iter_tags()}
    wanted = {name for entry in ENTRY_POINTS for name in (entry.name, entry.name + entry.suffix)}
    assert wanted == symbols - {""}
    assert tags["DT_SONAME"].soname == "libcuda.so"
    assert "DT_NEEDED" not in tags


def test_every_function_has_an_answer() -> None:
    assert {entry.name for entry in ENTRY_POINTS} == {*CALLS, HOST_FUNCTION}
    for entry in ENTRY_POINTS:
        assert len(entry.arguments) <= MOST_ARGUMENTS
        assert set(entry.arguments) <= ARGUMENT_TYPES.keys()


def build_in(cache: Path) -> subprocess.Popen[str]:
    """Build the library in a separate process, or print the error."""
    script = "from substitute.device.cuda_sim.driver.build import library_path; print(library_path())"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_that_build_at_once_get_one_library(cuda_sim: str, tmp_path: Path) -> None:
    paths = {one.communicate(timeout=60)[0].strip() for one in [build_in(tmp_path), build_in(tmp_path)]}
    (path,) = paths
    assert Path(path).read_bytes() == library_path().read_bytes()
    assert Path(path).with_name("libcuda.so.1").samefile(path)
    assert [folder.name for folder in (tmp_path / "iree-substitute" / "cuda-sim").iterdir()] == [Path(path).parent.name]


def test_where_it_cannot_be_kept_it_is_said_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    script = (
        "from substitute.device import available_devices\n"
        "from substitute.cli.main import main\n"
        "print(available_devices()['cuda-sim'])\n"
        "module = __import__('sys').argv[1]\n"
        "print(main(['run', module, '--device=cuda-sim']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        env={**os.environ, "XDG_CACHE_HOME": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "the library of the simulated CUDA device cannot be kept: Not a directory\n1\n"
    assert done.stderr == (
        f"error: {file}/iree-substitute/cuda-sim: the library of the simulated CUDA device cannot be kept\n"
        "  expected:  a folder that can be written\n"
        "  found:     Not a directory\n"
        "  next:      name another folder with XDG_CACHE_HOME\n"
    )


def test_names_of_devices(cuda_sim: str) -> None:
    assert available_devices()[SIMULATED] == ""
    for architecture in ARCHITECTURES:
        assert find_architecture(architecture.name) is architecture
        assert find_architecture(architecture.accepted) is architecture
    # IREE looks at no more than the first eight bytes
    assert len({architecture.uuid.bytes[:8] for architecture in ARCHITECTURES}) == len(ARCHITECTURES)
    with pytest.raises(UsageError, match="there is no simulated CUDA device 'sm_91'"):
        find_architecture("sm_91")
    with pytest.raises(UsageError, match="there is no simulated CUDA device 'a'"):
        find_architecture("a")


def test_what_a_device_runs_of_irees_own_code() -> None:
    targets = {a.name: target_flags(f"cuda-sim://{a.name}")[1].partition("=")[2] for a in ARCHITECTURES}
    assert targets == {
        "sm_70": "sm_70",
        "sm_75": "sm_70",
        "sm_80": "sm_80",
        "sm_86": "sm_86",
        "sm_89": "sm_89",
        "sm_90": "sm_89",
        "sm_100": "sm_89",
        "sm_120": "sm_120",
    }


def test_the_environment_keeps_what_is_there(cuda_sim: str) -> None:
    folder = str(library_path().parent)
    assert environment({}) == {"LD_LIBRARY_PATH": folder, DEVICE: "sm_80"}
    made = environment({"A": "b", "LD_LIBRARY_PATH": "/x"}, device="sm_90a")
    assert made == {"A": "b", "LD_LIBRARY_PATH": f"{folder}:/x", DEVICE: "sm_90"}

"""`python -m runtime_tests.crash_loop MODEL…`: runs each model many times on the simulated CUDA device.

Each run is a separate process, as a user starts it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from runtime_tests.arguments import at_least, ends_in_words
from substitute.compiler import Compilation, load_model
from substitute.device.cuda_sim.driver.architectures import DEFAULT_ARCHITECTURE
from substitute.pipeline import compile_model
from substitute.read.signature import read_signatures
from substitute.validate.model_inputs import draw_inputs, input_types

DEVICE = "cuda-sim"
FLAGS = ("--iree-hal-target-device=cuda", f"--iree-cuda-target={DEFAULT_ARCHITECTURE}")
LONGEST_RUN_S = 1800
BUSY = "while True: pass"


@ends_in_words
def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every run ended well and gave what the first one gave."""
    parser = argparse.ArgumentParser(prog="python -m runtime_tests.crash_loop", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--runs", type=at_least(1), default=500)
    parser.add_argument(
        "--load", type=at_least(0), default=0, metavar="N", help="processes that do nothing but compute"
    )
    options = parser.parse_args(argv)
    ended: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        # all are built first: a mistake in the last one is not to be found after the runs of the others
        commands = [build(model, Path(folder) / str(number)) for number, model in enumerate(options.models)]
        with busy(options.load):
            for model, command in zip(options.models, commands, strict=True):
                counts = ended[str(model)] = Counter()
                for run in range(options.runs):
                    counts[run_once(command)] += 1
                    print(f"{model}: run {run + 1} of {options.runs}: {dict(counts)}", file=sys.stderr, flush=True)
    for name, found in ended.items():
        print(f"{name}: {dict(found)}")
    return 0 if all(set(found) <= {"well"} for found in ended.values()) else 1


def build(model: Path, folder: Path) -> list[str]:
    """Compile a model with IREE's own kernels, draw inputs; return the command that runs it and compares the results
    with those of a first run.
    """
    from substitute.device import Session

    folder.mkdir()
    result = compile_model(model, flags=FLAGS, builtin=False, check=False)
    module = folder / "model.vmfb"
    module.write_bytes(result.vmfb)
    with Compilation(FLAGS, name=str(model)) as compilation:
        compilation.parse(load_model(model))
        assert compilation.module is not None
        signatures = read_signatures(compilation.module)
    with Session(result.vmfb, device=DEVICE) as session:
        function = session.functions[0]
        inputs = draw_inputs(function.name, input_types(function, signatures), seed=0)
        outputs = session.call(function.name, inputs)
    command = [str(Path(sys.executable).parent / "iree-substitute"), "run", str(module), f"--device={DEVICE}"]
    command.append(f"--function={function.name}")
    for option, arrays in (("input", inputs), ("expected_output", outputs)):
        for number, array in enumerate(arrays):
            path = folder / f"{option}{number}.npy"
            np.save(path, array)
            command.append(f"--{option}=@{path}")
    return command


def run_once(command: Sequence[str]) -> str:
    """Return how a process ended: `well`, an exit status, a signal's name, or `never`."""
    try:
        status = subprocess.run(command, capture_output=True, timeout=LONGEST_RUN_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return "never"
    if status < 0:
        return signal.Signals(-status).name
    return "well" if status == 0 else f"exit status {status}"


@contextmanager
def busy(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep so many processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

"""The driver, as long as no other test of the folder needs more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime_tests.cuda_sim.driver_api import Driver


@pytest.fixture(scope="session")
def driver(cuda_sim: str) -> Driver:
    """The driver functions."""
    return Driver()


@pytest.fixture
def context(driver: Driver) -> Iterator[int]:
    """A context on the default device, an sm_80."""
    with driver.context() as handle:
        yield handle

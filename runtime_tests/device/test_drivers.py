"""Available devices, and messages about missing ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from substitute.device import available_devices, describe_device
from substitute.device.drivers import extract_reason, open_device
from substitute.errors import DeviceError

pytestmark = pytest.mark.device


def test_the_cpu_is_always_there() -> None:
    devices = available_devices()
    assert devices["local-task"] == devices["local-sync"] == ""
    assert {"cuda", "vulkan"} <= devices.keys()
    assert describe_device("local-sync") == "default"


def test_vulkan_device_has_a_name(vulkan_device: str) -> None:
    assert describe_device(vulkan_device) not in ("", vulkan_device)


@pytest.mark.parametrize(
    ("device", "found", "step"),
    [
        ("vulcan", "vulcan", "did you mean vulkan?"),
        ("local", "local", "did you mean local-task?"),
        ("", "an empty name", "name the device as IREE names it"),
        ("quantum", "quantum", "name the device as IREE names it"),
    ],
)
def test_unknown_device(device: str, found: str, step: str) -> None:
    with pytest.raises(DeviceError) as caught:
        open_device(device)
    names = ", ".join(sorted(available_devices()))
    assert str(caught.value) == (
        f"unknown device {device!r}\n  expected:  one of {names}\n  found:     {found}\n  next:      {step}"
    )


def test_device_number_that_is_not_there() -> None:
    with pytest.raises(DeviceError) as caught:
        open_device("local-sync://7")
    assert str(caught.value).startswith(
        "device 'local-sync://7' cannot be opened\n  expected:  a device that the driver can open: local-sync\n"
    )


def test_without_a_vulkan_driver_the_message_says_how_to_get_one() -> None:
    script = (
        "from substitute.device import available_devices\n"
        "from substitute.device.drivers import open_device\n"
        "from substitute.errors import DeviceError\n"
        "print(bool(available_devices()['vulkan']))\n"
        "try:\n"
        "    open_device('vulkan')\n"
        "except DeviceError as error:\n"
        "    print(error)\n"
    )
    # the loader reads no driver but those named here
    environment = dict(os.environ, VK_ICD_FILENAMES="/dev/null", VK_DRIVER_FILES="/dev/null")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "True",
        "device 'vulkan' cannot be opened",
        "  expected:  a device that the driver can open: there is none on this machine",
    ]
    assert lines[-1] == (
        "  next:      for the software Vulkan device on Debian: apt-get install mesa-vulkan-drivers libvulkan1; "
        "or choose another device"
    )


@pytest.mark.unit
def test_reason_without_source_positions() -> None:
    error = RuntimeError("Error creating device: c/runtime/src/x.c:441: UNAVAILABLE; [vkCreate] FAILED\nmore")
    assert extract_reason(error) == "[vkCreate] FAILED"
    assert extract_reason(ValueError("as it is")) == "as it is"

"""Tests of the device at load time, and the features that they imply for a kernel's code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from ..model.dispatch import Target
from ..model.kernel import DeviceTest, TargetRule
from .target import fits

# fmt: off
_SPIRV_WORDS = {
    "shader_float16": ("compute", "fp16"), "shader_float64": ("compute", "fp64"), "shader_int8": ("compute", "int8"),
    "shader_int16": ("compute", "int16"), "shader_int64": ("compute", "int64"),
    "storage_buffer_8bit_access": ("storage", "b8"), "storage_buffer_16bit_access": ("storage", "b16"),
}
# fmt: on
"""Word of a Vulkan target's configuration for each `vulkan.feature`."""


@lru_cache(maxsize=4096)
def select_target_rules(rules: tuple[TargetRule, ...], target: Target) -> tuple[TargetRule, ...]:
    """Return the target rules by which a kernel is compiled into a variant.

    That is one that does not test the device, else all that fit.
    """
    fitting = [rule for rule in rules if fits(rule, target)]
    certain = [rule for rule in fitting if not rule.device]
    return tuple(certain[:1] or fitting)


def derive_target(target: Target, rule: TargetRule) -> Target:
    """Return the target that the kernel's code may rely on: the variant's own, and the features that the device is
    tested for.
    """
    if not rule.device:
        return target
    config = dict(target.config)
    info = config.get("iree_codegen.target_info", "")
    if rule.variant:
        info = re.sub(r'arch = "[^"]*"', f'arch = "{rule.variant}"', info, count=1)
    for test in rule.device:
        if not _is_there(test):
            continue
        if test.category == "hal.cpu":
            config["cpu_features"] = ",".join(filter(None, (config.get("cpu_features", ""), f"+{test.key}")))
        elif test.category == "vulkan.feature" and test.key in _SPIRV_WORDS:
            info = _with_word(info, *_SPIRV_WORDS[test.key])
    if info:
        config["iree_codegen.target_info"] = info
    return replace(target, config=tuple(config.items()))


def find_tested_features(rule: TargetRule) -> tuple[str, ...]:
    """Return the CPU features that a device has if the rule's tests pass."""
    return tuple(test.key for test in rule.device if test.category == "hal.cpu" and _is_there(test))


def _is_there(test: DeviceTest) -> bool:
    """Return True for a test that 0 fails and 1 passes, as tests of features do."""
    return not passes_test(test, 0) and passes_test(test, 1)


def _with_word(info: str, key: str, word: str) -> str:
    def add(found: re.Match[str]) -> str:
        words = [w for w in found[2].split("|") if w != "none"]
        return found[1] + "|".join(words if word in words else [*words, word])

    return re.sub(rf"(\b{key} = )([\w|]+)", add, info, count=1)


def passes_test(test: DeviceTest, answer: int) -> bool:
    """Return True if a device with this answer passes the test."""
    match test.relation:
        case "==":
            return answer == test.value
        case "!=":
            return answer != test.value
        case "<":
            return answer < test.value
        case "<=":
            return answer <= test.value
        case ">":
            return answer > test.value
        case ">=":
            return answer >= test.value


def exclude_each_other(some: Sequence[TargetRule], others: Sequence[TargetRule]) -> bool:
    """Return True if no device passes a rule of both, so that their order does not matter."""
    return all(_disjoint(a, b) for a in some for b in others)


def _disjoint(a: TargetRule, b: TargetRule) -> bool:
    for key in {(t.category, t.key) for t in a.device}:
        tests = [t for t in (*a.device, *b.device) if (t.category, t.key) == key]
        # if an answer passes all of them, so does one of the compared numbers, or a neighbour
        near = {t.value + step for t in tests for step in (-1, 0, 1)}
        if not any(all(passes_test(t, answer) for t in tests) for answer in near):
            return True
    return False

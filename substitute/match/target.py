"""Check of a kernel's target rules against a variant's target."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache

from ..model.dispatch import Target
from ..model.kernel import ConfigTest, TargetRule
from ..model.plan import Rule
from .attribute_text import find_value, format_value, parse_attribute, scalars


@lru_cache(maxsize=4096)
def check_target(rules: tuple[TargetRule, ...], target: Target) -> Rule:
    """Return the rule that failed for the target that came closest, or a passed one."""
    best: tuple[int, Rule] | None = None
    for rule in rules:
        steps = list(_steps(rule, target))
        failed = next((i for i, step in enumerate(steps) if not step.passed), None)
        if failed is None:
            return Rule(name="target", passed=True, expected=_words(rule), found=describe(target))
        if best is None or failed > best[0]:
            best = (failed, steps[failed])
    if best is None:
        return Rule(name="target", passed=False, expected="at least one target", found="none in the manifest")
    return best[1]


def fits(rule: TargetRule, target: Target) -> bool:
    """Return True if the target meets the rule; tests of the device are checked elsewhere."""
    return all(step.passed for step in _steps(rule, target))


def architecture(target: Target) -> str:
    """Return `x86_64` of a CPU's triple, `sm_80` of a GPU's configuration; empty if the target has neither."""
    triple = target.get("target_triple")
    if triple:
        return triple.partition("-")[0]
    found = re.search(r'arch = "([^"]*)"', target.get("iree_codegen.target_info") or target.get("iree.gpu.target"))
    return found[1] if found else ""


def describe(target: Target) -> str:
    """Format backend, format and architecture."""
    return " ".join(part for part in (target.backend, target.format, architecture(target)) if part)


def _steps(rule: TargetRule, target: Target) -> list[Rule]:
    steps = [_equal("target.backend", rule.backend, target.backend)]
    if rule.format:
        steps.append(_equal("target.format", rule.format, target.format))
    if rule.architectures:
        found = architecture(target)
        steps.append(
            Rule(
                name="target.architectures",
                passed=found in rule.architectures,
                expected=" or ".join(rule.architectures),
                found=found or "none named",
            )
        )
    if rule.features:
        missing = [f for f in rule.features if f.lstrip("+") not in target.features]
        found = "all of them" if not missing else f"without {', '.join(missing)}"
        steps.append(Rule(name="target.features", passed=not missing, expected=", ".join(rule.features), found=found))
    for key, value in rule.config:
        steps.append(_plain_value(key, value, target))
    steps += [_tested_value(test, target) for test in rule.config_tests]
    return steps


def _plain_value(key: str, value: str, target: Target) -> Rule:
    found = target.get(key)
    if not found:
        return _missing((key,), value, tuple(name for name, _ in target.config))
    passed = value in (found, parse_attribute(found))  # a number is printed with its type: `32 : i64`
    return Rule(name=f"target.config.{key}", passed=passed, expected=value, found=found)


def _tested_value(test: ConfigTest, target: Target) -> Rule:
    key, *below = test.path
    text = target.get(key)
    if not text:
        return _missing(test.path[:1], str(test), tuple(name for name, _ in target.config))
    node, known = find_value(text, tuple(below))
    if node is None:
        return _missing(test.path, str(test), known)
    # a value without single values (a table) is compared as text
    values = (text,) if not below and not isinstance(node, str) else ()
    passed = any(_holds(test, value) for value in (*values, *scalars(node)))
    found = text if not below else format_value(node)
    return Rule(name=f"target.config.{'.'.join(test.path)}", passed=passed, expected=str(test), found=found)


def _holds(test: ConfigTest, value: str) -> bool:
    if test.any_of and not any(value == wanted or _matches(wanted, value) for wanted in test.any_of):
        return False
    if test.regex and not re.fullmatch(test.regex, value, re.DOTALL):
        return False
    if test.minimum is None and test.maximum is None:
        return True
    if not re.fullmatch(r"-?\d+", value):
        return False
    number = int(value)
    return (test.minimum is None or number >= test.minimum) and (test.maximum is None or number <= test.maximum)


def _matches(pattern: str, value: str) -> bool:
    return re.match(translate(pattern.replace("[", "[[]")), value) is not None


def _missing(path: tuple[str, ...], expected: str, known: tuple[str, ...]) -> Rule:
    there = ", ".join(sorted(known)) or "no keys"
    return Rule(
        name=f"target.config.{'.'.join(path)}", passed=False, expected=expected, found=f"(not there; there is {there})"
    )


def _equal(name: str, expected: str, found: str) -> Rule:
    return Rule(name=name, passed=expected == found, expected=expected, found=found)


def _words(rule: TargetRule) -> str:
    config = [f"{key} = {value}" for key, value in rule.config]
    config += [f"{'.'.join(test.path)} = {test}" for test in rule.config_tests]
    return (
        " ".join((rule.backend, rule.format, *rule.architectures, *rule.features, *config)).replace("  ", " ").strip()
    )

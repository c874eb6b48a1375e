"""Does a kernel fit a variant's target?"""

from __future__ import annotations

import re

from ..model.dispatch import Target
from ..model.kernel import TargetRule
from ..model.plan import Rule


def check_target(rules: tuple[TargetRule, ...], target: Target) -> Rule:
    """The rule that failed for the target that came closest, or a passed one."""
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


def architecture(target: Target) -> str:
    """`x86_64` of a CPU's triple, `sm_80` of a GPU's configuration; empty if the target does not say."""
    triple = target.get("target_triple")
    if triple:
        return triple.partition("-")[0]
    found = re.search(r'arch = "([^"]*)"', target.get("iree_codegen.target_info") or target.get("iree.gpu.target"))
    return found[1] if found else ""


def describe(target: Target) -> str:
    """For people: backend, format and architecture."""
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
        steps.append(_equal(f"target.config.{key}", value, target.get(key, "(not there)")))
    return steps


def _equal(name: str, expected: str, found: str) -> Rule:
    return Rule(name=name, passed=expected == found, expected=expected, found=found)


def _words(rule: TargetRule) -> str:
    config = (f"{key} = {value}" for key, value in rule.config)
    return (
        " ".join((rule.backend, rule.format, *rule.architectures, *rule.features, *config)).replace("  ", " ").strip()
    )

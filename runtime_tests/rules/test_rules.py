"""Rules in Python: how they are chosen, applied, replayed, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import build, floats, run
from runtime_tests.rules.folders import DOUBLE, FLAGS, elementwise, kernel
from substitute import compile_model
from substitute.errors import PayloadError, PlanError
from substitute.report.as_json import plan_to_json

pytestmark = pytest.mark.device

MANIFEST = """
name = "{name}"
{keys}
[[target]]
backend = "llvm-cpu"
[[target]]
backend = "vulkan-spirv"
[payload]
kind = "rule"
file = "rule.py"
"""
THREE = """
from iree.compiler import ir

def applies(site):
    return "" if find(site) else "no constant 2"

def rewrite(site):
    for op in find(site):
        op.attributes["value"] = ir.FloatAttr.get(ir.F32Type.get(), 3.0)

def find(site):
    block = site.function.regions[0].blocks[0]
    return [o.operation for o in block.operations
            if o.operation.name == "arith.constant" and "2.000000e+00" in str(o.operation.attributes["value"])]
"""
MODEL = elementwise(DOUBLE)


def rule(folder: Path, text: str = THREE, *, name: str = "three", keys: str = "") -> Path:
    return kernel(folder, MANIFEST.format(name=name, keys=keys), {"rule.py": text})


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
def test_a_changed_body(device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if device == "vulkan":
        request.getfixturevalue("vulkan_device")
    x = floats(24, 32)
    (found,) = run(tmp_path, MODEL, [rule(tmp_path / "three")], [x], device=device, flags=FLAGS[device])
    np.testing.assert_allclose(found, 3 * x, rtol=1e-6)


def test_reasons(tmp_path: Path) -> None:
    built = build(tmp_path, elementwise("%r = arith.addf %x, %x : f32"), [rule(tmp_path / "three")], substituted=0)
    (decision,) = built.plan.decisions
    assert (decision.rules[-1].name, decision.rules[-1].found) == ("payload", "no constant 2")


def test_a_rule_without_a_definition_is_never_the_nearest(tmp_path: Path) -> None:
    """It was asked about everything: that says nothing about what a person's kernel lacks."""
    from substitute.match.nearness import nearest_miss

    manifest = (
        'name = "named"\ndispatches = ["elsewhere"]\n[[target]]\nbackend = "llvm-cpu"\n[payload]\nkind = "iree"\n'
    )
    named = kernel(tmp_path / "named", manifest + '[launch]\nworkgroup_count = ["1", "1", "1"]\n', {})
    model = elementwise("%r = arith.addf %x, %x : f32")
    built = build(tmp_path, model, [rule(tmp_path / "three"), named], substituted=0)
    near = nearest_miss(built.plan.decisions)
    assert near is not None
    assert near.kernel.name == "named"


def test_selection_by_kind_and_name(tmp_path: Path) -> None:
    for keys, name in (('kinds = ["softmax"]', "select.kind"), ('dispatches = ["other"]', "select.name")):
        built = build(tmp_path, MODEL, [rule(tmp_path / "three", keys=keys)], substituted=0)
        assert built.plan.decisions[0].rules[-1].name == name


def test_what_a_rule_leaves_is_matched_again_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "model.mlir").write_text(MODEL)
    made = compile_model(tmp_path / "model.mlir", kernels=[rule(tmp_path / "three")])
    assert [s.kernel.name for s in made.plan.substitutions] == ["three", "elementwise"]
    assert [d.kernel.name for d in made.plan.decisions if d.accepted] == ["three", "elementwise"]
    saved = tmp_path / "plan.json"
    saved.write_text(json.dumps(plan_to_json(made.plan, made.payloads)))
    again = compile_model(tmp_path / "model.mlir", kernels=[tmp_path / "three"], plan=saved)
    assert [s.kernel.name for s in again.plan.substitutions] == ["three", "elementwise"]
    assert again.vmfb == made.vmfb
    # an edited plan leaves the rule out, or the kernel
    data = json.loads(saved.read_text())
    for left in (0, 1):
        saved.write_text(json.dumps({**data, "substitutions": [data["substitutions"][left]]}))
        edited = compile_model(tmp_path / "model.mlir", kernels=[tmp_path / "three"], plan=saved)
        assert [s.kernel.name for s in edited.plan.substitutions] == [["three"], ["elementwise"]][left]


def test_rules_of_one_dispatch_are_applied_in_turn(tmp_path: Path) -> None:
    four = THREE.replace("2.000000e+00", "3.000000e+00").replace("3.0)", "4.0)").replace("constant 2", "constant 3")
    kernels = [rule(tmp_path / "four", four, name="four"), rule(tmp_path / "three")]
    x = floats(24, 32)
    (found,) = run(tmp_path, MODEL, kernels, [x], substituted=2)
    np.testing.assert_allclose(found, 4 * x, rtol=1e-6)


def test_a_tie_and_a_required_rule(tmp_path: Path) -> None:
    (tmp_path / "model.mlir").write_text(MODEL)
    kernels = [rule(tmp_path / "other", name="other"), rule(tmp_path / "three")]
    with pytest.raises(PlanError, match="two kernels fit main_dispatch_0_elementwise_768_f32 equally well"):
        compile_model(tmp_path / "model.mlir", kernels=kernels)
    (tmp_path / "model.mlir").write_text(elementwise("%r = arith.addf %x, %x : f32"))
    with pytest.raises(PlanError, match="the required kernel three took no dispatch"):
        compile_model(tmp_path / "model.mlir", kernels=kernels[1:], require=["three"])


@pytest.mark.parametrize(
    ("text", "what", "found"),
    [
        ("import nothing_of_this_name", "the rule cannot be loaded", "ModuleNotFoundError"),
        ("def rewrit(site): pass", "the rule has no function `rewrite`", "rewrit"),
        ("def rewrite(site):\n    1 / 0", "the rule failed for main_dispatch_0", "ZeroDivisionError"),
        ("def applies(site):\n    1 / 0\ndef rewrite(site): pass", "`applies` of the rule failed", "ZeroDivisionError"),
        (
            "from iree.compiler import ir\ndef rewrite(site):\n"
            "    site.export.attributes['sym_name'] = ir.StringAttr.get('other')",
            "three changed what the host program calls",
            "::other ",
        ),
        (
            "def rewrite(site):\n    ops = list(site.function.regions[0].blocks[0].operations)\n"
            "    ops[-1].operation.erase()",
            "three left a body that MLIR's verifier refuses",
            "",
        ),
    ],
)
def test_wrong_rules(tmp_path: Path, text: str, what: str, found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, MODEL, [rule(tmp_path / "three", text)])
    assert what in caught.value.what
    assert found in caught.value.found
    if "/ 0" in text:
        assert caught.value.where.endswith("rule.py:2")


def test_a_body_that_is_not_read_can_be_rewritten(tmp_path: Path) -> None:
    """Nothing of ours reads a top-k; the rule sees its operations all the same."""
    model = """
func.func @main(%x: tensor<4x16xf32>) -> tensor<4x16xf32> {
  %e = tensor.empty() : tensor<4x16xf32>
  %s = iree_linalg_ext.sort dimension(1) outs(%x : tensor<4x16xf32>) {
  ^bb0(%a: f32, %b: f32):
    %less = arith.cmpf olt, %a, %b : f32
    iree_linalg_ext.yield %less : i1
  } -> tensor<4x16xf32>
  return %s : tensor<4x16xf32>
}
"""
    text = """
from iree.compiler import ir

def rewrite(site):
    def visit(op):
        if op.name == "arith.cmpf":
            op.operation.attributes["predicate"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 2)
        return ir.WalkResult.ADVANCE
    site.function.walk(visit)
"""
    x = floats(4, 16)
    (found,) = run(tmp_path, model, [rule(tmp_path / "down", text, name="down")], [x])
    np.testing.assert_array_equal(found, -np.sort(-x, axis=1))

"""Decisions, ranking, ties, replayed plans, required kernels: and what people read when these fail."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from runtime_tests.match.definitions import RELU, matmul_dispatch, matmul_kernel, open_matmul_dispatch
from runtime_tests.match.kernels import MATMUL, MATMUL_OPERANDS, accepted, decision, kernel, refused, takes_all
from runtime_tests.read.executables import VULKAN, dispatch_of
from substitute.errors import PlanError
from substitute.match.nearness import nearest_miss
from substitute.match.planner import choose, choose_all, decide, make_plan
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import DeviceTest, Kernel, TargetRule
from substitute.model.plan import Rule, substitution_names

pytestmark = pytest.mark.compile

VULKAN_RULE = TargetRule(backend="vulkan-spirv")


# -- constraints ---------------------------------------------------------------------------------------------------


def test_static_constraints() -> None:
    made = matmul_kernel(constraints=["N % 8 == 0", "K >= 8 and M < 100"])
    accepted(made, matmul_dispatch(4, 16, 8))
    assert refused(made, matmul_dispatch(4, 12, 8)) == Rule(
        name="constraint", passed=False, expected="N % 8 == 0", found="N = 12"
    )
    assert refused(made, matmul_dispatch(4, 16, 7)) == Rule(
        name="constraint", passed=False, expected="K >= 8 and M < 100", found="K = 7, M = 4"
    )


def test_dynamic_constraints_are_left_to_run_time() -> None:
    made = matmul_kernel(constraints=["N % 8 == 0", "M % 4 == 0"])
    found = decision(made, open_matmul_dispatch())
    assert found.match is not None
    assert found.match.fallback == ("M % 4 == 0",)
    assert [r.found for r in found.rules if r.name == "constraint"] == [
        "N = 8",
        "M known at run time only: IREE's code stays in as the fallback",
    ]


def test_a_dynamic_constraint_that_is_decided_by_a_static_part() -> None:
    rule = refused(matmul_kernel(constraints=["M % 4 == 0 and N == 9"]), open_matmul_dispatch())
    assert (rule.passed, rule.found) == (False, "M = u64(push(0), push(1)), N = 8")
    match = accepted(matmul_kernel(constraints=["M % 4 == 0 or N == 8"]), open_matmul_dispatch())
    assert match.fallback == ()


def test_no_fallback_where_the_host_does_not_know_the_size() -> None:
    made = matmul_kernel(constraints=["M % 4 == 0"])
    assert refused(made, open_matmul_dispatch(known=False)) == Rule(
        name="constraint",
        passed=False,
        expected="M % 4 == 0",
        found="M known at run time only, and not to the host that launches the dispatch",
    )


OUT_OF_SIGHT = (
    "the filter gets one executable without the host program, which has to choose: the filter gets one executable; "
    "`iree-substitute compile` can do this"
)


def test_a_fallback_on_other_backends_needs_the_host_program() -> None:
    made = matmul_kernel(constraints=["M % 4 == 0"], kind="glsl", targets=[VULKAN_RULE])
    assert accepted(made, open_matmul_dispatch(target=VULKAN)).fallback == ("M % 4 == 0",)
    alone = decide(made, open_matmul_dispatch(target=VULKAN), takes_all, host=False)
    assert alone.rules[-1] == Rule(
        name="constraint", passed=False, expected="M % 4 == 0", found=f"M known at run time only, and {OUT_OF_SIGHT}"
    )
    assert decide(replace(made, constraints=()), open_matmul_dispatch(target=VULKAN), takes_all, host=False).accepted
    assert decide(matmul_kernel(constraints=["M % 4 == 0"]), open_matmul_dispatch(), takes_all, host=False).accepted, (
        "on the CPU"
    )


# -- devices -------------------------------------------------------------------------------------------------------

WIDE = DeviceTest(category="vulkan.device", key="subgroup_size", relation=">=", value=32)
ASKING = TargetRule(backend="vulkan-spirv", device=(WIDE,))


def on_vulkan(name: str, *, device: DeviceTest | None = None, **keys: object) -> Kernel:
    rule = TargetRule(backend="vulkan-spirv", device=(device,) if device else ())
    return matmul_kernel(name=name, kind="glsl", targets=[rule], **keys)


def test_what_the_device_is_asked() -> None:
    made = on_vulkan("asking", device=WIDE)
    found = decision(made, matmul_dispatch(target=VULKAN))
    assert found.accepted
    assert found.rules[1] == Rule(
        name="device",
        passed=True,
        expected="vulkan.device::subgroup_size >= 32",
        found="tested when the module is loaded; elsewhere the next kernel or IREE's code runs",
    )
    alone = decide(made, matmul_dispatch(target=VULKAN), takes_all, host=False)
    assert alone.rules[-1] == Rule(
        name="device", passed=False, expected="vulkan.device::subgroup_size >= 32", found=OUT_OF_SIGHT
    )
    asking_a_cpu = matmul_kernel(targets=[TargetRule(backend="llvm-cpu", device=(WIDE,))])
    assert decide(asking_a_cpu, matmul_dispatch(), takes_all, host=False).accepted, "the choice is in the executable"


def test_one_of_several_exports_of_an_external_variant() -> None:
    dispatch = replace(matmul_dispatch(target=VULKAN), siblings=1)
    made = on_vulkan("mine")
    assert decide(made, dispatch, takes_all).accepted
    assert decide(made, dispatch, takes_all, host=False).rules[-1] == Rule(
        name="executable.exports",
        passed=False,
        expected="one export, or a host program",
        found=f"2 exports, and {OUT_OF_SIGHT}",
    )
    assert decide(matmul_kernel(), replace(matmul_dispatch(), siblings=1), takes_all, host=False).accepted


def test_a_cpu_dispatch_without_a_body() -> None:
    dispatch = replace(matmul_dispatch(), has_body=False, program=None, reason="the export has no body here")
    raw = replace(kernel(kind="llvm-ir", dispatches=("main",)), abi="raw", bindings=3, constants=0)
    assert decide(raw, dispatch, takes_all).rules[-1] == Rule(
        name="executable.body",
        passed=False,
        expected="a body, into which the kernel's call is put",
        found="the export has no body here",
    )
    assert decide(raw, replace(dispatch, has_body=True), takes_all).accepted


def asked(*kernels: Kernel, dispatch: Dispatch | None = None) -> list[str]:
    """The kernels that a dispatch asks, in order."""
    dispatch = dispatch or matmul_dispatch(target=VULKAN)
    return [d.kernel.name for d in choose_all([decision(k, dispatch) for k in kernels])]


def test_kernels_are_asked_until_one_takes_all() -> None:
    plain, wide = on_vulkan("plain"), on_vulkan("wide", device=WIDE)
    narrow = on_vulkan("narrow", device=replace(WIDE, relation="<"))
    last = on_vulkan("last", priority=-1)
    assert asked(plain, wide) == ["wide", "plain"], "who asks more goes first"
    assert asked(last, plain, wide) == ["wide", "plain"], "nobody gets past a kernel that takes all"
    assert asked(wide) == ["wide"], "IREE's code is behind it"
    assert asked(wide, narrow, plain) == ["narrow", "wide", "plain"], "no tie: no device takes both"
    constrained = on_vulkan("even", constraints=["M % 2 == 0"], priority=1)
    assert asked(constrained, plain, dispatch=open_matmul_dispatch(target=VULKAN)) == ["even", "plain"]
    assert asked(constrained, plain) == ["even"], "the size is known to fit"


def test_a_tie_of_kernels_that_one_device_may_take() -> None:
    wide, wider = on_vulkan("wide", device=WIDE), on_vulkan("wider", device=replace(WIDE, value=64))
    with pytest.raises(PlanError, match="two kernels fit main_dispatch_0_work equally well"):
        asked(wide, wider)
    assert asked(wide, replace(wider, priority=1)) == ["wider", "wide"]


def test_several_targets_of_one_kernel_are_several_substitutions() -> None:
    two = replace(
        on_vulkan("two"), targets=(ASKING, TargetRule(backend="vulkan-spirv", device=(replace(WIDE, value=8),)))
    )
    dispatch = matmul_dispatch(target=VULKAN)
    plan = make_plan([dispatch], [two], takes_all)
    assert [s.conditions for s in plan.substitutions] == [
        ("vulkan.device::subgroup_size >= 32",),
        ("vulkan.device::subgroup_size >= 8",),
    ]
    assert substitution_names(plan.substitutions) == ["main_dispatch_0_work", "main_dispatch_0_work on cpu"]
    certain = replace(two, targets=(*two.targets, VULKAN_RULE))
    assert [s.conditions for s in make_plan([dispatch], [certain], takes_all).substitutions] == [()]


def test_a_saved_plan_names_kernels_and_variants() -> None:
    plain, wide = on_vulkan("plain"), on_vulkan("wide", device=WIDE)
    one, other = matmul_dispatch(target=VULKAN), replace(matmul_dispatch(target=VULKAN), variant="second")
    chosen = {"second::main_dispatch_0_work": ("wide", "plain"), "main_dispatch_0_work": "plain"}
    plan = make_plan([one, other], [plain, wide], takes_all, chosen=chosen)
    assert [(s.dispatch.variant, s.kernel.name) for s in plan.substitutions] == [
        (one.variant, "plain"),
        ("second", "wide"),
        ("second", "plain"),
    ]
    with pytest.raises(PlanError, match="the plan names dispatches that the model does not have"):
        make_plan([one], [plain, wide], takes_all, chosen=chosen)


def test_a_saved_plan_gives_values_that_the_manifest_lists() -> None:
    kernel = replace(on_vulkan("plain"), tune=(("rows", (4, 6)),))
    dispatch = matmul_dispatch(target=VULKAN)
    plan = make_plan([dispatch], [kernel], takes_all, chosen={dispatch.name: "plain{rows=6}"})
    assert [s.tuning for s in plan.substitutions] == [(("rows", 6),)]
    assert [s.tuning for s in make_plan([dispatch], [kernel], takes_all).substitutions] == [()]
    for text in ("plain{rows=5}", "plain{columns=4}"):
        with pytest.raises(PlanError, match="in a way that it does not know"):
            make_plan([dispatch], [kernel], takes_all, chosen={dispatch.name: text})


def test_a_constraint_over_what_is_no_loop() -> None:
    from runtime_tests.match.definitions import convolution_dispatch, convolution_kernel

    """Elements read along an axis are known if the operand's place is: not if a prologue may precede it."""
    made = convolution_kernel("p + k", constraints=["X % 2 == 0"])
    accepted(made, convolution_dispatch("p + k", 6))
    odd = replace(made, constraints=convolution_kernel("p + k", constraints=["X % 2 == 1"]).constraints)
    assert refused(odd, convolution_dispatch("p + k", 6)).found == "X = 6"
    anything = replace(made, slots=frozenset({"prologue"}), payload=kernel(kind="llvm-generator").payload)
    assert refused(anything, convolution_dispatch("p + k", 6)) == Rule(
        name="constraint",
        passed=False,
        expected="X % 2 == 0",
        found="X is not the size of a loop, so its value is unknown here",
    )


# -- selection -----------------------------------------------------------------------------------------------------


def test_by_name_and_by_kind() -> None:
    dispatch = matmul_dispatch(name="main_dispatch_7")
    by_name = kernel(name="byname", kind="llvm-generator", dispatches=("dispatch_7",))
    accepted(by_name, dispatch)
    assert refused(replace(by_name, dispatches=("dispatch_8", "softmax$")), dispatch) == Rule(
        name="select.name", passed=False, expected="dispatch_8 or softmax$", found="main_dispatch_7_work"
    )
    by_kind = kernel(name="bykind", kind="llvm-generator", kinds=("contraction",))
    accepted(by_kind, dispatch)
    assert refused(replace(by_kind, kinds=("softmax", "copy")), dispatch) == Rule(
        name="select.kind", passed=False, expected="softmax or copy", found="contraction"
    )


def test_raw_kernels_are_compared_with_the_layout() -> None:
    raw = replace(kernel(kind="ptx", dispatches=("main",)), abi="raw", bindings=3, constants=0)
    accepted(raw, matmul_dispatch())
    assert refused(replace(raw, bindings=2), matmul_dispatch()) == Rule(
        name="layout.bindings", passed=False, expected="2", found="3"
    )
    assert refused(raw, open_matmul_dispatch()) == Rule(name="layout.constants", passed=False, expected="0", found="2")


def test_a_body_that_cannot_be_read() -> None:
    unread = dispatch_of("  cf.br ^next\n^next:", bindings=1)
    found = decide(matmul_kernel(), unread, takes_all)
    assert found.rules[-1] == Rule(
        name="structure.read", passed=False, expected="a body that can be read", found="it has a body with control flow"
    )
    raw = replace(kernel(kind="ptx", dispatches=("main",)), abi="raw", bindings=1, constants=0)
    assert decide(raw, unread, takes_all).accepted


def test_the_generator_has_the_last_word() -> None:
    found = decide(matmul_kernel(), matmul_dispatch(), lambda _kernel, _dispatch: "rows of 8 are too short")
    assert not found.accepted
    assert found.rules[-1] == Rule(
        name="payload", passed=False, expected="a dispatch that its code handles", found="rows of 8 are too short"
    )
    assert [r.name for r in found.rules] == ["target", "structure", "payload"]


# -- ranking -------------------------------------------------------------------------------------------------------


def best(*kernels: Kernel, dispatch: Dispatch | None = None) -> str:
    found = choose([decision(k, dispatch or matmul_dispatch()) for k in kernels])
    assert found is not None
    return found.kernel.name


def test_the_order_of_kernels() -> None:
    plain = matmul_kernel(name="plain")
    steps = [
        replace(plain, name="builtin", builtin=True, priority=99),
        plain,
        replace(plain, name="constrained", constraints=matmul_kernel(constraints=["N > 1"]).constraints),
        replace(plain, name="nearer", targets=(TargetRule(backend="llvm-cpu", features=("avx2",)),)),
        replace(plain, name="first", priority=1),
    ]
    for worse, better in itertools.pairwise(steps):
        assert best(worse, better) == best(better, worse) == better.name
    assert best(*steps) == "first"


def test_the_definition_that_names_more_wins() -> None:
    relu = MATMUL.replace(
        "return %c",
        "%z = linalg.map { arith.maximumf } ins(%c, %i : !?x?xf32, !?x?xf32) outs(%e : !?x?xf32)\n  return %z",
    )
    fused = kernel(relu, MATMUL_OPERANDS, name="fused")
    general = matmul_kernel(name="general", kind="llvm-generator", slots=["epilogue"])
    assert best(general, fused, dispatch=matmul_dispatch(after=RELU)) == "fused"
    assert best(general, fused, dispatch=matmul_dispatch()) == "general"


def test_nothing_fits() -> None:
    assert choose([decision(matmul_kernel(constraints=["N > 99"]), matmul_dispatch())]) is None
    assert choose([]) is None


def test_a_tie_names_both() -> None:
    one, two = matmul_kernel(name="one"), matmul_kernel(name="two")
    with pytest.raises(PlanError) as caught:
        best(two, one)
    assert str(caught.value) == (
        "two kernels fit main_dispatch_0_work equally well\n"
        "  expected:  one that is better by origin, priority, specificity, target or constraints\n"
        "  found:     one (kernels/one) and two (kernels/two)\n"
        "  next:      give one of them a higher `priority` in its kernel.toml"
    )
    assert best(two, replace(one, priority=1)) == "one"


# -- plans ---------------------------------------------------------------------------------------------------------

FIRST, SECOND = matmul_dispatch(name="first"), matmul_dispatch(after=RELU, name="second")
OTHER = matmul_dispatch(name="other", target=VULKAN)


def test_a_plan_has_every_decision() -> None:
    gpu = matmul_kernel(name="gpu", kind="glsl", targets=[VULKAN_RULE])
    plan = make_plan([FIRST, SECOND, OTHER], [matmul_kernel(), gpu], takes_all)
    assert [(s.dispatch.name, s.kernel.name) for s in plan.substitutions] == [
        ("first_work", "mine"),
        ("other_work", "gpu"),
    ]
    assert [(d.dispatch.name, d.kernel.name, d.accepted) for d in plan.decisions] == [
        ("first_work", "mine", True),
        ("second_work", "mine", False),
        ("other_work", "gpu", True),
    ]


def test_a_replayed_plan_takes_what_it_says_and_nothing_else() -> None:
    preferred, other = matmul_kernel(name="preferred", priority=5), matmul_kernel(name="other")
    third = matmul_dispatch(name="third")
    plan = make_plan([FIRST, third], [preferred, other], takes_all, chosen={"third_work": "other"})
    assert [(s.dispatch.name, s.kernel.name) for s in plan.substitutions] == [("third_work", "other")]


def test_a_replayed_plan_that_does_not_fit() -> None:
    with pytest.raises(PlanError) as caught:
        make_plan([SECOND], [matmul_kernel()], takes_all, chosen={"second_work": "mine"})
    assert str(caught.value) == (
        "structure.epilogue: the plan's kernel mine does not fit second_work\n"
        "  expected:  result 0 : f32 as it is (the kernel has no epilogue slot)\n"
        "  found:     maximumf(in0, 0.0) : f32\n"
        "  next:      edit the plan, or add the kernel's folder with --kernels"
    )
    with pytest.raises(PlanError) as caught:
        make_plan([FIRST], [matmul_kernel()], takes_all, chosen={"first_work": "yours"})
    assert str(caught.value) == (
        "catalog: the plan's kernel yours does not fit first_work\n"
        "  expected:  a kernel of this name for this backend\n"
        "  found:     none in the catalog\n"
        "  next:      edit the plan, or add the kernel's folder with --kernels"
    )
    with pytest.raises(PlanError) as caught:
        make_plan([FIRST], [matmul_kernel()], takes_all, chosen={"first_work": "mine", "ninth": "mine"})
    assert str(caught.value) == (
        "the plan names dispatches that the model does not have\n"
        "  expected:  dispatches of this model, compiled with these flags\n"
        "  found:     ninth\n"
        "  next:      write a new plan with --plan-out"
    )


def test_required_kernels() -> None:
    make_plan([FIRST], [matmul_kernel()], takes_all, require=["mine"])
    with pytest.raises(PlanError) as caught:
        make_plan([FIRST], [matmul_kernel(), matmul_kernel(name="more", priority=-1)], takes_all, require=["mime"])
    assert str(caught.value) == (
        "the required kernel mime is not in the catalog\n"
        "  expected:  one of: mine, more\n"
        "  found:     mime\n"
        "  next:      check the name, or add its folder with --kernels"
    )
    with pytest.raises(PlanError) as caught:
        make_plan([SECOND], [matmul_kernel()], takes_all, require=["mine"])
    assert str(caught.value) == (
        "second_work: the required kernel mine took no dispatch\n"
        "  expected:  result 0 : f32 as it is (the kernel has no epilogue slot)\n"
        "  found:     maximumf(in0, 0.0) : f32 (rule structure.epilogue)\n"
        "  next:      `iree-substitute explain` shows every rule for one dispatch"
    )
    with pytest.raises(PlanError) as caught:
        make_plan([OTHER], [matmul_kernel()], takes_all, require=["mine"])
    assert str(caught.value) == (
        "the required kernel mine took no dispatch\n"
        "  expected:  a dispatch of its backend\n"
        "  found:     none in this model\n"
        "  next:      `iree-substitute explain` shows every rule for one dispatch"
    )


def test_a_required_kernel_that_another_one_beat() -> None:
    """It fits, but its place is taken."""
    better = matmul_kernel(name="better", priority=1)
    with pytest.raises(PlanError) as caught:
        make_plan([FIRST], [matmul_kernel(), better], takes_all, require=["mine"])
    assert str(caught.value) == (
        "first_work: the required kernel mine took no dispatch\n"
        "  expected:  the best kernel that fits\n"
        "  found:     better goes first\n"
        "  next:      give it a higher `priority` in its kernel.toml"
    )


def test_the_nearest_miss_got_furthest() -> None:
    wrong_target = matmul_kernel(name="gpu", targets=[VULKAN_RULE])
    wrong_shape = matmul_kernel(name="shape", constraints=["N > 99"])
    wrong_layout = decision(
        matmul_kernel(name="strided"),
        matmul_dispatch(
            after="""
  %s_e = tensor.empty() : !8x8xf32
  %s = linalg.transpose ins(%r : !8x8xf32) outs(%s_e : !8x8xf32) permutation = [1, 0]"""
        ),
    )
    decisions = [decision(k, FIRST) for k in (wrong_target, wrong_shape)]
    near = nearest_miss([*decisions, wrong_layout])
    assert near is not None
    assert near.kernel.name == "shape"
    near = nearest_miss([decisions[0], wrong_layout])
    assert near is not None
    assert near.kernel.name == "strided"
    assert nearest_miss([decision(matmul_kernel(), FIRST)]) is None
    assert Path("kernels/gpu") == wrong_target.folder

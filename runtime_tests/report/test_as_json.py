"""JSON whose field names programs rely on."""

import json

import pytest

from substitute.model.index import push
from substitute.model.payload_kind import PayloadFormat
from substitute.model.plan import Decision, Payload, Plan
from substitute.report.as_json import explanation_to_json, inspection_to_json, plan_to_json

pytestmark = pytest.mark.unit


def test_inspection(plan: Plan) -> None:
    taken, near, unread = inspection_to_json(plan)["dispatches"]
    assert taken == {
        "name": "m$async_dispatch_0_matmul",
        "executable": "main",
        "target": "llvm-cpu",
        "format": "embedded-elf-x86_64",
        "kind": "contraction",
        "read": True,
        "reason": "",
        "kernel": "matmul_f32",
        "form": "plain",
        "axes": {"M": 64, "N": 32, "K": 1},
        "parameters": {},
        "operations": ["linalg.fill", "linalg.matmul"],
        "operands": [
            {"type": "64x48xf32", "access": "readonly", "kind": "binding", "binding": 0},
            {"type": "48x32xf32", "access": "readonly", "kind": "binding", "binding": 1},
            {"type": "64x32xf32", "access": "writeonly", "kind": "binding", "binding": 2},
        ],
        "flops": 198656,
        "bytes": 26624,
        "nearest": None,
        "check": None,
    }
    assert (near["kernel"], near["flops"], near["operands"][0]["type"]) == (None, None, "?x48xf32")
    assert near["nearest"] == {
        "kernel": "matmul_f32",
        "rule": "constraint",
        "expected": "N % 16 == 0",
        "found": "N = 33",
    }
    assert (unread["read"], unread["reason"], unread["operands"]) == (False, "tensor.unpack is not known", [])


def test_plan_without_and_with_payloads(plan: Plan) -> None:
    bare = plan_to_json(plan)
    assert bare["schema"] == 1
    assert bare["substitutions"] == [
        {
            "dispatch": "m$async_dispatch_0_matmul",
            "kernel": "matmul_f32",
            "form": "plain",
            "axes": {"M": 64, "N": 32, "K": 1},
            "parameters": {},
            "device": [],
            "fallback": ["M % 4 == 0"],
            "payload": {"kind": "llvm-generator", "entry": "matmul"},
        }
    ]
    assert [entry["dispatch"] for entry in bare["unsubstituted"]] == [d.name for d in plan.dispatches[1:]]
    payload = Payload(
        format=PayloadFormat.BITCODE,
        data=b"BC",
        entry="e",
        workgroup_count=(push(0), 2, 1),
        workgroup_size=(64, 1, 1),
        summary="6×16 tiles",
    )
    full = plan_to_json(plan, {plan.dispatches[0].name: payload})
    assert full["substitutions"][0]["payload"] == {
        "kind": "llvm-bitcode",
        "entry": "e",
        "size_bytes": 2,
        "sha256": "768921a22b8e190c2cfafeb0688f0d58a5f76ee4c7fb369758a208c7ba5e9acb",
        "workgroup_count": ["push(0)", 2, 1],
        "workgroup_size": [64, 1, 1],
        "shared_memory_bytes": 0,
        "summary": "6×16 tiles",
    }
    assert json.loads(json.dumps(full)) == full


def test_explanation(plan: Plan, accepted: Decision, rejected: Decision) -> None:
    fits, fails = explanation_to_json([accepted, rejected], plan)["decisions"]
    assert (fits["accepted"], fits["form"], fits["axes"]) == (True, "plain", {"M": 64, "N": 32, "K": 1})
    assert (fails["accepted"], fails["form"], fails["axes"]) == (False, None, None)
    assert fails["rules"][1] == {
        "rule": "constraint",
        "passed": False,
        "expected": "N % 16 == 0",
        "found": "N = 33",
    }

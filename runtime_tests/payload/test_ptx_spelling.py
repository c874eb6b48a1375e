"""PTX as people and older tools spell it: words without a space between them, elements of arrays, constants."""

import pytest

from runtime_tests.cuda_sim.lane_programs import Out, run_kernel
from substitute.errors import PayloadError
from substitute.payload.ptx.parse import parse
from substitute.payload.ptx.verification import verify

pytestmark = pytest.mark.unit
HEADER = ".version 8.0\n.target {target}\n.address_size 64\n"
TEXT = (
    HEADER.format(target="sm_80")
    + """
.global .align 4 .u32 table[4] = {{10, 20, 30, 40}};
.func (.reg .v2 .b32 r) swap(.reg .v2 .b32 v) {{ mov.b32 r.x, v.y; mov.b32 r.y, v.x; ret; }}
.func (.param.b32 r) down(.param.b32 x)
{{
  .reg.b32 %x; .reg.pred %p;
  ld.param.b32 %x, [x]; setp.gt.u32 %p, %x, 100; @%p bra END;
  {{ .param.b32 a; .param.b32 b; st.param.b32 [a], %x; call.uni (b), down, (a); ld.param.b32 %x, [b]; }}
END:
  st.param.b32 [r], %x; ret;
}}
.visible .entry k(.param.u64 p)
{{
  .reg.b64 %o, %s; .reg.b32 %v, %w, %one; .reg .v2 .b32 a, b; .shared.align 16 .b8 tile[64];
  ld.param.u64 %o, [p]; mov.u64 %s, tile[0]; mov.b32 %one, 1; mov.b32 %w, 0;
  mov.b32 a.x, 5; mov.b32 a.y, 7;
  {body}
  st.global.u32 [%o], %v;
  ret;
}}
"""
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("ld.global.u32 %v, table[2];", 30),
        ("ld.global.u32 %v, table[%one];", 20),
        ("ld.global.u32 %v, table[%one+1];", 30),
        ("mov.u64 %s, tile[8]; mov.u64 %o, %o; cvt.u32.u64 %v, %s;", 8),
        ("mov.b32 %v, (3+4);", 7),
        ("mov.b32 %v, (3+4)*2;", 14),
        ("mov.b32 %v, 5>3?10:20;", 10),
        ("mov.b32 %v, 5<3?10:2==2?30:20;", 30),
        ("mov.b32 %v, 1<<4|3;", 19),
        ("mov.b32 %v, -7 % 3 + 5;", 4),
        ("mov.b32 %v, -7 / 2 + 5;", 2),
        ("mov.b32 %v, 1 && 0 || 6 >= 6;", 1),
        ("call (b), swap, (a); sub.u32 %v, b.x, b.y;", 2),
    ],
)
def test_operands(body, value):
    (found,), report = run_kernel(TEXT.format(body=body), "k", [Out((1,), "u4")], block=(1, 1, 1), target="sm_80")
    assert found.tolist() == [value] and not report.findings


@pytest.mark.parametrize("body", ["ld.global.u32 %v, table[];", "mov.b32 %v, 5>3?10;", "ld.global.u32 %v, down[1];"])
def test_operands_that_are_none(body):
    with pytest.raises(PayloadError):
        parse(TEXT.format(body=body))


@pytest.mark.parametrize("comment", ["// größe", "/* → */"])  # noqa: RUF100
def test_only_ascii(comment):
    with pytest.raises(PayloadError, match="not ASCII"):
        parse(TEXT.format(body=comment))


@pytest.mark.parametrize(("version", "target"), [("6.0", "sm_30"), ("7.0", "sm_35"), ("4.0", "sm_20")])
def test_old_targets(version, target):
    text = f".version {version}\n.target {target}\n.address_size 64\n.visible .entry k(.param .u64 p) {{ ret; }}\n"
    facts = verify(text, entry="k", bindings=1, push_constants=0, target_arch="sm_80", workgroup_size=(32, 1, 1))
    assert facts.target == target
    with pytest.raises(PayloadError, match="no target"):
        verify(
            text.replace(target, "sm_33"),
            entry="k",
            bindings=1,
            push_constants=0,
            target_arch="sm_80",
            workgroup_size=(32, 1, 1),
        )

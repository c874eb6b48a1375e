"""A sample of `python -m runtime_tests.ptx_semantics`; and modifiers that no instruction has."""

import random
from dataclasses import replace

import pytest

from runtime_tests.ptx_semantics.__main__ import every_form, refused_by_ptxas
from runtime_tests.ptx_semantics.running import HEADER, differences, kernel
from substitute.device.cuda_sim.builders import BUILDERS
from substitute.device.cuda_sim.faults import LoadError
from substitute.device.cuda_sim.modifiers import HARMLESS
from substitute.device.cuda_sim.program import load
from substitute.payload.programs import find_program

pytestmark = pytest.mark.unit
FORMS = every_form()
SAMPLE = random.Random(12).sample(FORMS, 250)


def test_a_sample_of_all_forms():
    assert not [str(one) for one in differences(SAMPLE, seed=3)]


def test_a_wrong_result_is_seen():
    """The twin: a reference that is wrong in one operand's sign is a difference."""
    form = next(f for f in FORMS if f.text.startswith("max.s32"))
    other = replace(form, reference=lambda a, b: max(a, b))  # of bits, where negative numbers are the largest
    assert not differences([form], seed=3) and differences([other], seed=3)


def test_ptxas_knows_every_form():
    assert not refused_by_ptxas(FORMS)


def _with(text: str, word: str, source: random.Random) -> str:
    """A modifier put somewhere into an opcode."""
    opcode, _, rest = text.partition(" ")
    parts = opcode.split(".")
    at = source.randrange(1, len(parts) + 1)
    return f"{'.'.join([*parts[:at], word, *parts[at:]])} {rest}"


def _loads(form, text: str) -> bool:
    try:
        load(kernel([replace(form, text=text)]), "sm_90a").entries["k"]
    except LoadError:
        return False
    return True


def test_a_modifier_that_an_instruction_has_not_is_never_dropped():
    """Every word that means something to some instruction, put where it means nothing: ptxas says where that is.

    Without ptxas only words that the instruction has in none of its forms.
    """
    source = random.Random(4)
    words = "ftz sat relu NaN cc satfinite rm approx hi wide xorsign clamp noise and".split()  # noqa: SIM905
    known: dict[str, set[str]] = {}
    for form in FORMS:
        opcode = form.text.split(" ")[0].split(".")
        known.setdefault(opcode[0], set()).update(opcode, HARMLESS.get(opcode[0], ()))
    taken = []
    for form in source.sample(FORMS, 120):
        word = source.choice(words)
        text = _with(form.text, word, source)
        if word not in form.text and _loads(form, text):
            taken.append((replace(form, text=text), word))
    assert len(taken) < 30
    if find_program("ptxas") is None:
        assert not [form.text for form, word in taken if word not in known[form.text.split(".")[0]]]
    else:
        # `.ftz` and the like may stand anywhere among the modifiers to us, and ptxas wants them in order
        texts = refused_by_ptxas([form for form, _ in taken])
        assert not [text for text in texts if "Illegal modifier" in text or "Illegal rounding" in text]


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_no_instruction_takes_a_word_that_does_not_exist(name):
    """With operands of any kind: either it is refused, or the word is to blame."""
    for operands in ("%a, %b, %c", "%a, [%l]", "[%l], %a", "%a, %a, %a, %a", "%p, %a, %a", "", "%a", "%l, %l"):
        text = f"{HEADER}.visible .entry k() {{ .reg .b32 %a, %b, %c; .reg .b64 %l; .reg .pred %p;\n"
        with pytest.raises(LoadError):
            load(f"{text}{name}.noise.b32 {operands};\nret; }}", "sm_90a").entries["k"]

"""The processor's name tells generations apart, also where a virtual machine hides the model."""

import pytest

from ldmbench.processor import name_in, processor_name

X86 = (
    "processor\t: 0\ncpu family\t: {family}\nmodel\t\t: {model}\n"
    "model name\t: {name}\nstepping\t: {stepping}\n"
)
ARM = (
    "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n"
    "CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("AMD EPYC 7B13", "AMD EPYC 7B13 (family 25, model 1, stepping 1)"),
        ("AMD EPYC", "AMD EPYC (family 25, model 1, stepping 1)"),
        (
            "Intel(R) Xeon(R) CPU @ 2.20GHz",
            "Intel(R) Xeon(R) CPU @ 2.20GHz (family 25, model 1, stepping 1)",
        ),
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",) * 2,
        ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz",) * 2,
    ],
)
def test_a_name_without_a_model_number_gets_family_model_and_stepping(name, found):
    text = X86.format(name=name, family=25, model=1, stepping=1)
    assert name_in(f"{text}\n{text.replace('0', '1')}") == found


def test_an_arm_processor_is_named_by_its_numbers():
    found = "ARM (implementer 0x41, part 0xd0c, variant 0x3, revision 1)"
    assert name_in(ARM) == found


def test_text_without_a_processor_gives_no_name_and_this_machine_has_one():
    assert name_in("") == ""
    assert processor_name().strip()

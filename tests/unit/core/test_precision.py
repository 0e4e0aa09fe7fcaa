import pytest
import torch

from merkit.core.precision import has_native_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),  # Zen 4
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": True}, True),  # Sapphire Rapids
        ({"architecture": "aarch64", "bf16": True, "sve": True}, True),  # Graviton 3
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),  # Skylake
        ({"architecture": "aarch64", "bf16": False}, False),  # Graviton 2
        ({}, False),
    ],
)
def test_a_processor_is_asked_for_its_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    assert has_native_bfloat16(CPU) is native


def test_a_pytorch_that_cannot_ask_the_processor_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)

    assert not has_native_bfloat16(CPU)


@pytest.mark.parametrize("native", [True, False])
def test_emulation_on_a_gpu_does_not_count(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)

    assert has_native_bfloat16(torch.device("cuda")) is native
    assert not has_native_bfloat16(torch.device("mps"))

"""The precision in which sums, softmaxes and losses are computed: float32 at least, whatever autocast chose before.

And whether a device computes in bfloat16 at all.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor


def at_least_float32(data: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Return half-precision data and whole numbers as float32; float32 and float64 stay as they are."""
    return data.to(torch.promote_types(data.dtype, torch.float32))


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies matrices of bfloat16 in hardware; emulation takes longer than float32.

    A processor is asked for AVX-512 BF16, AMX or Arm's BF16; a PyTorch that cannot ask it (before 2.13) says no.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))

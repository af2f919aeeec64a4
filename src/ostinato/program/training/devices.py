"""The device of a network, checked before anything is written."""

from __future__ import annotations

import torch

from ...errors import InputError, phrase


def check_device(name: str, where: str) -> None:
    """Raises InputError for a device that torch does not know, or that this machine or this torch does not have."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        received = f"{name!r} ({str(error).splitlines()[0].rstrip('.')})"
        expected = "a device that torch has on this machine"
        raise InputError(phrase(where, "--device", expected, received, "Write --device cpu.")) from None

"""Fields of records: their unit, their key in JSON, and whether their last dimension counts rows.

An attribute is short, its key in JSON names the unit: `norms` is written as "norms_loss_per_state_unit".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any


def quantity(unit: str, *, json: str | None = None, over_rows: bool = False) -> Mapping[str, Any]:
    """The metadata of a dataclass field that holds measured numbers.

    unit       in words, such as "loss per unit of the state"
    json       the key in JSON; by default the attribute's name
    over_rows  whether the last dimension counts rows or segments, and is written as its quantiles
    """
    return {"unit": unit, "json": json, "over_rows": over_rows}


def json_key(field: Field[Any]) -> str:
    """The key under which a field is written."""
    return field.metadata.get("json") or field.name


def is_over_rows(field: Field[Any]) -> bool:
    """Whether the last dimension of a field's values counts rows or segments."""
    return bool(field.metadata.get("over_rows"))

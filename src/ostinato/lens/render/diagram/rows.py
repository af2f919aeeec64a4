"""What the folded and the unfolded picture share: blocks in rows from below upward, and their labels."""

from __future__ import annotations

from dataclasses import dataclass

from .flow import Block, Edge, Flow, Shape


@dataclass(frozen=True)
class Row:
    """One row of boxes: several inputs or outputs side by side, or one block, or one layer of a recurrent block."""

    blocks: tuple[int, ...]
    """Numbers of its blocks in the flow."""
    layer: int = 0
    """Which layer of a recurrent block, from 0."""


def rows_of(flow: Flow) -> list[Row]:
    """Rows from below: the inputs that are read, each block or layer, the outputs."""
    read = {e.source for e in flow.edges}
    inputs = tuple(k for k, b in enumerate(flow.blocks) if b.kind == "input" and k in read)
    outputs = tuple(k for k, b in enumerate(flow.blocks) if b.kind == "output")
    between = [k for k, b in enumerate(flow.blocks) if b.kind not in ("input", "output")]
    layers = [Row((k,), layer) for k in between for layer in range(layers_of(flow.blocks[k]))]
    return [*([Row(inputs)] if inputs else []), *layers, *([Row(outputs)] if outputs else [])]


def layers_of(block: Block) -> int:
    """Rows that a block takes."""
    return block.recurrence.layers if block.recurrence else 1


def first_and_last(rows: list[Row]) -> dict[int, tuple[int, int]]:
    """block → the rows of its first and its last layer."""
    span: dict[int, tuple[int, int]] = {}
    for r, row in enumerate(rows):
        for k in row.blocks:
            span[k] = (span[k][0], r) if k in span else (r, r)
    return span


def between_layers(flow: Flow, row: Row) -> Shape | None:
    """The shape between a layer of a block and the next one; None for the last layer, and where there is one layer."""
    block = flow.blocks[row.blocks[0]]
    if block.recurrence is None or row.layer + 1 >= block.recurrence.layers:
        return None
    given = next((e.given for e in flow.edges if e.source == row.blocks[0] and not e.from_state), None)
    return given if given is not None else ("…", str(block.recurrence.width))


def heading(block: Block, layer: int = 0) -> tuple[str, str]:
    """A box in two lines: its name, and its kind with its sizes."""
    many = layers_of(block)
    detail = block.detail
    if layer and block.recurrence:
        detail = f"{block.recurrence.width} → {block.recurrence.width}"
    elif many > 1 and block.recurrence:
        detail = f"{block.detail.split(' → ')[0]} → {block.recurrence.width}"
    which = f", layer {layer + 1} of {many}" if many > 1 else ""
    calls = f" × {block.calls} calls" if block.calls > 1 else ""
    kind = f"{block.kind} {detail}".strip()
    return (f"{block.name}{which}", kind + calls) if block.name else (f"{block.kind}{which}", detail + calls)


def written(shape: Shape, *, per_step: bool = False) -> str:
    """[T, B, 64]; for one step [B, 64]."""
    return f"[{', '.join(n for n in shape if not (per_step and n.startswith('T')))}]"


def between(edge: Edge, *, per_step: bool = False) -> str:
    """The label of an arrow: one shape, or the output's shape, which steps are read, and the shape that is read."""
    given, read = written(edge.given, per_step=per_step), written(edge.read, per_step=per_step)
    if edge.from_state:
        return f"last state {given}" + ("" if given == read else f" → {read}")
    steps = _STEPS[edge.steps] if edge.given and any(n.startswith("T") for n in edge.given) else ""
    if not steps and given == read:
        return given
    return f"{given} {steps} → {read}" if steps else f"{given} → {read}"


_STEPS = {
    "each": "",
    "last": "last step",
    "first": "first step",
    "first and last": "first and last step",
    "one of each row": "one step of each row",
    "all": "all steps",
    "some": "some steps",
}


def states_in_words(block: Block) -> list[str]:
    """["h, c [B, 64]"], or a line for each state where their shapes differ."""
    if block.recurrence is None:
        return ["state"]
    states = block.recurrence.states
    if len(set(states.values())) == 1:
        return [f"{', '.join(states)} {written(next(iter(states.values())))}"]
    return [f"{name} {written(shape)}" for name, shape in states.items()]


def description(flow: Flow) -> str:
    """The picture in a sentence for each arrow, for screen readers."""
    names = [b.name or b.kind for b in flow.blocks]
    parts = [f"{names[e.source]} gives {between(e)} to {names[e.target]}." for e in flow.edges]
    for block in flow.blocks:
        if block.recurrence:
            r = block.recurrence
            ways = " in two directions" if r.directions == 2 else ""
            parts.append(
                f"{block.name or block.kind} hands on {'; '.join(states_in_words(block))} from step to step{ways}, "
                f"{r.layers} layer{'s' if r.layers > 1 else ''}."
            )
    return " ".join(parts)

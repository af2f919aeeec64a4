"""The heat maps of a page: every state, and every gate of the recurrent layers."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from ...cells.operations import OPERATIONS
from ...kernels.network.layout import NetworkLayout
from ...lens.render.html.markup import Html, tag
from ...network import Recurrent

MOST_STATES, MOST_GATES = 8, 24
PICTURES_STYLE = """
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem 1.5rem;
  margin-bottom: 1rem; }
@media (max-width: 32rem) { .maps { grid-template-columns: 1fr 1fr; gap: 0.75rem 1rem; } }
.maps h4 { font-size: 1rem; margin: 0 0 0.3rem; }
.maps small, .live h3 small { font-weight: normal; color: var(--dim); }
"""


def pictures(layout: NetworkLayout) -> list[dict[str, Any]]:
    """What the page draws, a record for each heat map, those of a node side by side.

    kind       "state" or "gate"
    name       "h", beside the node's `place`; `full` is both
    at, width  its first number in the memory of states, or of the workspace, and how many it has
    range      of a gate's activation; None where it is not finite, and for states: the greatest number that is drawn
    """
    network = layout.network
    found: list[tuple[int, dict[str, Any]]] = [
        (f.node, {"kind": "state", "full": f.name, "at": layout.states[f.name], "width": f.width, "range": None})
        for f in network.states[:MOST_STATES]
    ]
    drawn = {k for k, _ in found}
    gates = [p for p in layout.probes if p.node in drawn][:MOST_GATES]
    found += [
        (
            p.node,
            {"kind": "gate", "full": p.name, "at": p.column, "width": p.width, "range": OPERATIONS[p.operation].range},
        )
        for p in gates
    ]
    found.sort(key=lambda pair: pair[0])  # stable: the states of a node, then its gates
    return [
        {**record, "place": network.nodes[k].place, "name": record["full"].removeprefix(f"{network.nodes[k].place}.")}
        for k, record in found
    ]


def picture_section(layout: NetworkLayout, drawn: list[dict[str, Any]]) -> Html:
    """The section of the heat maps, a heading and a grid for each node; nothing for a network without states."""
    if not drawn:
        return Html("")
    has_gates = any(p["kind"] == "gate" for p in drawn)
    left_out = [
        f" {more} more {word} not drawn."
        for more, word in (
            (len(layout.network.states) - sum(p["kind"] == "state" for p in drawn), "states are"),
            (len(layout.probes) - sum(p["kind"] == "gate" for p in drawn), "gates are"),
        )
        if more > 0
    ]
    lead = (
        "A row for each unit, a column for each step. Blue is negative, orange positive; the range beside the name is "
        "that of the colours." + "".join(left_out)
    )
    layers = {
        n.place: f"{n.cell.name} {n.sizes[0]} → {n.width}" for n in layout.network.nodes if isinstance(n, Recurrent)
    }
    parts = []
    for place, of_node in groupby(enumerate(drawn), key=lambda pair: pair[1]["place"]):
        heading = f"layer {place}" if place.isdigit() else place
        parts.append(tag("h3", f"{heading} ", tag("small", layers.get(place, ""))))
        for _, group in groupby(of_node, key=lambda pair: pair[1]["kind"]):
            parts.append(tag("div", *(_figure(k, p) for k, p in group), class_="maps"))
    title = "States and gates" if has_gates else "States"
    return tag("section", tag("h2", title), tag("p", lead, class_="lead"), *parts)


def _figure(k: int, p: dict[str, Any]) -> Html:
    units = f"{p['kind']}, {p['width']} {'unit' if p['width'] == 1 else 'units'}"
    title = tag("h4", f"{p['name']} ", tag("small", units, tag("span", id=f"picture{k}-range")))
    words = f"The {p['kind']} {p['full']}, a column for each step"
    return tag("figure", title, tag("canvas", id=f"picture{k}", role="img", aria_label=words))

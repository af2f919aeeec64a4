"""The folded picture: a box for each layer, a loop for each state, shapes on the arrows."""

from __future__ import annotations

from .flow import Block, Edge, Flow
from .rows import Row, between, between_layers, description, first_and_last, heading, rows_of, states_in_words, written
from .svg import SMALL, Svg, width

_BOX, _WORD = 44.0, 18.0  # the height of a row of boxes, and of one of words
_GAP, _FORK, _SEGMENT = 40.0, 14.0, 16.0  # between rows; more for a fork or a joint, and for each line that turns there
_LANE, _MARGIN, _LOOP, _TOP = 16.0, 16.0, 30.0, 58.0


def folded(flow: Flow, title: str) -> tuple[str, float, float]:
    """The SVG of a flow, with its width and height."""
    return _Folded(flow).draw(title)


class _Folded:
    """The layout: rows from below upward around one middle, arrows that pass a row in lanes on the left."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.rows, self.svg = flow, rows_of(flow), Svg()
        self.place = first_and_last(self.rows)
        self.lanes = [e for e in flow.edges if not self.adjacent(e)]
        self.turns: list[list[tuple[int, bool]]] = [[] for _ in self.rows]  # above a row: (lane, whether it ends there)
        for k, e in enumerate(self.lanes):
            self.turns[self.place[e.source][1]].append((k, False))
            self.turns[self.place[e.target][0] - 1].append((k, True))
        self.heights = [_BOX if self.boxed(row) else _WORD for row in self.rows]
        self.gaps = [
            _GAP + _SEGMENT * len(self.turns[r]) + _FORK * (self.two(r) + (r + 1 < len(self.rows) and self.two(r + 1)))
            for r in range(len(self.rows))
        ]
        self.tops = [_TOP + sum(self.heights[r + 1 :]) + sum(self.gaps[r:-1]) for r in range(len(self.rows))]
        self.height = self.tops[0] + self.heights[0] + _MARGIN
        self._across()

    def _across(self) -> None:
        """Widths of the boxes and of the labels beside them, and the middle."""
        flow = self.flow
        named = [heading(flow.blocks[k], row.layer) for row in self.rows for k in row.blocks if self.boxed(row)]
        self.wide = max([96.0, *(max(width(a + " →") * 1.1, width(b, SMALL)) + 20 for a, b in named)])
        loops = [
            w for b in flow.blocks if b.recurrence or b.looped for w in [*states_in_words(b), "to the step before"]
        ]
        loop = _LOOP + 8 + max(width(w, SMALL) for w in loops) if loops else 0.0
        labels = max((width(between(e), SMALL) + 14 for e in flow.edges if self.adjacent(e)), default=0.0)
        two = any(self.two(r) for r in range(len(self.rows)))
        half = self.wide + 8 if two else self.wide / 2
        ends = max(self.side_by_side(row) for row in self.rows if not self.boxed(row)) / 2
        left = half + (loop if two else 0.0)
        self.lane_at = -left - 12
        left += 12 + _LANE * len(self.lanes) if self.lanes else 0.0
        left = max([left, ends, *(width(between(e), SMALL) + self.wide / 2 + 12 for e in self.lanes)])
        self.centre = _MARGIN + left
        self.lane_at += self.centre
        self.full = self.centre + max(half + loop, ends, labels + ends / 2) + _MARGIN

    def boxed(self, row: Row) -> bool:
        return self.flow.blocks[row.blocks[0]].kind not in ("input", "output")

    def two(self, r: int) -> bool:
        """Whether a row has two directions."""
        recurrence = self.flow.blocks[self.rows[r].blocks[0]].recurrence
        return recurrence is not None and recurrence.directions == 2

    def side_by_side(self, row: Row) -> float:
        """The width of inputs, or outputs, that stand in one row."""
        return sum(max(120.0, width(self.flow.blocks[k].name) + 24) for k in row.blocks)

    def adjacent(self, e: Edge) -> bool:
        """Whether an arrow straight up will do."""
        return self.place[e.target][0] == self.place[e.source][1] + 1 and not e.to_state

    def x(self, block: int) -> float:
        """The middle of a block. Inputs with straight arrows are to the right of those in lanes."""
        row = self.rows[self.place[block][0]]
        if self.boxed(row):
            return self.centre
        lanes = {e.source for e in self.lanes} | {e.target for e in self.lanes}
        order = sorted(row.blocks, key=lambda k: (k not in lanes, k))
        widths = [max(120.0, width(self.flow.blocks[k].name) + 24) for k in order]
        at = order.index(block)
        return self.centre - sum(widths) / 2 + sum(widths[:at]) + widths[at] / 2

    def draw(self, title: str) -> tuple[str, float, float]:
        for r, row in enumerate(self.rows):
            shape = between_layers(self.flow, row) if self.boxed(row) else None
            if shape is not None:
                self.arrow(self.centre, r, self.centre, written(shape))
        for e in self.flow.edges:
            if self.adjacent(e):
                self.arrow(self.x(e.source), self.place[e.source][1], self.x(e.target), between(e), dashed=not e.proved)
        for k, e in enumerate(self.lanes):
            self.lane(e, k)
        for r, row in enumerate(self.rows):
            self.boxes(r, row)
        sizes = ", ".join(f"{k} = {v}" for k, v in self.flow.sizes.items())
        known = f"folded; in the example {sizes}" if sizes else "folded"
        self.svg.words(_MARGIN, 22, title, at="start", bold=True)
        self.svg.words(_MARGIN, 38, known, size=SMALL, at="start")
        wide = max(self.full, _MARGIN * 2 + width(title) * 1.1, _MARGIN * 2 + width(known, SMALL))
        return self.svg.document(wide, self.height, title, description(self.flow)), wide, self.height

    def arrow(self, x0: float, low: int, x1: float, words: str, *, dashed: bool = False) -> None:
        """From the row `low` up into the row above, from a joint and over a fork where a row has two directions."""
        start, end = self.tops[low], self.tops[low + 1] + self.heights[low + 1]
        reach = self.wide / 2 + 8
        if self.two(low):
            for side in (-1, 1):
                path = [(x0 + side * reach, start), (x0 + side * reach, start - _FORK), (x0, start - _FORK)]
                self.svg.line(path, arrow=False)
            start -= _FORK
            self.svg.joint(x0, start)
        bend = end + _FORK if self.two(low + 1) or x0 != x1 else end
        path = [(x0, start), (x0, bend), (x1, bend)] if x0 != x1 else [(x0, start), (x0, bend)]
        if self.two(low + 1):
            self.svg.line(path, arrow=False, dashed=dashed)
            self.svg.joint(x1, bend)
            for side in (-1, 1):
                self.svg.line([(x1, bend), (x1 + side * reach, bend), (x1 + side * reach, end)], dashed=dashed)
        else:
            self.svg.line(path if bend == end else [*path, (x1, end)], dashed=dashed)
        self.svg.words(x0 + 9, (start + bend) / 2 + 4, words, size=SMALL, at="start")

    def lane(self, e: Edge, k: int) -> None:
        """An arrow that goes round the boxes between, on the left."""
        low, high = self.place[e.source][1], self.place[e.target][0] - 1
        x0, x1, at = self.x(e.source), self.x(e.target), self.lane_at - _LANE * k
        out = x0 - (22 + 9 * self.turns[low].index((k, False)) if self.boxed(self.rows[low]) else 0)
        into = x1 - (22 + 9 * self.turns[high].index((k, True)) if self.boxed(self.rows[high + 1]) else 0)
        start, end = self.tops[low], self.tops[high + 1] + self.heights[high + 1]
        y0 = start - 8 - _SEGMENT * self.turns[low].index((k, False)) - (_FORK if self.two(low) else 0)
        y1 = self.tops[high] - 8 - _SEGMENT * self.turns[high].index((k, True))
        y1 -= _FORK if self.two(high) else 0
        path = [(out, start), (out, y0), (at, y0), (at, y1), (into, y1), (into, end)]
        self.svg.line(path, state=e.to_state, dashed=not e.proved)
        self.svg.words(into - 6, y1 - 4, between(e), size=SMALL, at="end")

    def boxes(self, r: int, row: Row) -> None:
        y = self.tops[r]
        if not self.boxed(row):
            for k in row.blocks:
                self.svg.words(self.x(k), y + (13 if r == 0 else 10), self.flow.blocks[k].name, bold=True)
            return
        block = self.flow.blocks[row.blocks[0]]
        for way in range(1 + self.two(r)):
            x = self.centre - self.wide / 2 + ((way - 0.5) * (self.wide + 16) if self.two(r) else 0)
            if block.recurrence or block.looped:
                self.loop(x, y, block, left=self.two(r) and way == 0, ahead=way == 1)
            self.svg.box(x, y, self.wide, _BOX, strong=bool(block.recurrence or block.looped))
            first, second = heading(block, row.layer)
            mark = (" →", " ←")[way] if self.two(r) else ""
            self.svg.words(x + self.wide / 2, y + (18 if second else 26), first + mark, bold=True)
            self.svg.words(x + self.wide / 2, y + 34, second, size=SMALL)

    def loop(self, x: float, y: float, block: Block, *, left: bool, ahead: bool) -> None:
        """The way of a state back into its own box, at the box's right or left."""
        edge, out = (x, x - _LOOP) if left else (x + self.wide, x + self.wide + _LOOP)
        self.svg.line([(edge, y + 10), (out, y + 10), (out, y + _BOX - 10), (edge, y + _BOX - 10)], state=True)
        words = [*states_in_words(block), "to the step before" if ahead else "to the next step"]
        begin = y + _BOX / 2 + 4 - 7 * (len(words) - 1)
        for k, line in enumerate(words):
            self.svg.words(out + (-6 if left else 6), begin + 14 * k, line, size=SMALL, at="end" if left else "start")

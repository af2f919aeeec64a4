"""The unfolded picture: a column of boxes for each step, with arrows for the states from column to column."""

from __future__ import annotations

from dataclasses import replace

from .flow import Block, Edge, Flow, Shape
from .rows import Row, between_layers, description, first_and_last, heading, rows_of, written
from .svg import SMALL, Point, Svg, width

_BOX, _WORD, _APART = 36.0, 18.0, 22.0  # heights of a box, of a word, and between the boxes of two directions
_GAP, _FORK, _TURN = 38.0, 14.0, 14.0  # between rows; more for a fork or a joint, and for each line that turns there
_MARGIN, _TOP, _STUB, _LANE = 16.0, 64.0, 34.0, 8.0
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def unfolded(flow: Flow, title: str, steps: int) -> tuple[str, float, float]:
    """The SVG of a flow unfolded for so many steps, with its width and height."""
    return _Unfolded(flow, steps).draw(title)


class _Unfolded:
    """The layout: rows from below upward, columns from the first step to the last."""

    def __init__(self, flow: Flow, steps: int) -> None:
        # Lengths and their like are no part of a step; the picture is that of a row which has all of them.
        kept = [e for e in flow.edges if not (flow.blocks[e.target].recurrence and e.read == ("B",))]
        self.flow, self.steps, self.svg = replace(flow, edges=tuple(kept)), steps, Svg()
        self.rows = rows_of(self.flow)
        self.place = first_and_last(self.rows)
        self.turning: list[list[Edge]] = [[] for _ in self.rows]  # edges that turn in the gap below a row
        for e in self.flow.edges:
            if not self.straight(e):
                self.turning[self.place[e.target][0]].append(e)
        self._across()
        self.heights = [self.high(r) for r in range(len(self.rows))]
        self.gaps = [
            _GAP + _TURN * len(self.turning[r + 1]) + _FORK * (self.two(r) + self.two(r + 1))
            for r in range(len(self.rows) - 1)
        ]
        self.tops = [_TOP + sum(self.heights[r + 1 :]) + sum(self.gaps[r:]) for r in range(len(self.rows))]
        self.height = self.tops[0] + self.heights[0] + _MARGIN

    def _across(self) -> None:
        """Widths, from left: names of rows, starts of states, columns, ends of states."""
        blocks = self.flow.blocks
        boxed = [k for k, b in enumerate(blocks) if b.kind not in ("input", "output")]
        self.box = max([52.0, *(width(_short(blocks[k].kind) + " →", SMALL) + 14 for k in boxed)])
        several = any(self.two(r) for r in range(len(self.rows)))
        self.side = self.box / 2 + 6 if several else 0.0
        self.half = self.box / 2 + self.side
        self.lanes = [e for e in self.flow.edges if self.timed(e) and not self.straight(e)]
        words = [w for b in blocks for w in _beside(b)]
        apart = max([30.0, *(width(w, SMALL) + 24 for w in words)]) + _LANE * len(self.lanes)
        shapes = [width(self.words(e), SMALL) + 12 for e in self.flow.edges]
        ends = [sum(self.end_width(blocks[k]) for k in row.blocks) for row in self.rows if not self.boxed(row)]
        self.pitch = max([2 * self.half + apart, self.half + max(shapes, default=0.0), *(w + 10 for w in ends)])
        names = [line for row in self.rows if self.boxed(row) for line in heading(blocks[row.blocks[0]], row.layer)]
        self.named = max((width(n, SMALL) * 1.1 for n in names), default=0.0)
        starts = max((width(_start(b), SMALL) for b in blocks if b.recurrence), default=0.0)
        self.start = _MARGIN + self.named + 14 + starts + 6
        self.left = self.start + _STUB + self.half
        last = self.left + self.pitch * (self.steps - 1)
        beside_lanes = [width(self.words(e), SMALL) + 10 for e in self.lanes]
        self.end = last + self.half + max([_STUB, *beside_lanes]) + _LANE * len(self.lanes)
        self.full = self.end + max([24.0, *(width(w, SMALL) + 12 for w in words), *shapes]) + _MARGIN

    # What a row, a block or an edge is.

    def boxed(self, row: Row) -> bool:
        return self.flow.blocks[row.blocks[0]].kind not in ("input", "output")

    def two(self, r: int) -> bool:
        recurrence = self.flow.blocks[self.rows[r].blocks[0]].recurrence
        return recurrence is not None and recurrence.directions == 2

    def high(self, r: int) -> float:
        if not self.boxed(self.rows[r]):
            return _WORD
        return 2 * _BOX + _APART if self.two(r) else _BOX

    def timed(self, e: Edge) -> bool:
        """Whether an edge is there at every step."""
        over = self.flow.blocks[e.source].over_time and self.flow.blocks[e.target].over_time
        return over and e.steps == "each" and not e.from_state and not e.to_state

    def straight(self, e: Edge) -> bool:
        """Whether it goes straight up into the next row, without a turn."""
        next_row = self.place[e.target][0] == self.place[e.source][1] + 1
        source, target = self.flow.blocks[e.source], self.flow.blocks[e.target]
        if not next_row or e.to_state or e.from_state:
            return False
        if self.timed(e):
            return not self.beside(e.source) and not self.beside(e.target)
        alike = self.column(e.source) == self.column(e.target)
        return not target.over_time and (e.steps == "last" if source.over_time else alike)

    def beside(self, k: int) -> bool:
        """Whether a block shares its row with another."""
        return len(self.rows[self.place[k][0]].blocks) > 1

    def column(self, k: int) -> int:
        """The column of a block without steps."""
        reads = self.flow.into(k)
        first = not reads or all(e.steps == "first" and not e.from_state for e in reads)
        return 0 if first else self.steps - 1

    def columns(self, e: Edge) -> list[int]:
        """The columns that an edge starts from."""
        if not self.flow.blocks[e.source].over_time:
            return [self.column(e.source)]
        last = self.steps - 1
        known = {"last": [last], "first": [0], "first and last": sorted({0, last})}
        return known.get(e.steps, list(range(self.steps)))

    def words(self, e: Edge) -> str:
        """The shape on an arrow, that of one step."""
        extra = {"some": " of some steps", "one of each row": " of one step of each row"}.get(e.steps, "")
        return written(e.read, per_step=True) + extra

    # Where things stand.

    def end_width(self, block: Block) -> float:
        return width(block.name + "₁₁") + 20

    def x(self, k: int, column: int) -> float:
        """The middle of a block in a column."""
        middle = self.left + self.pitch * column
        row = self.rows[self.place[k][0]]
        if self.boxed(row) or len(row.blocks) == 1:
            return middle
        widths = [self.end_width(self.flow.blocks[b]) for b in row.blocks]
        at = row.blocks.index(k)
        return middle - sum(widths) / 2 + sum(widths[:at]) + widths[at] / 2

    def above(self, k: int) -> float:
        """From where a line leaves a block upward: over the joint of two directions."""
        r = self.place[k][1]
        return self.tops[r] - (_FORK if self.two(r) else 0)

    def below(self, k: int) -> float:
        """To where a line comes from below: under the fork of two directions."""
        r = self.place[k][0]
        return self.tops[r] + self.heights[r] + (_FORK if self.two(r) else 0)

    def turn(self, e: Edge) -> float:
        """The height at which an edge turns, its own in the gap below its target."""
        return self.below(e.target) + 12 + _TURN * self.turning[self.place[e.target][0]].index(e)

    def lowest_turn(self, r: int) -> float:
        """The height of the lowest line that turns in the gap below a row; words under it are crossed by none."""
        return max(self.turn(e) for e in self.turning[r])

    def middle(self, r: int, way: int = 0) -> float:
        """The height of a state's way in a row; `way` 1 is the second direction, above the first."""
        lower = self.tops[r] + self.heights[r] - _BOX / 2
        return lower - way * (_BOX + _APART)

    def last_end(self, r: int) -> float:
        """Where a state that something reads turns upward; before the start of a second direction."""
        return self.end - (14 if self.two(r) else 0)

    # Drawing.

    def draw(self, title: str) -> tuple[str, float, float]:
        for r, row in enumerate(self.rows):
            block = self.flow.blocks[row.blocks[0]]
            if block.recurrence or block.looped:
                for way in range(1 + self.two(r)):
                    self.states(r, block, way)
        for r, row in enumerate(self.rows):
            shape = between_layers(self.flow, row) if self.boxed(row) else None
            if shape is not None:
                self.up_to_next_layer(r, shape)
        for e in self.flow.edges:
            self.edge(e)
        for r, row in enumerate(self.rows):
            self.boxes(r, row)
        said = f"unfolded for {self.steps} step{'s' if self.steps > 1 else ''}"
        said += "; every column has the same weights" if self.steps > 1 else ""
        self.svg.words(_MARGIN, 22, title, at="start", bold=True)
        self.svg.words(_MARGIN, 38, said, size=SMALL, at="start")
        wide = max(self.full, 2 * _MARGIN + width(said, SMALL), 2 * _MARGIN + 1.1 * width(title))
        return self.svg.document(wide, self.height, title, description(self.flow)), wide, self.height

    def states(self, r: int, block: Block, way: int) -> None:
        """The arrows from column to column in a row, from the start to what is left at the end."""
        y, shift = self.middle(r, way), self.side * (2 * way - 1) if self.two(r) else 0.0
        edges = [(self.left + self.pitch * c + shift) for c in range(self.steps)]
        marks = [(x - self.box / 2, x + self.box / 2) for x in edges]
        if way:
            ways = [(marks[c + 1][0], marks[c][1]) for c in range(self.steps - 1)]
            begin, finish = (self.end, marks[-1][1]), (marks[0][0], self.start)
        else:
            ways = [(marks[c][1], marks[c + 1][0]) for c in range(self.steps - 1)]
            begin, finish = (self.start, marks[0][0]), (marks[-1][1], self.end)
        used = any(e.from_state and self.flow.blocks[e.source] is block for e in self.flow.edges)
        if used and not way:
            finish = (finish[0], self.last_end(r))
        for a, b in [begin, *ways]:
            self.svg.line([(a, y), (b, y)], state=True)
        self.svg.line([(finish[0], y), (finish[1], y)], state=True, arrow=not used)
        lines = _beside(block)
        at = [(a + b) / 2 for a, b in ways] or [self.end + 4]
        for x in at:
            for k, words in enumerate(lines):
                anchor = "middle" if ways else "start"
                self.svg.words(x, y - 7 + 21 * k, words, size=SMALL, at=anchor)
        fed = any(e.to_state and self.flow.blocks[e.target] is block for e in self.flow.edges)
        if block.recurrence and not fed:
            words = _start(block)
            self.svg.words(begin[0] + (6 if way else -6), y + 4, words, size=SMALL, at="start" if way else "end")

    def up_to_next_layer(self, r: int, shape: Shape) -> None:
        low, high = self.tops[r] - _FORK * self.two(r), self.tops[r + 1] + self.heights[r + 1] + _FORK * self.two(r + 1)
        for c in range(self.steps):
            x = self.left + self.pitch * c
            self.joint(r, x)
            self.svg.line([(x, low), (x, high)], arrow=not self.two(r + 1))
            self.fork(r + 1, x)
            self.svg.words(x + 7, (low + high) / 2 + 4, written(shape, per_step=True), size=SMALL, at="start")

    def edge(self, e: Edge) -> None:
        if e.to_state:
            self.into_start(e)
        elif e.from_state:
            self.from_ends(e, self.x(e.target, self.column(e.target)))
        elif self.timed(e):
            for c in range(self.steps):
                self.one(e, c, c)
        elif self.flow.blocks[e.target].over_time:
            for c in range(self.steps):
                for a in self.columns(e):
                    self.one(e, a, c)
        else:
            for c in self.columns(e):
                self.one(e, c, self.column(e.target))

    def one(self, e: Edge, a: int, b: int) -> None:
        """From a source's column to a target's: straight, with a turn below the target, or round the boxes between."""
        x0, x1, y0, y1 = self.x(e.source, a), self.x(e.target, b), self.above(e.source), self.below(e.target)
        r0, r1 = self.place[e.source][1], self.place[e.target][0]
        self.joint(r0, x0)
        path: list[Point] = [(x0, y0)]
        words = (x0 + 7, y0 - 13)
        if self.straight(e):
            path += [(x1, y1)]
            words = (x0 + 7, (y0 + y1) / 2 + 4)
        else:
            turn, into = self.turn(e), x1
            if r1 > r0 + 1:
                k = self.lanes.index(e) if e in self.lanes else len(self.lanes)
                lane = self.left + self.pitch * a + self.half + _LANE * (k + 1)
                out = x0 + (14 + 6 * k if self.boxed(self.rows[r0]) else 0)
                into = x1 + (14 + 6 * k if e in self.lanes and self.boxed(self.rows[r1]) else 0)
                path = [(out, y0), (out, y0 - 8), (lane, y0 - 8), (lane, turn), (into, turn), (into, y1)]
                words = (lane + 5, self.lowest_turn(r1) + 14)
            elif x0 != x1:
                path += [(x0, turn), (x1, turn), (x1, y1)]
            else:
                path += [(x1, y1)]
        self.svg.line(path, dashed=not e.proved, arrow=not self.two(r1))
        self.fork(r1, x1)
        if a == b or not self.flow.blocks[e.target].over_time:
            self.svg.words(*words, self.words(e), size=SMALL, at="start")

    def from_ends(self, e: Edge, x1: float) -> None:
        """What is left of a state after the last step: from the right, and for two directions from the left too."""
        first, last = self.place[e.source]
        turn = self.turn(e)
        for way in range(1 + self.two(last)):
            x = self.start if way else self.last_end(last)
            path = [(x, self.middle(first, way)), (x, turn), (x1, turn), (x1, self.below(e.target))]
            self.svg.line(path, dashed=not e.proved)
        self.svg.words(x1 + 7, turn + 13, self.words(e), size=SMALL, at="start")

    def into_start(self, e: Edge) -> None:
        """A state that is given: to the left of the first column."""
        last = self.place[e.target][1]
        turn = self.turn(e)
        if e.from_state:
            x0, y0 = self.last_end(self.place[e.source][1]), self.middle(self.place[e.source][0])
        else:
            x0, y0 = self.x(e.source, self.columns(e)[-1]), self.above(e.source)
        end = self.middle(last)
        path = [(x0, y0), (x0, turn), (self.start, turn), (self.start, end)]
        self.svg.line(path, state=True, arrow=False, dashed=not e.proved)
        self.svg.words(self.start + 6, turn + 13, self.words(e), size=SMALL, at="start")

    def joint(self, r: int, x: float) -> None:
        """Where the two directions of a row come together."""
        if self.two(r):
            y = self.tops[r] - _FORK
            lower = self.tops[r] + _BOX + _APART
            self.svg.line([(x - self.side, lower), (x - self.side, y), (x, y)], arrow=False)
            self.svg.line([(x + self.side, self.tops[r]), (x + self.side, y), (x, y)], arrow=False)
            self.svg.joint(x, y)

    def fork(self, r: int, x: float) -> None:
        """Where an input parts for the two directions of a row."""
        if self.two(r):
            bottom = self.tops[r] + self.heights[r]
            y = bottom + _FORK
            self.svg.joint(x, y)
            self.svg.line([(x, y), (x - self.side, y), (x - self.side, bottom)])
            self.svg.line([(x, y), (x + self.side, y), (x + self.side, self.tops[r] + _BOX)])

    def boxes(self, r: int, row: Row) -> None:
        for k in row.blocks:
            block = self.flow.blocks[k]
            for c in range(self.steps) if block.over_time else [self.column(k)]:
                x = self.x(k, c)
                if not self.boxed(row):
                    name = block.name + (str(c + 1).translate(_SUBSCRIPT) if block.over_time else "")
                    self.svg.words(x, self.tops[r] + (14 if r == 0 else 11), name, bold=True)
                    continue
                for way in range(1 + self.two(r)):
                    middle = x + (self.side * (2 * way - 1) if self.two(r) else 0)
                    y = self.middle(r, way)
                    strong = bool(block.recurrence or block.looped)
                    self.svg.box(middle - self.box / 2, y - _BOX / 2, self.box, _BOX, strong=strong)
                    mark = (" →", " ←")[way] if self.two(r) else ""
                    self.svg.words(middle, y + 4, _short(block.kind) + mark, size=SMALL)
        if self.boxed(row):
            first, second = heading(self.flow.blocks[row.blocks[0]], row.layer)
            y = self.tops[r] + self.heights[r] / 2
            self.svg.words(_MARGIN, y - 2, first, size=SMALL, at="start", bold=True)
            self.svg.words(_MARGIN, y + 12, second, size=SMALL, at="start")


def _short(kind: str) -> str:
    """A kind's name that fits into a box."""
    return kind if len(kind) <= 16 else kind[:15] + "…"


def _start(block: Block) -> str:
    """What a state is before the first step."""
    if block.recurrence is None:
        return ""
    names = ", ".join(block.recurrence.states)
    return f"{names} = 0" if block.recurrence.start == "0" else f"{names} {block.recurrence.start}"


def _beside(block: Block) -> list[str]:
    """Above and below a state's arrow: names and shape; for states of different shapes each with its own."""
    if block.recurrence is None:
        return ["state"] if block.looped else []
    states = block.recurrence.states
    if len(set(states.values())) == 1:
        return [", ".join(states), written(next(iter(states.values())))]
    half = -(-len(states) // 2)
    each = [f"{name} {written(shape)}" for name, shape in states.items()]
    return [", ".join(each[:half]), ", ".join(each[half:])]

"""`CFiles`: what an export has written and what it needs on its machine; as text, as JSON and as README.txt."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class CFiles:
    """The files of one export and the sizes of the network on its machine, in bytes."""

    folder: str
    """Where the files are."""
    files: tuple[str, ...]
    """Their names."""
    target: str
    """The machine."""
    triple: str
    """LLVM's name of it; "" for source."""
    form: str
    """ "object" or "source"."""
    dtype: str
    """ "float32" or "float64"."""
    code: int | None
    """Machine code of the functions that run the network; None for source, whose compiler decides."""
    weights: int
    """Weights, in constants or in a file of their own."""
    selftest: int
    """Constants that only the self-test reads; without a call of it, a linker leaves them out."""
    state: int
    """One state."""
    work: int
    """One workspace."""
    stack: int | None
    """The deepest chain of frames, at most; None for source."""
    saved: int
    """A saved state."""
    max_steps: int | None
    """Steps of a run at most, for which the workspace has room; None for a network that runs step by step."""
    multiply_adds: int
    """Multiply-adds of the products of one step."""
    states: dict[str, int]
    """State's name → its numbers, in their order."""
    fingerprint: str
    """SHA-256 of equations, sizes and weights, in hexadecimal digits."""
    link: str
    """A command that makes the test program."""

    def __str__(self) -> str:
        rows = [
            ("code", self.code),
            ("weights", self.weights),
            ("state", self.state),
            ("workspace", self.work),
            ("stack", self.stack),
            ("self-test", self.selftest),
        ]
        lines = [f"{self.target} ({self.form}, {self.dtype}): {', '.join(self.files)} in {self.folder}"]
        lines += [
            f"  {name:10}" + (f"{size:>12,} bytes" if size is not None else "  the compiler's") for name, size in rows
        ]
        if self.max_steps is not None:
            lines.append(f"  a run takes whole sequences of at most {self.max_steps:,} steps")
        lines.append(f"  a step has {self.multiply_adds:,} multiply-adds")
        return "\n".join([*lines, f"  {self.link}"])

    def as_json(self) -> dict[str, object]:
        """All fields but the folder, for NAME.json."""
        found = asdict(self)
        del found["folder"]
        return found

"""The catalogue as text: a list, one cell's page, or the code emitted for it."""

from ostinato.cells import Cell, catalogue
from ostinato.cells.describe import describe
from ostinato.errors import InputError, phrase
from ostinato.kernels import assembly


def show(name: str | None, kernel: bool) -> str:
    """The list of cells without a name, else one cell's page, or with `kernel` the code emitted for this machine."""
    known = catalogue()
    if name is None:
        if kernel:
            remedy = f"Write one of: {', '.join(known)}."
            raise InputError(phrase("ostinato cells --kernel", "NAME", "a cell of the catalogue", "none", remedy))
        return listing(known)
    if name not in known:
        remedy = f"The catalogue holds {', '.join(known)}."
        raise InputError(phrase("ostinato cells", "NAME", "a cell of the catalogue", repr(name), remedy))
    return assembly(known[name]) if kernel else str(describe(known[name]))


def listing(known: dict[str, Cell]) -> str:
    """One line for each cell: its name and the first line of its description."""
    width = max(len(name) for name in known)
    lines = [f"{name:<{width}}  {(cell.__doc__ or '').partition(chr(10))[0]}" for name, cell in known.items()]
    return "\n".join([*lines, "", "ostinato cells NAME describes one of them."])

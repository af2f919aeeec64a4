"""The outputs and pictures of docs/learn: `python benchmarks/learn.py [--only 04]` runs the pages and fills them in.

A page's Python blocks run in order, as one program, in a temporary folder. What a block prints is the text block below
it, and the picture that the page shows is the file of that name which its code saves.
"""

import argparse
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

FOLDER = Path(__file__).parent.parent / "docs" / "learn"
PAGES = sorted(FOLDER.glob("[0-9][0-9]-*.md"))
PICTURES = FOLDER / "pictures"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
"""A Python block, with its output where it has one."""
SHOWN = re.compile(r"!\[[^\]]+\]\(pictures/([\w.-]+)\)")


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[None]:
    """Inside, `folder` is the current one and torch's default number type can be set; both are restored."""
    before, dtype = Path.cwd(), torch.get_default_dtype()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        torch.set_default_dtype(dtype)


def outputs(page: str, name: str) -> list[str]:
    """What each Python block of a page prints. They run in the current folder."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed = []
    for code, _ in BLOCK.findall(page):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, name, "exec"), names)
        printed.append(out.getvalue())
    return printed


def filled(page: str, printed: list[str]) -> str:
    """The page with these outputs below its Python blocks; a block that prints nothing has none."""
    remaining = iter(printed)

    def block(match: re.Match[str]) -> str:
        text = next(remaining)
        return f"```python\n{match[1]}```\n" + (f"\n```text\n{text}```\n" if text else "")

    return BLOCK.sub(block, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NUMBER", help="a page, such as 04; may repeat")
    options = parser.parse_args()
    for path in PAGES:
        if options.only and path.name[:2] not in options.only:
            continue
        text = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as name, fresh(Path(name)):
            printed = outputs(text, path.name)
            for picture in SHOWN.findall(text):
                (PICTURES / picture).write_bytes(Path(picture).read_bytes())
        path.write_text(filled(text, printed), encoding="utf-8")
        print(path.name, flush=True)


if __name__ == "__main__":
    main()

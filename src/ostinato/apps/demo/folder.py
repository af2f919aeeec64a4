"""Where the results go."""

from pathlib import Path

from ostinato.errors import InputError, phrase


def new_folder(wanted: Path) -> Path:
    """Make the folder `wanted`, or `wanted-2`, `wanted-3`, … if there is one already: nothing is ever overwritten."""
    number = 1
    while True:
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            remedy = "Name another place with --out."
            received = f"{folder} ({error.strerror})"
            raise InputError(phrase("ostinato demo", "--out", "a folder that can be made", received, remedy)) from None
        else:
            return folder

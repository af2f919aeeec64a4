"""`python -m ostinato` is the command `ostinato`."""

from ostinato.apps.cli import main

if __name__ == "__main__":
    main()

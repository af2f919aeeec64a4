"""Imports every module of the installed package: `without` the extras all that need none, `with` them all."""

import pkgutil
import sys
from importlib import import_module

import ostinato

NEEDS_EXTRAS = ("ostinato.program.", "ostinato.apps.inspection.model_folder")
"""What may ask for a package of an extra; nothing else may."""
PACKAGES = ("scipy", "sklearn")
"""Imported at the head of modules of the program, which the commands check before they import these."""

extras, asked = sys.argv[1] == "with", 0
assert "site-packages" in ostinato.__file__, ostinato.__file__
for module in pkgutil.walk_packages(ostinato.__path__, "ostinato."):
    if module.name == "ostinato.__main__":
        continue
    try:
        import_module(module.name)
    except ImportError as error:
        assert not extras and module.name.startswith(NEEDS_EXTRAS), (module.name, error)
        assert "ostinato[program]" in str(error) or error.name.partition(".")[0] in PACKAGES, (module.name, error)
        asked += 1
assert (asked == 0) == extras, asked

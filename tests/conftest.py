"""What all tests share.

One thread each, because pytest-xdist runs as many tests at a time as there are cores; a test that is about threads asks
for its own.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

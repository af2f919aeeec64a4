"""One side of `load.py --against`: prints the names of the shapes, then answers a name with seconds of one call."""

import json
import sys
import time

from measure import job, pair
from shapes import Shape

calls = {}
for fields in json.loads(sys.argv[1]):
    shape = Shape(**fields)
    calls[shape.name] = job(pair(shape)[0], shape)
print("|".join(calls), flush=True)
for line in sys.stdin:
    call = calls[line.strip()]
    time.sleep(0.03)  # until the other side's idle threads, which wait by reading a counter, have fallen asleep
    call()
    count, begin = 0, time.perf_counter()
    while not count or time.perf_counter() - begin < 0.02:
        call()
        count += 1
    print((time.perf_counter() - begin) / count, flush=True)

"""The compiled step of a stream in a loop of compiled code: what the step takes without any Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import ostinato
from ostinato.kernels.system import compile_cache
from ostinato.streaming.kernel_runner import KernelRunner

LOOP = """
define void @many(ptr %function, ptr %argument, i64 %count) {
start:
  br label %again
again:
  %done = phi i64 [ 0, %start ], [ %after, %again ]
  call void %function(ptr %argument)
  %after = add i64 %done, 1
  %more = icmp slt i64 %after, %count
  br i1 %more, label %again, label %end
end:
  ret void
}
"""
_MANY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


def many_steps(stream: ostinato.Stream) -> Callable[[int], None]:
    """Runs so many steps, at least one, from the stream's bound input to its bound output."""
    runner = stream._runner
    if not isinstance(runner, KernelRunner):
        raise SystemExit("This machine has no kernels; there is no compiled step to time.")
    library = compile_cache.compile(LOOP, name="loop", key=LOOP)
    many, step = _MANY(library.address("many")), runner.library.address("run")

    def call(count: int, library: compile_cache.Library = library) -> None:  # the library lives as long as its caller
        many(step, runner.address, count)

    return call

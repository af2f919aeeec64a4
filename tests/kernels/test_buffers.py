"""The pool of buffers: memory comes back when nothing can read it any more, never before, and not without bounds."""

import gc
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from ostinato.kernels.system import memory_pool

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
FLOATS = MEGABYTE // 4


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """A pool of its own, and no poison, for every test."""
    pool = memory_pool.Pool()
    monkeypatch.setattr(memory_pool, "_pool", pool)
    monkeypatch.setattr(memory_pool, "_POISON", False)
    return pool


def large(value: float = 0.0) -> torch.Tensor:
    return memory_pool.empty((2, FLOATS), torch.float32).fill_(value)


def place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


# what it gives


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (3, 5), (1024, 1025), (2, 3, 400_000)])
def test_a_tensor_like_any_other(shape, dtype):
    tensor = memory_pool.empty(shape, dtype)
    like = torch.empty(shape, dtype=dtype)
    assert (tensor.shape, tensor.dtype, tensor.stride()) == (like.shape, like.dtype, like.stride())
    assert tensor.device.type == "cpu" and tensor.data_ptr() % 64 == 0
    assert tensor.untyped_storage().nbytes() == like.untyped_storage().nbytes()
    assert not tensor._is_view() and not tensor.requires_grad and tensor.is_leaf
    tensor.fill_(1)
    assert bool((tensor == 1).all())


def test_small_tensors_are_left_to_malloc(pool):
    tensor = memory_pool.empty((FLOATS - 1,), torch.float32)
    assert pool._acquired_bytes == 0
    del tensor
    assert memory_pool.idle_bytes() == 0


@pytest.mark.parametrize("nbytes", [MEGABYTE, MEGABYTE + 1, 1_234_567, 99_999_999, 3 << 30])
def test_a_size_class_wastes_an_eighth_at_most_and_is_whole_pages(nbytes):
    size = memory_pool._size_class(nbytes)
    assert nbytes <= size <= nbytes * 9 / 8
    assert size % 4096 == 0 and memory_pool._size_class(size) == size


def test_inference_mode_and_a_default_device_change_nothing():
    with torch.inference_mode(), torch.device("meta"):
        tensor = memory_pool.empty((2, FLOATS), torch.float32)
    assert tensor.device.type == "cpu" and tensor.is_inference()


# when memory comes back


def test_a_workspace_that_was_made_in_inference_mode_serves_calls_outside(monkeypatch):
    monkeypatch.setattr(memory_pool, "_thread_workspace", memory_pool._ThreadWorkspace())
    monkeypatch.setattr(memory_pool, "_POISON", True)
    with torch.inference_mode():
        block = memory_pool.take_workspace(100)
        memory_pool.return_workspace(block)
    assert memory_pool.take_workspace(100) is block and block.isnan().all()
    assert memory_pool.take_workspace(100) is not block
    large = memory_pool.take_workspace(block.nbytes + 1)
    memory_pool.return_workspace(large)
    assert not memory_pool._thread_workspace.free


def test_memory_is_used_again_also_for_another_shape_and_type():
    first = large()
    where = place(first)
    del first
    assert memory_pool.idle_bytes() == 2 * MEGABYTE
    again = memory_pool.empty((FLOATS,), torch.float64)
    assert place(again) == where and memory_pool.idle_bytes() == 0


HOLDERS = {
    "the tensor": lambda t: t,
    "a slice": lambda t: t[1, -1:],
    "a transposed view": lambda t: t.t(),
    "a detached tensor": lambda t: t.detach(),
    "a view as another type": lambda t: t.view(torch.int32),
    "its data": lambda t: t.data,
    "its storage": lambda t: t.untyped_storage(),
    "a numpy array": lambda t: t.numpy(),
    "a part of a numpy array": lambda t: t.numpy()[0, :5],
    "a memoryview": lambda t: memoryview(t.numpy()),
    "DLPack": lambda t: np.from_dlpack(t),
    "DLPack in torch": lambda t: torch.from_dlpack(t[0]),
    "a parameter": lambda t: torch.nn.Parameter(t),
    "a tensor set to its storage": lambda t: torch.empty(0).set_(t),
    "the graph, saved for backward": lambda t: torch.ones(2, FLOATS, requires_grad=True) * t,
    "the graph, as a result": lambda t: torch.ones(1, requires_grad=True).expand(2, FLOATS).exp() * t[0],
    "a cycle": lambda t: [cycle := [t], cycle.append(cycle)],
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_is_not_lent_again_while_anything_can_read_it(holder):
    gc.collect()
    gc.disable()
    try:
        tensor = large(7.0)
        where = place(tensor)
        held = HOLDERS[holder](tensor)
        del tensor
        others = [large(1.0) for _ in range(3)]
        assert where not in [place(other) for other in others]
        assert memory_pool.idle_bytes() == 0
        del held
    finally:
        gc.enable()
    gc.collect()
    assert memory_pool.idle_bytes() == 2 * MEGABYTE
    assert place(large()) == where


def test_backward_reads_what_forward_saved():
    x = torch.randn(2, FLOATS, requires_grad=True)
    factor = large(3.0)
    y = x * factor
    del factor
    others = [large(-1.0) for _ in range(3)]
    y.sum().backward()
    assert bool((x.grad == 3.0).all()) and len(others) == 3


def test_a_change_in_place_after_saving_is_still_noticed():
    x = torch.randn(2, FLOATS, requires_grad=True)
    factor = large(3.0)
    y = x * factor
    factor.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_pickled_tensor_is_a_copy():
    tensor = large(5.0)
    copy = pickle.loads(pickle.dumps(tensor))
    where = place(tensor)
    del tensor
    assert place(large(1.0)) == where
    assert bool((copy == 5.0).all())


@pytest.mark.skipif(sys.platform == "win32", reason="memory is shared by file descriptor")
def test_a_tensor_moved_to_shared_memory_leaves_its_block():
    tensor = large(5.0)
    where = place(tensor)
    tensor.share_memory_()
    assert tensor.is_shared() and memory_pool.idle_bytes() == 2 * MEGABYTE
    other = large(1.0)
    assert place(other) == where
    assert bool((tensor == 5.0).all())


def test_the_storage_of_a_large_tensor_cannot_be_resized():
    with pytest.raises(RuntimeError, match="not resizable"):
        large().resize_(9, FLOATS)


# bounds


def test_idle_memory_is_bounded_and_the_longest_unused_goes_first(monkeypatch):
    monkeypatch.setattr(memory_pool, "_ALWAYS_KEPT", 4 * MEGABYTE)
    monkeypatch.setattr(memory_pool, "_WINDOW", 4)
    tensors = [large() for _ in range(6)]
    places = [place(tensor) for tensor in tensors]
    while tensors:
        del tensors[0]
    assert memory_pool.idle_bytes() == 12 * MEGABYTE, "what was lent at once may be kept"
    for _ in range(12):
        memory_pool.empty((FLOATS,), torch.float32)
    assert memory_pool.idle_bytes() == 3 * MEGABYTE, "the peak is forgotten"
    assert place(large()) == places[-1]


def test_a_training_steps_buffers_survive_between_two_steps():
    seen = []
    for _ in range(3):
        tensors = [memory_pool.empty((100, FLOATS), torch.float32) for _ in range(4)]
        seen.append({place(tensor) for tensor in tensors})
        del tensors
    assert seen[0] == seen[1] == seen[2]
    assert memory_pool.idle_bytes() >= 400 * MEGABYTE
    memory_pool.clear()
    assert memory_pool.idle_bytes() == 0


def test_idle_memory_is_given_up_before_memory_runs_out(monkeypatch):
    held, lent = large(4.0), large()
    del lent
    allocate, refused = memory_pool._allocate, []

    def short_of_memory(size: int) -> np.ndarray:
        if memory_pool.idle_bytes():
            refused.append(size)
            raise MemoryError
        return allocate(size)

    monkeypatch.setattr(memory_pool, "_allocate", short_of_memory)
    assert memory_pool.empty((8, FLOATS), torch.float32).shape == (8, FLOATS)
    assert refused == [8 * MEGABYTE] and bool((held == 4.0).all())


# threads, processes, the environment


def test_threads_never_share_a_buffer():
    torn = []

    def work(number: int) -> None:
        generator = np.random.default_rng(number)
        held: list[tuple[float, torch.Tensor]] = []
        for turn in range(150):
            value = float(number * 1000 + turn)
            tensor = memory_pool.empty((int(generator.integers(1, 4)), FLOATS), torch.float32)
            tensor[:, ::4096] = value
            held.append((value, tensor))
            if len(held) > 3:
                value, tensor = held.pop(int(generator.integers(len(held))))
                if not bool((tensor[:, ::4096] == value).all()):
                    torn.append(value)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert torn == []
    gc.collect()
    assert memory_pool.idle_bytes() > 0 and memory_pool._pool._acquired_bytes == 0


def test_a_block_that_comes_back_inside_the_pool_does_not_block(pool):
    tensor = large()
    with pool._lock:
        del tensor
    assert memory_pool.idle_bytes() == 2 * MEGABYTE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_with_an_empty_pool_and_keeps_what_it_inherited():
    program = """
import os, torch
from ostinato.kernels.system import memory_pool
torch.set_num_threads(1)  # torch's own team does not survive a fork
held, gone = [memory_pool.empty((3, 1 << 20), torch.float32).fill_(v) for v in (1.0, 2.0)]
del gone
memory_pool._pool._lock.acquire()
child = os.fork()
if child == 0:
    fresh = memory_pool.idle_bytes() == 0
    new = memory_pool.empty((3, 1 << 20), torch.float32).fill_(9.0)
    kept = bool((held == 1.0).all())
    del held
    os._exit(0 if fresh and kept and bool((new == 9.0).all()) else 1)
memory_pool._pool._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert bool((held == 1.0).all()) and memory_pool.idle_bytes() == 12 << 20
print("parent and child are done")
"""
    assert run(program) == "parent and child are done\n"


def test_leaving_with_tensors_alive_is_silent():
    program = """
import torch
from ostinato.kernels.system import memory_pool
held = [memory_pool.empty((1 << 20,), torch.float32) for _ in range(3)]
cycle = [held]; cycle.append(cycle)
"""
    assert run(program) == ""


def test_poison_makes_reading_what_was_never_written_visible():
    program = """
import torch
from ostinato.kernels.system import memory_pool
for shape in ((3,), (3, 1 << 20)):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for _ in range(2):
            assert bool(memory_pool.empty(shape, dtype).isnan().all())
    assert bool((memory_pool.empty(shape, torch.int64) == -1).all())
    assert bool((memory_pool.empty(shape, torch.uint8) == 255).all())
memory_pool.empty((), torch.int64)
print("poisoned")
"""
    assert run(program, OSTINATO_POISON="1") == "poisoned\n"


def run(program: str, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout

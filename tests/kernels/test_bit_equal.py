"""The promise: forward, dx and the gradients of initial states have the same bits however the work is cut.

Alone or in a batch, packed or dense, whole, in chunks or step by step, with any number of threads, with or without what
training keeps. Gradients of weights are sums over blocks of steps counted from the end, so they depend on which rows
share a batch, and on nothing else.
"""

import re
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import tanh

from kernels.calls import Call, draw, lengths_to_sizes, same_bits
from ostinato.cells import Cell, catalogue
from ostinato.cells.value import mean, norm
from ostinato.kernels.codegen.kernel_args import KernelArgs
from ostinato.kernels.emit.backward import Backward
from ostinato.kernels.emit.forward import Forward
from ostinato.kernels.planning.cell_program import program
from ostinato.kernels.runtime import api, cost_model
from ostinato.kernels.runtime import launch_plan as kernel_call
from ostinato.kernels.runtime.row_partition import BLOCK_ROWS
from ostinato.kernels.system import compiler
from ostinato.kernels.system.target import host, target_by_name

pytestmark = pytest.mark.usefixtures("poisoned")
CELLS = catalogue()
EVERY = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
SOME = pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "slstm", "lstm_projected", "mingru"])
BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def results(call: Call) -> dict[str, torch.Tensor]:
    """All that comes out of forward and backward, by name."""
    output, finals, _, kept = call.forward()
    found = {"output": output, **{f"final {s}": t for s, t in zip(call.cell.states, finals)}}
    return found | {f"d {k}": v for k, v in call.named(call.backward(output, kept)).items()}


def states_of(call: Call, prefix: str) -> list[str]:
    return [prefix + s for s in call.cell.states]


def weights_of(call: Call) -> list[str]:
    return [f"d {n}" for n in call.cell.parameters(1, 1)]


def all_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], what: object = "") -> None:
    assert a.keys() == b.keys()
    for name in a:
        same_bits(a[name], b[name], f"{name}, {what}")


@EVERY
def test_a_row_alone_and_in_a_batch(cell: Cell):
    call = draw(cell, T=5, B=13, C=6, H=21, P=10, dtype=torch.float32)
    batch = results(call)
    for rows in ([0], [7], [12], [3, 4], [12, 0, 6, 1, 9, 2, 11], list(range(12))):
        apart = results(call[rows])
        for name in ("output", "d x"):
            same_bits(apart[name], batch[name][:, rows], f"{name} of rows {rows}")
        for name in states_of(call, "final ") + states_of(call, "d "):
            same_bits(apart[name], batch[name][rows], f"{name} of rows {rows}")


@SOME
@BOTH
def test_packed_rows_and_each_row_alone(name: str, reverse: bool):
    lengths = [40, 31, 31, 12, 9, 9, 3, 1, 1]
    sizes = lengths_to_sizes(lengths)
    call = draw(CELLS[name], B=len(lengths), C=6, H=19, P=9, sizes=sizes, reverse=reverse, dtype=torch.float32)
    packed = results(call)
    first = [sum(sizes[:t]) for t in range(len(sizes))]
    for b, n in enumerate(lengths):
        lines = [first[t] + b for t in range(n)]
        row = replace(
            call,
            x=call.x[lines].unsqueeze(1),
            states=[s[b : b + 1] for s in call.states],
            sizes=None,
            d_output=call.d_output[lines].unsqueeze(1),
            d_finals=[d[b : b + 1] for d in call.d_finals],
        )
        alone = results(row)
        for what in ("output", "d x"):
            same_bits(packed[what][lines], alone[what][:, 0], f"{what} of row {b}")
        for what in states_of(call, "final ") + states_of(call, "d "):
            same_bits(packed[what][b], alone[what][0], f"{what} of row {b}")


@SOME
@BOTH
def test_a_packed_batch_without_ragged_ends_is_the_dense_one(name: str, reverse: bool):
    call = draw(CELLS[name], T=7, B=5, H=18, P=5, reverse=reverse, dtype=torch.float32)
    flat = replace(call, x=call.x.flatten(0, 1), sizes=[5] * 7, d_output=call.d_output.flatten(0, 1))
    dense, packed = results(call), results(flat)
    all_same({k: v.flatten(0, 1) if v.dim() == 3 else v for k, v in dense.items()}, packed)


def pieces(call: Call, cuts: list[int], onto: bool = False) -> dict[str, torch.Tensor]:
    """The sequence in pieces, in the order of work: states carried on, gradients carried back.

    A piece's gradients of weights are added from the last piece to the first: here, or `onto` the last in the kernels.
    """
    T = call.x.shape[0]
    spans = [(T - b, T - a) if call.reverse else (a, b) for a, b in zip([0, *cuts], [*cuts, T])]
    states, done, outputs = call.states, [], {}
    for a, b in spans:
        piece = replace(call, x=call.x[a:b], d_output=call.d_output[a:b], states=states)
        output, states, _, kept = piece.forward()
        outputs[a] = output
        done.append((a, piece, output, kept))
    arriving, dx, sums = call.d_finals, {}, None
    for a, piece, output, kept in reversed(done):
        later = sums if onto and sums is not None else ()
        dx[a], arriving, d_weights = replace(piece, d_finals=arriving).backward(output, kept, onto=later)
        sums = d_weights if sums is None or onto else [s + d for s, d in zip(sums, d_weights)]
    found = {"output": torch.cat([outputs[k] for k in sorted(outputs)]), "d x": torch.cat([dx[k] for k in sorted(dx)])}
    found |= dict(zip(states_of(call, "final "), states)) | dict(zip(states_of(call, "d "), arriving))
    return found | dict(zip(weights_of(call), sums))


@EVERY
def test_whole_in_chunks_and_step_by_step(cell: Cell):
    for reverse, B in ((False, 11), (True, 11), (False, 1), (True, 3)):
        call = draw(cell, T=19, B=B, C=5, H=35, P=6, dtype=torch.float32, reverse=reverse)
        whole = results(call)
        for cuts in ([8], [1, 2, 10], list(range(1, 19))):
            cut = pieces(call, cuts)
            for name in ("output", "d x", *states_of(call, "final "), *states_of(call, "d ")):
                same_bits(whole[name], cut[name], f"{name}, cut at {cuts}")


def test_the_cuts_above_cross_what_a_call_is_cut_into():
    chunk = max(1, cost_model.COSTS.pregemm_rows // 11)
    assert 1 < chunk < 19 and 10 % chunk != 0, "draw another length: no cut lies inside a chunk"
    assert 1 <= cost_model.COSTS.unpacked_rows < 11, (
        "a single step of a single row reads weights as they are, a batch packs them"
    )


@SOME
@BOTH
def test_gradients_of_weights_are_sums_over_blocks_from_the_end(name: str, reverse: bool):
    B = 24
    steps = BLOCK_ROWS // B
    T = 2 * steps + 5
    assert steps > 1, "a block has several steps"
    call = draw(CELLS[name], T=T, B=B, C=4, H=9, P=3, dtype=torch.float32, reverse=reverse)
    all_same(results(call), pieces(call, [5, 5 + steps]), "blocks")
    other = pieces(call, [steps, 2 * steps])
    different = [n for n in weights_of(call) if not torch.equal(other[n], results(call)[n])]
    assert different, "blocks counted from the start give the same bits, so this test could not tell"
    call = draw(CELLS[name], T=T + 2 * steps, B=B, C=4, H=9, P=3, dtype=torch.float32, reverse=reverse)
    all_same(results(call), pieces(call, [5 + steps, 5 + 3 * steps], onto=True), "onto the blocks after")


@pytest.fixture(params=["rows apart", "a step shared"])
def in_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Even small calls are worth a thread, in either way of sharing the work.

    Gives the list of (threads that a job was started on, whether they share its steps).
    """
    shared = request.param == "a step shared"
    started: list[tuple[int, bool]] = []
    start = kernel_call.LaunchPlan.launch

    def watched(call: kernel_call.LaunchPlan, frame: array, job: str) -> None:
        started.append((call.threads, bool(frame[call.compiled.layout[KernelArgs.shared]])))
        start(call, frame, job)

    monkeypatch.setattr(kernel_call.LaunchPlan, "launch", watched)
    rows = 10**9 if shared else 0
    costs = replace(cost_model.COSTS, min_macs_per_thread=0, max_shared_macs=0, min_rows_per_thread=rows)
    monkeypatch.setattr(cost_model, "COSTS", costs)
    api._dense_plan.cache_clear()
    before = torch.get_num_threads()
    yield started, shared
    torch.set_num_threads(before)
    api._dense_plan.cache_clear()


@EVERY
def test_one_thread_and_several(cell: Cell, in_threads: tuple[list[tuple[int, bool]], bool]):
    ragged = lengths_to_sizes([33, 30, 29, 11, 8, 2, 1])
    calls = [
        draw(cell, T=21, B=7, C=5, H=47, P=36, dtype=torch.float32),
        draw(cell, T=40, B=9, C=37, H=5, P=6, dtype=torch.float32, reverse=True),
        draw(cell, B=7, C=5, H=33, P=6, dtype=torch.float32, sizes=ragged),
        draw(cell, B=8, C=5, H=17, P=17, dtype=torch.float32, sizes=ragged, reverse=True),
        draw(cell, T=3, B=1, C=5, H=70, P=6, dtype=torch.float32),
    ]
    started, shared = in_threads
    torch.set_num_threads(1)
    alone = [results(call) for call in calls]
    assert set(started) == {(1, False)}
    for n in (2, 3, 8):
        started.clear()
        torch.set_num_threads(n)
        for call, wanted in zip(calls, alone):
            all_same(results(call), wanted, f"{n} threads")
        assert (n, shared) in started, "the threads were never used"


@EVERY
def test_weights_packed_step_by_step_and_for_all_steps(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    """With one thread and with several, which share the blocks of units where they go round and the rows elsewhere."""
    calls = [
        draw(cell, T=3, B=7, C=37, H=64, P=64, dtype=torch.float32),
        draw(cell, T=1, B=9, C=5, H=70, P=36, dtype=torch.float64, reverse=True),
        draw(cell, B=7, C=5, H=33, P=6, dtype=torch.float32, sizes=[7, 5, 5, 1]),
    ]
    seen: list[tuple[int, bool]] = []

    def watched(call: kernel_call.LaunchPlan, frame: array, job: str) -> None:
        if isinstance(call.kernel, Forward):
            layout = call.compiled.layout
            seen.append((frame[layout[KernelArgs.pack_per_use]], bool(frame[layout[KernelArgs.shared]])))
        start(call, frame, job)

    def found(steps: int, chunk: int, threads: int) -> list[dict[str, torch.Tensor]]:
        changed = replace(cost_model.COSTS, pack_per_use_steps=steps, single_chunk_rows=chunk)
        monkeypatch.setattr(cost_model, "COSTS", changed)
        api._dense_plan.cache_clear()
        api._ragged_plan.cache_clear()
        torch.set_num_threads(threads)
        seen.clear()
        return [results(call) for call in calls]

    start, before = kernel_call.LaunchPlan.launch, torch.get_num_threads()
    monkeypatch.setattr(cost_model, "COSTS", replace(cost_model.COSTS, min_macs_per_thread=0))
    monkeypatch.setattr(kernel_call.LaunchPlan, "launch", watched)
    try:
        wanted = found(0, 0, 1)
        assert set(seen) == {(0, False)}
        for n in (1, 2, 3):
            for level, costs in ((1, (0, 128)), (2, (4, 0))):
                for a, b in zip(found(*costs, n), wanted, strict=True):
                    all_same(a, b, f"{n} threads")
                if n == 1:
                    assert set(seen) == {(level, False)}
                elif n == 2 and cell.gates and level == 2:
                    assert (level, True) in seen, "no threads shared the blocks"
    finally:
        torch.set_num_threads(before)
        api._dense_plan.cache_clear()
        api._ragged_plan.cache_clear()


def test_blocks_and_threads(in_threads: tuple[list[tuple[int, bool]], bool]):
    """More than one block of backpropagation, cut among threads."""
    started, shared = in_threads
    for name in ("lstm", "gru_reset_before"):
        call = draw(CELLS[name], T=2 * BLOCK_ROWS // 12 + 7, B=12, C=3, H=9, dtype=torch.float32)
        torch.set_num_threads(1)
        wanted = results(call)
        started.clear()
        torch.set_num_threads(2)
        all_same(results(call), wanted, name)
        assert set(started) == {(2, shared)}


def test_threads_and_means(in_threads: tuple[list[tuple[int, bool]], bool]):
    """Means are of all units, so threads that share a step wait for each other; often, to arrive in every order."""
    a_cell = Cell(_of_means)
    call = draw(a_cell, T=50, B=3, C=4, H=67, dtype=torch.float32)
    torch.set_num_threads(1)
    wanted = results(call)
    torch.set_num_threads(4)
    for _ in range(4):
        all_same(results(call), wanted)


def _of_means(W, U, p, x, h, c):
    a = tanh(W.a @ x + U.a @ norm(h))
    c = 0.5 * c + a * mean(mean(a * c) + mean(h))
    return tanh(p.g * norm(U.b @ a) + c), c


@EVERY
def test_training_and_inference(cell: Cell):
    for dtype, sizes in ((torch.float32, None), (torch.float32, [6, 6, 3, 2, 1])):
        call = draw(cell, T=5, B=6, H=23, P=7, dtype=dtype, sizes=sizes)
        training = call.forward(keep=True)
        inference = call.forward(keep=False)
        assert inference[3] == []
        for a, b in zip([training[0], *training[1]], [inference[0], *inference[1]], strict=True):
            same_bits(a, b)


@pytest.mark.parametrize("name", ["lstm", "lstm_projected", "slstm"])
def test_with_and_without_the_states_of_every_step(name: str):
    call = draw(CELLS[name], T=5, B=3, H=23, P=7)
    plain, watched = call.forward(), call.forward(histories=True)
    for a, b in zip([plain[0], *plain[1], *plain[3]], [watched[0], *watched[1], *watched[3]], strict=True):
        same_bits(a, b)
    last = {k: h[-1] for k, h in zip([k for k in range(len(call.states)) if k != call.cell.output_state], watched[2])}
    for k, h in last.items():
        same_bits(h, watched[1][k], "the last state of the history is the final state")


@EVERY
def test_two_backward_passes_over_one_graph(cell: Cell):
    call = draw(cell, T=6, B=5, H=19, P=8, dtype=torch.float32, sizes=[5, 5, 4, 2, 2, 1])
    output, _, _, kept = call.forward()
    before = [t.clone() for t in (output, *kept)]
    first = call.named(call.backward(output, kept))
    second = call.named(call.backward(output, kept))
    all_same(first, second, "the second pass")
    for a, b in zip(before, [output, *kept], strict=True):
        same_bits(a, b, "backward wrote into what forward kept")
    places = [t.data_ptr() for t in (*first.values(), *second.values(), output, *kept) if t.numel()]
    assert len(set(places)) == len(places), "two results share memory"


def test_calls_at_the_same_time():
    """Threads of Python that call one kernel at once: nothing is shared but what is read."""
    calls = [draw(CELLS["lstm"], T=30, B=5, C=8, H=40, dtype=torch.float32, seed=k) for k in range(4)]
    wanted = [results(call) for call in calls]
    with ThreadPoolExecutor(len(calls)) as pool:
        for _ in range(5):
            for found, alone in zip(pool.map(results, calls), wanted, strict=True):
                all_same(found, alone)


# The code itself

FLAG = re.compile(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b")
ARITHMETIC = re.compile(r"= (tail |musttail |notail )?(fadd|fsub|fmul|fdiv|frem|fneg|fcmp|select|phi|call)\b")


def offending(text: str) -> list[str]:
    """Lines that let LLVM change a bit: arithmetic with a flag, and products that it may or may not fuse."""
    lines = [line for line in text.splitlines() if ARITHMETIC.search(line) and FLAG.search(line.split("(")[0])]
    loose = [line for line in text.splitlines() if "llvm.fmuladd" in line or "fp-math" in line or "fp-contract" in line]
    return lines + loose


def modules(cell: Cell, scalar: str) -> list[str]:
    target, p = host(), program(cell)
    kernels = (
        Forward(p, target, scalar, True, False),
        Forward(p, target, scalar, False, True),
        Backward(p, target, scalar, True),
    )
    return [str(k.module()) for k in kernels]


@pytest.mark.slow
@EVERY
def test_no_flag_in_what_is_emitted(cell: Cell):
    for scalar in ("float32", "float64"):
        for text in modules(cell, scalar):
            assert "llvm.fma." in text and offending(text) == []


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "slstm", "elman_prelu"])
def test_no_flag_after_optimisation(name: str):
    target = host()
    for text in modules(CELLS[name], "float32"):
        optimised = str(compiler._optimised(text, compiler._target_machine(target), name))
        assert "llvm.fma." in optimised and offending(optimised) == []


def test_flags_would_be_found():
    plain = "%3 = fadd <16 x float> %1, %2\n%4 = call <16 x float> @llvm.fma.v16f32(<16 x float> %1)"
    assert offending(plain) == []
    for line in (
        "  %3 = fadd fast <16 x float> %1, %2",
        "  %3 = fmul contract float %1, %2",
        "  %5 = fmul nnan nsz float %1, %2",
        "  %4 = tail call reassoc <16 x float> @llvm.fma.v16f32(<16 x float> %1)",
        "  %4 = call float @llvm.fmuladd.f32(float %1, float %2, float %3)",
        'attributes #0 = { "unsafe-fp-math"="true" }',
    ):
        assert offending(line) == [line]


@pytest.mark.parametrize("name", ["avx512", "avx2", "aarch64"])
def test_a_product_and_a_sum_stay_two_instructions(name: str):
    text = """
    define void @body(ptr %p) {
      %a = load <4 x float>, ptr %p
      %q = getelementptr float, ptr %p, i64 4
      %b = load <4 x float>, ptr %q
      %product = fmul <4 x float> %a, %b
      %sum = fadd <4 x float> %product, %b
      store <4 x float> %sum, ptr %p
      ret void
    }
    """
    code = compiler.emit_assembly(text, target_by_name(name))
    assert "fmul" in code or "mulps" in code
    assert not re.search(r"fmadd|fmla|vfm", code), code

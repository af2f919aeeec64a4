"""From the text of LLVM IR to machine code: the passes, and a process of its own that emits objects for other machines.

This file imports nothing of the package, so that the process starts in a moment. It is run as a script.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from llvmlite import binding as llvm

FRAMES = '"warn-stack-size"="0"'
"""An attribute of functions: LLVM prints a line with the size of their frame."""


def optimise(module: Any, machine: Any) -> None:
    """Runs the passes over a parsed module."""
    # Kernels are emitted as vector code with tiles of full height: LLVM's vectorisers and unrolling find nothing to do.
    # Of the other passes these make kernels with products as fast as a whole optimisation level, which takes ten times
    # as long. Elementwise cells are a few per cent slower.
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.add_loop_rotate_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1)))


def _emit(order: dict[str, str]) -> dict[str, Any]:
    """The object of `order["text"]`, the machine's data layout, and which function calls which."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(order["triple"]).create_target_machine(
        cpu=order["cpu"],
        features=order["features"],
        opt=3,
        reloc=order["reloc"],
        codemodel="default",  # the default of llvmlite is for code in memory, with addresses of 64 bits
        abiname=order["abi"],
    )
    module = llvm.parse_assembly(order["text"])
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    optimise(module, machine)
    calls = {
        f.name: sorted({list(i.operands)[-1].name for b in f.blocks for i in b.instructions if i.opcode == "call"})
        for f in module.functions
        if not f.is_declaration
    }
    slots = {}
    if order["triple"].startswith("riscv"):
        # Emitting changes a module, and the second time its code may differ.
        slots = vector_slots(machine.emit_assembly(llvm.parse_assembly(str(module))))
    code = base64.b64encode(machine.emit_object(module)).decode()
    return {"code": code, "layout": str(machine.target_data), "calls": calls, "slots": slots}


def vector_slots(assembly: str) -> dict[str, int]:
    """Function's name → whole vector registers that RISC-V code keeps in its frame, which LLVM's size leaves out.

    Their size is only known to the machine, so the code computes it from `vlenb`, and lowers the stack pointer by it.
    """
    found: dict[str, int] = {}
    function = ""
    values: dict[str, int] = {}
    for line in assembly.splitlines():
        if line[:1] not in ("", "\t", " ", ".", "#") and ":" in line:
            function, values = line.split(":")[0].strip('"'), {}
        words = line.replace(",", " ").split()
        if len(words) < 3:
            continue
        name, to, *operands = words
        a, b = (values.get(o, 0) for o in (operands[0], operands[-1]))
        if words[0] == "csrr" and operands[0] == "vlenb":
            values[to] = 1
        elif name == "li":
            values[to] = int(operands[0], 0)
        elif name == "mv":
            values[to] = a
        elif name == "slli":
            values[to] = a << int(operands[1], 0)
        elif name in ("add", "mul", "sub") and to != "sp":
            values[to] = {"add": a + b, "mul": a * b, "sub": a - b}[name]
        elif name == "sub" and to == "sp" and function not in found:
            found[function] = b
    return found


def main() -> None:
    """Reads an order from the standard input and writes the answer, both JSON, to the standard output."""
    try:
        answer = _emit(json.load(sys.stdin))
    except RuntimeError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()

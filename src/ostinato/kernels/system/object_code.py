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
    code = base64.b64encode(machine.emit_object(module)).decode()
    return {"code": code, "layout": str(machine.target_data), "calls": calls}


def main() -> None:
    """Reads an order from the standard input and writes the answer, both JSON, to the standard output."""
    try:
        answer = _emit(json.load(sys.stdin))
    except RuntimeError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()

"""LLVM text to a Python callable, for tests of what the emitters give rather than of whole kernels."""

import ctypes

from llvmlite import binding as llvm
from llvmlite import ir

I64 = ir.IntType(64)
POINTER = ir.PointerType()

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def host():
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )


def optimised(text):
    """The module as LLVM leaves it before it selects instructions."""
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(host(), llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return module


def functions_of(text):
    """The functions of a module: `functions_of(text)(name, *argument_types)` is one; arrays go in as pointers."""
    engine = llvm.create_mcjit_compiler(optimised(text), host())
    engine.finalize_object()

    def function(name, *argument_types):
        compiled = ctypes.CFUNCTYPE(None, *argument_types)(engine.get_function_address(name))
        # The code lives as long as the engine does.
        compiled.engine = engine
        return lambda *arguments: compiled(*(a.ctypes.data if hasattr(a, "ctypes") else a for a in arguments))

    return function

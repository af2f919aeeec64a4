"""The C source of a network compiled for other processors and run by emulators: the bits of its stream."""

import subprocess

import pytest
import torch

from export.chips.compiled_source import initial, kernel_of, source_of, tool
from export.chips.test_source import QUICK, cell_network
from ostinato.streaming.streams import Stream
from streaming.drawn import drawn_input, drawn_network

USER = {
    "aarch64": (["aarch64-linux-gnu-gcc"], ["qemu-aarch64"]),
    "riscv64": (["riscv64-linux-gnu-gcc"], ["qemu-riscv64"]),
}
"""name → (compiler, emulator) of systems with Linux."""
BARE = ["arm-none-eabi-gcc", "-nostartfiles", "-nodefaultlibs", "-T", "chip.ld"]
SYSTEM = ["qemu-system-arm", "-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config"]
SYSTEM += ["enable=on,target=native"]
CORTEX = {
    "cortex-m4": (["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"], "mps2-an386"),
    "cortex-m0": (["-mcpu=cortex-m0"], "microbit"),
}
"""name → (flags, machine) of microcontrollers; the second has no floating point registers."""

MAIN = """
#include <stdint.h>
void net_step(void *state, void *work, const NUMBER *x, NUMBER *y);
static const union {{ uint32_t bits[{inputs}]; NUMBER numbers[1]; int64_t align; }} x = {{{{{x}}}}};
static const uint32_t expected[{outputs}] = {{{y}}};
static union {{ uint32_t bits[{states}]; int64_t align; }} state = {{{{{state}}}}};
static int64_t work[{work}];

int main(void)
{{
    int wrong = 0;
    for (int t = 0; t < {steps}; t += 1) {{
        union {{ uint32_t bits[{width}]; int64_t align; }} y;
        net_step(&state, work, x.numbers + t * {line}, (void *)&y);
        for (int i = 0; i < {width}; i += 1)
            wrong += y.bits[i] != expected[t * {width} + i];
    }}
    return wrong != 0;
}}
"""

START = """
int main(void);
extern char stack_top[], data[], data_end[], data_image[], bss[], bss_end[];

void reset(void)
{
    for (char *to = data, *from = data_image; to < data_end;)
        *(volatile char *)to++ = *from++;
    for (char *to = bss; to < bss_end;)
        *(volatile char *)to++ = 0;
#ifdef __ARM_FP
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20;
#endif
    const unsigned status = main() ? 0x20023 : 0x20026;
    register unsigned call __asm__("r0") = 0x18, result __asm__("r1") = status;
    __asm__ volatile("bkpt 0xab" : "+r"(call) : "r"(result) : "memory");
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {stack_top, (void *)reset};
"""

LINKER = """
ENTRY(reset)
MEMORY { ROM (rx) : ORIGIN = 0, LENGTH = 256K
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 16K }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > ROM
    .data : { data = .; *(.data*) data_end = .; } > RAM AT > ROM
    data_image = LOADADDR(.data);
    .bss : { bss = .; *(.bss*) *(COMMON) bss_end = .; } > RAM
    stack_top = ORIGIN(RAM) + LENGTH(RAM);
}
"""


def words(tensor):
    flat = tensor.contiguous().flatten().view(torch.uint8).numpy().view("uint32")
    return ", ".join(map(str, flat))


def write_program(network, folder, steps=6, flip=0):
    """net.c, and a main that returns 0 where all bits are those of the stream. flip: a bit to change in those."""
    kernel = kernel_of(network, bits=32)
    x = drawn_input(network, steps, 1)
    y = Stream(network, 1).push(x)[:, 0].contiguous()
    y.view(torch.int32)[-1, 0] ^= flip
    state = torch.cat([initial(kernel), torch.zeros(1, dtype=network.dtype)])
    number, size = {"float32": ("float", 1), "float64": ("double", 2)}[kernel.scalar]
    numbers = "int64_t" if network.input.tokens else number
    main = MAIN.format(
        x=words(x), inputs=x.numel() * x.itemsize // 4, y=words(y), outputs=y.numel() * size, state=words(state),
        states=state.numel() * size, work=kernel.work_size, steps=steps, width=y.shape[1] * size,
        line=network.input.width,
    )  # fmt: skip
    main = main.replace("const NUMBER *x", f"const {numbers} *x").replace("NUMBER numbers", f"{numbers} numbers")
    (folder / "net.c").write_text(source_of(network, bits=32))
    (folder / "main.c").write_text(main.replace("NUMBER", number))
    (folder / "start.c").write_text(START)
    (folder / "chip.ld").write_text(LINKER)


def runs(folder, compiler, emulator, *, start=()):
    """Whether the program returns 0."""
    for command in (compiler, emulator):
        tool(command[0])
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    objects = [*compiler, "-O2", *strict, "-c", "net.c", "-o", "net.o"]
    link = [*compiler, "-O2", "main.c", *start, "net.o", "-o", "program"]
    link += ["-lgcc"] if start else ["-static"]
    for command in ([c for c in objects if c not in ("-T", "chip.ld")], link):
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
    return (
        subprocess.run([*emulator, *(["-kernel"] if start else []), "program"], cwd=folder, timeout=60).returncode == 0
    )


def system(name):
    flags, machine = CORTEX[name]
    return [*BARE, *flags], [*SYSTEM, "-M", machine]


def network_named(name):
    if name in QUICK:
        return cell_network(name)
    dtype = torch.float64 if name == "float64" else torch.float32
    return drawn_network({"tokens": 0, "drawn": 4, "float64": 3}[name], dtype, tokens=name == "tokens")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, "tokens", "drawn", "float64"])
@pytest.mark.parametrize("target", USER)
def test_the_bits_of_the_stream_under_linux(target, name, tmp_path):
    write_program(network_named(name), tmp_path)
    assert runs(tmp_path, *USER[target])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, "tokens", "drawn"])
@pytest.mark.parametrize("target", CORTEX)
def test_the_bits_of_the_stream_on_a_microcontroller(target, name, tmp_path):
    write_program(network_named(name), tmp_path)
    assert runs(tmp_path, *system(target), start=["start.c"])


@pytest.mark.slow
@pytest.mark.parametrize("target", [*USER, *CORTEX])
def test_one_bit_that_differs_is_found(target, tmp_path):
    write_program(network_named("drawn"), tmp_path, flip=1)
    bare = target in CORTEX
    compiler, emulator = system(target) if bare else USER[target]
    assert not runs(tmp_path, compiler, emulator, start=["start.c"] if bare else ())

"""What an export to C refuses, and what it says."""

import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError, NoKernelsError, ShapeError, StorageError
from ostinato.export import CHIPS, c, chip
from ostinato.export.chips.objects import parts_of
from ostinato.network import Embedding, Input, Network, Parameter

LAYER = ostinato.LSTM(3, 4)


def refused(match, *arguments, error=InputError, **options):
    with pytest.raises(error, match=match) as found:
        c(*arguments, **options)
    text = str(found.value)
    assert text.startswith("export.c") or text.startswith("stream") or text.startswith("Stream")
    assert " must be " in text and ", got " in text
    return text


@pytest.mark.parametrize(
    "given, near",
    [("cortexm4", "cortex-m4"), ("Cortex_M55", "cortex-m55"), ("arch64", "aarch64"), ("x86-64-v5", "x86-64-v4")],
)
def test_a_name_that_is_not_in_the_table_gets_the_nearest(given, near, tmp_path):
    text = refused("target must be one of", LAYER, tmp_path, given)
    assert f"Did you mean '{near}'?" in text or near == "x86-64-v4" and "Did you mean 'x86-64-v" in text


def test_a_target_and_a_triple_are_one_too_many_and_none_is_one_too_few(tmp_path):
    refused("got none", LAYER, tmp_path)
    refused("got both", LAYER, tmp_path, "aarch64", triple="aarch64-unknown-linux-gnu")


@pytest.mark.parametrize("name", [name for name, row in CHIPS.items() if row.source_only])
def test_machines_without_an_object_are_pointed_to_the_source(name, tmp_path):
    text = refused("form must be 'source'", LAYER, tmp_path, name)
    assert CHIPS[name].note in text


def test_a_triple_without_a_vendor_is_refused_with_the_whole_one(tmp_path):
    text = refused("with a vendor", LAYER, tmp_path, triple="thumbv7em-none-eabihf")
    assert "thumbv7em-none-unknown-eabihf" in text
    assert "armv7-unknown-linux-gnueabihf" in refused("with a vendor", LAYER, tmp_path, triple="armv7-linux-gnueabihf")
    refused("architecture-vendor-system", LAYER, tmp_path, triple="aarch64")


def test_a_machine_that_llvm_does_not_know_is_refused(tmp_path):
    text = refused("LLVM emits objects for", LAYER, tmp_path, triple="xtensa-esp32-elf")
    assert "form='source'" in text


def test_a_machine_at_which_llvm_ends_its_process_is_refused(tmp_path):
    text = refused("LLVM emits objects for", LAYER, tmp_path, triple="amdgcn-amd-amdhsa")
    assert "LLVM" in text


def test_a_machine_that_would_call_a_library_is_refused_with_what_it_calls(tmp_path):
    text = refused("fused multiply-add", LAYER, tmp_path, triple="x86_64-unknown-linux-gnu")
    assert "calls fmaf" in text
    refused("fused multiply-add", LAYER, tmp_path, triple="thumbv6m-none-unknown-eabi")


def test_a_machine_with_the_highest_byte_first_is_refused(tmp_path):
    refused("little endian", LAYER, tmp_path, triple="s390x-ibm-linux-gnu")


def test_a_module_of_wasm_is_not_an_object(tmp_path):
    refused("C is linked with", LAYER, tmp_path, triple="wasm32-unknown-unknown")


def test_a_processor_that_llvm_does_not_know_is_refused(tmp_path):
    refused("cpu and features", LAYER, tmp_path, chip("aarch64", cpu="cortex-x99"))


def test_addresses_of_another_width_are_refused(tmp_path):
    refused("bits must be 32", LAYER, tmp_path, chip("cortex-m4", bits=64))


def test_other_triples_run_too(tmp_path):
    found = c(LAYER, tmp_path, triple="aarch64-unknown-freebsd")
    assert found.target == "aarch64-unknown-freebsd" and found.code > 0
    power = chip(triple="powerpc64le-unknown-linux-gnu", cpu="pwr9", lanes=4, registers=32, lanes64=2)
    assert c(LAYER, tmp_path, power).code > 0
    old = chip(triple="i686-unknown-linux-gnu", cpu="haswell", lanes=8, registers=8)
    assert c(LAYER, tmp_path, old).code > 0


@pytest.mark.parametrize("fields", [{"flash": 0}, {"ram": -1}, {"ram": 2.5}, {"flash": True}])
def test_sizes_of_memory_are_whole_numbers(fields):
    with pytest.raises(InputError, match="a number of bytes above 0"):
        chip("cortex-m4", **fields)


def test_fields_of_a_chip_are_known():
    with pytest.raises(InputError, match="Did you mean 'features'"):
        chip("cortex-m4", feature="+v")
    with pytest.raises(InputError, match="either a name or a triple"):
        chip()


def test_what_a_machine_cannot_hold_is_refused(tmp_path):
    text = refused("flash must be at most 8,192 bytes", ostinato.LSTM(32, 32), tmp_path, chip("cortex-m4", flash=8192))
    assert "33,792 of weights" in text
    text = refused("ram must be at most 512 bytes", ostinato.LSTM(32, 32), tmp_path, chip("cortex-m4", ram=512))
    assert "stack" in text
    assert not list(tmp_path.iterdir())


def test_what_an_address_cannot_reach_is_refused_before_it_is_packed(tmp_path):
    table = Parameter("table", (1 << 26, 16), lambda: pytest.fail("read"))
    nodes = Input(place="x", width=1, tokens=1 << 26), Embedding(place="table", inputs=(0,), width=16, table=table)
    big = Network(nodes, 1, torch.float32)
    refused("flash must be at most 2,147,483,648", big, tmp_path, "cortex-m4")


def test_float64_without_its_multiply_add_is_refused(tmp_path):
    text = refused("must be float32", ostinato.LSTM(3, 4).double(), tmp_path, "cortex-m4")
    assert "model.float()" in text


@pytest.mark.parametrize("name", ["", "3d", "a-b", "while", None, "ä"])
def test_names_are_names_of_c(name, tmp_path):
    refused("a name of C", LAYER, tmp_path, "aarch64", name=name)


def test_other_words_are_refused(tmp_path):
    refused('form must be "object" or "source"', LAYER, tmp_path, "aarch64", form="library")
    refused("weights must be", LAYER, tmp_path, "aarch64", weights="file")


def test_models_that_cannot_run_step_by_step_are_refused_with_the_place(tmp_path):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = ostinato.LSTM(3, 4)

        def forward(self, x):
            return self.layer(x.flip(0))[0]

    assert "flip" in refused("stream", Backwards(), tmp_path, "aarch64")
    refused("torch.nn.Module", "model.pt", tmp_path, "aarch64")


@pytest.mark.parametrize("samples", [torch.zeros(5, 4), torch.zeros(3), torch.zeros(0, 3), "x"])
def test_samples_of_other_sizes_are_refused(samples, tmp_path):
    refused("samples must be of the sizes", LAYER, tmp_path, "aarch64", samples=samples, error=ShapeError)


def test_samples_whose_outputs_are_no_numbers_are_refused(tmp_path):
    refused("must be finite", LAYER, tmp_path, "aarch64", samples=torch.full((2, 3), float("nan")))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    refused("can be written", LAYER, tmp_path / "file", "aarch64", error=StorageError)


def test_a_machine_without_kernels_does_not_export(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_TARGET", "sse")
    with pytest.raises(NoKernelsError):
        c(LAYER, tmp_path, "aarch64")


def test_bytes_that_are_no_object_are_refused():
    with pytest.raises(InputError, match="ELF, Mach-O or COFF"):
        parts_of(b"\0asm\1\0\0\0")

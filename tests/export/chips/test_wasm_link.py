"""The linker of WebAssembly objects, and the fused multiply-add in software."""

import random
import struct
from fractions import Fraction

import pytest
from llvmlite import ir

from export.chips.browsers import node
from ostinato.export.web import leb
from ostinato.export.web.emit import compiled
from ostinato.export.web.fused import F32, I32, V4, define_fused
from ostinato.export.web.wasm_module import Region, link
from ostinato.export.web.wasm_object import LinkError, read_object

PTR = ir.PointerType()


def object_of(define):
    """The object of a module that `define` fills."""
    module = ir.Module("test")
    define(module)
    return compiled(module, "exact")


def function(module, name, kind):
    made = ir.Function(module, kind, name)
    return made, ir.IRBuilder(made.append_basic_block("entry"))


def caller(module):
    """f(), which calls a function that the module lacks."""
    other = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "elsewhere")
    _, b = function(module, "f", ir.FunctionType(ir.VoidType(), []))
    b.call(other, [])
    b.ret_void()


def reader(module, name="place", content=None):
    """f(): the first number of a region, or of data in the object."""
    data = ir.GlobalVariable(module, I32, name)
    if content is not None:
        data.initializer = ir.Constant(I32, content)
    data.type = PTR
    _, b = function(module, "f", ir.FunctionType(I32, []))
    b.ret(b.load(data, typ=I32))


def patched(data, kind, content):
    """An object with one more section at its end."""
    return data + bytes([kind]) + leb.unsigned(len(content)) + content


def test_integers_are_written_and_read_back():
    draw = random.Random(0)
    for n in [
        0,
        1,
        63,
        64,
        127,
        128,
        2**31 - 1,
        2**32 - 1,
        *(draw.getrandbits(draw.randint(1, 32)) for _ in range(200)),
    ]:
        assert leb.Reader(leb.unsigned(n)).unsigned() == n
        assert all(leb.Reader(leb.signed(v)).signed() == v for v in (n, -n))
        if n < 2**31:
            assert len(leb.padded(n)) == 5
            assert leb.Reader(leb.padded(n)).unsigned() == leb.Reader(leb.padded(n)).signed() == n


def test_addresses_of_regions_are_resolved_and_their_content_is_there(tmp_path):
    found = read_object(object_of(reader))
    regions = [Region("other", 100), Region("place", 4, struct.pack("<I", 123456))]
    module = link(found, regions, ["f"], stack=1000)
    assert module.addresses == {"other": 1024, "place": 1024 + 128, "heap": 1024 + 192}
    (tmp_path / "m.wasm").write_bytes(module.data)
    code = """
const e = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync("m.wasm"))).exports;
say([e.f(), e.place.value, e.heap.value, e.memory.buffer.byteLength]);
"""
    assert node(tmp_path, code, relaxed=False) == [[123456, 1152, 1216, 65536]]


def test_what_the_linker_has_no_rule_for_is_refused():
    good = object_of(reader)
    with pytest.raises(LinkError, match="its own, got the function elsewhere"):
        link(read_object(object_of(caller)), [], ["f"], 64)
    with pytest.raises(LinkError, match="a section must be .*, got number 1[12]"):
        read_object(object_of(lambda m: reader(m, content=5)))
    with pytest.raises(LinkError, match="data of the object, place"):
        read_object(patched(good, 0, leb.name("linking") + b"\2\x08\x0a\1\1\0" + leb.name("place")))
    with pytest.raises(LinkError, match="a symbol of its kind that is defined, got R_WASM_MEMORY_ADDR_LEB of place"):
        link(read_object(good), [Region("elsewhere", 4)], ["f"], 64)
    with pytest.raises(LinkError, match="an exported function must be f, got g"):
        link(read_object(good), [Region("place", 4)], ["g"], 64)
    with pytest.raises(LinkError, match="less than 2 GiB"):
        link(read_object(good), [Region("place", 2**31)], ["f"], 64)
    with pytest.raises(LinkError, match="magic number"):
        read_object(b"\x7fELF\2\1\1\0")
    with pytest.raises(LinkError, match="a section must be .*, got number 9"):
        read_object(patched(good, 9, b"\0"))
    with pytest.raises(LinkError, match="got new.section"):
        read_object(patched(good, 0, leb.name("new.section")))
    with pytest.raises(LinkError, match="version 2, got 3"):
        read_object(patched(good, 0, leb.name("linking") + b"\3"))
    with pytest.raises(LinkError, match="the symbol table, 8, got 5"):
        read_object(patched(good, 0, leb.name("linking") + b"\2\5\0"))
    with pytest.raises(LinkError, match="a symbol must be a function, data or a global, got kind 4"):
        read_object(patched(good, 0, leb.name("linking") + b"\2\x08\3\1\4\0"))
    with pytest.raises(LinkError, match="the code section, got section 0"):
        read_object(patched(good, 0, leb.name("reloc.CODE") + b"\0\0"))
    with pytest.raises(LinkError, match="a relocation must be .*, got type 26"):
        code = read_section_number(good, 10)
        read_object(patched(good, 0, leb.name("reloc.CODE") + bytes([code, 1, 26, 0, 0])))
    with pytest.raises(LinkError, match="an import must be .*, got tag"):
        imported = leb.name("env") + leb.name("tag") + b"\4\0\0"
        read_object(patched(good, 2, b"\1" + imported))
    with pytest.raises(LinkError, match="a global must be __stack_pointer, got other"):
        imported = leb.name("env") + leb.name("other") + b"\3\x7f\0"
        link(read_object(patched(good, 2, b"\1" + imported)), [Region("place", 4)], ["f"], 64)


def read_section_number(data, kind):
    """Which section of an object, counted from 0, has this kind."""
    reader, count = leb.Reader(data, 8), 0
    while reader:
        if reader.byte() == kind:
            return count
        reader.take(reader.unsigned())
        count += 1
    raise AssertionError(kind)


# The fused multiply-add.


def rounded(value):
    """The float32 nearest to a Fraction, ties to even, as its bits."""
    sign, value = (1 << 31, -value) if value < 0 else (0, value)
    if value == 0:
        return sign
    exponent = max(-126, value.numerator.bit_length() - value.denominator.bit_length() - 1)
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    whole, rest = divmod(value / Fraction(2) ** (exponent - 23), 1)
    whole += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2)
    if whole == 1 << 24:
        whole, exponent = whole >> 1, exponent + 1
    if exponent > 127:
        return sign | 0x7F800000
    return sign | (whole + ((exponent + 126) << 23) if whole >= 1 << 23 else whole)


def as_float(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def hard_case(draw):
    """Bits of a, b, c: any numbers; or a sum next to halfway between two float32, normal and subnormal."""
    kind = draw.randrange(4)
    if kind == 0:
        return [draw.getrandbits(32) for _ in range(3)]
    exponent = draw.choice((-149, -140, -126, -100, -20, 0, 40, 100)) + draw.randrange(12)
    c = draw.getrandbits(24) * 2.0 ** min(exponent, 100) * draw.choice((-1, 1))
    half = 2.0 ** (min(exponent, 100) - draw.choice((0, 1, 1, 2)))
    # a · b is half of the last bit of c, or that plus or minus as little as 2^-46 of it.
    small = draw.choice((0, 1, -1)) * 2.0 ** -draw.randrange(10, 24)
    split = 2.0 ** draw.choice((-60, -20, 0, 20))
    a, b = split * (1 + small), half / split * (1 + draw.choice((0, 1, -1)) * small)
    values = [struct.unpack("<I", struct.pack("<f", v if abs(v) < 3e38 else 1.0))[0] for v in (a, b, c)]
    return values if kind < 3 else [values[1], values[0], values[2]]


def expected(a, b, c):
    """Bits of a · b + c rounded once; None for NaN."""
    x, y, z = (as_float(v) for v in (a, b, c))
    if any(v != v or abs(v) == float("inf") for v in (x, y, z)):
        value = x * y + z
        return None if value != value else struct.unpack("<I", struct.pack("<f", value))[0]
    total = Fraction(x) * Fraction(y) + Fraction(z)
    if total == 0:
        value = x * y + z if x * y != 0 or Fraction(x) * Fraction(y) == 0 else 0.0
        return struct.unpack("<I", struct.pack("<f", value))[0]
    return rounded(total)


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    """A module with vector(x, y) and scalar(x, y): y = x[0] · x[1] + x[2], four numbers or one."""

    def define(module):
        for name, kind, suffix in (("vector", V4, "v4f32"), ("scalar", F32, "f32")):
            fma = ir.Function(module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{suffix}")
            made, b = function(module, name, ir.FunctionType(ir.VoidType(), [PTR, PTR]))
            x, y = made.args
            parts = [b.load(b.gep(x, [ir.Constant(I32, k)], source_etype=kind), typ=kind, align=4) for k in range(3)]
            b.store(b.call(fma, parts), y, align=4)
            b.ret_void()
        define_fused(module, "exact")

    folder = tmp_path_factory.mktemp("fused")
    module = link(read_object(object_of(define)), [Region("x", 48), Region("y", 16)], ["vector", "scalar"], 1024)
    (folder / "m.wasm").write_bytes(module.data)
    return folder


def run_fused(folder, cases):
    """Bits of the results of vector and scalar for each case."""
    (folder / "cases.bin").write_bytes(b"".join(struct.pack("<3I", *case) for case in cases))
    code = """
const e = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync("m.wasm"))).exports;
const cases = new Uint32Array(new Uint8Array(fs.readFileSync("cases.bin")).buffer), count = cases.length / 3;
const memory = new Uint32Array(e.memory.buffer), x = e.x.value / 4, y = e.y.value / 4;
const vector = [], scalar = [];
for (let k = 0; k < count; k++) {
  for (let i = 0; i < 12; i++) memory[x + i] = cases[3 * ((k + i % 4) % count) + (i >> 2)];
  e.vector(e.x.value, e.y.value);
  vector.push(memory[y]);
  for (let i = 0; i < 3; i++) memory[x + i] = cases[3 * k + i];
  e.scalar(e.x.value, e.y.value);
  scalar.push(memory[y]);
}
say(vector);
say(scalar);
"""
    return node(folder, code, relaxed=False)


@pytest.mark.parametrize("count", [8_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_the_product_and_sum_in_software_are_rounded_once(count, fused):
    draw = random.Random(count)
    cases = [hard_case(draw) for _ in range(count)]
    vector, scalar = run_fused(fused, cases)
    wrong, halfway = [], 0
    for case, v, s in zip(cases, vector, scalar, strict=True):
        bits = expected(*case)
        if bits is None:
            wrong += [case] * any(r & 0x7F800000 != 0x7F800000 or not r & 0x7FFFFF for r in (v, s))
        else:
            wrong += [case] * (v != bits or s != bits)
            twice = as_float(case[0]) * as_float(case[1]) + as_float(case[2])  # rounded to float64, then to float32
            halfway += abs(twice) < 3e38 and struct.unpack("<I", struct.pack("<f", twice))[0] != bits
    assert not wrong
    assert halfway > count // 1000, "the cases must have some that rounding twice gets wrong"

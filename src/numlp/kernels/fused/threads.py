"""The threads, and how the parts of a loop come to them.

Numba's own parallel loops take its compiler longer than all that is in them. Here each part is a plain call of a compiled
function, and only the hand-over to Numba's threads is written out: half as long to compile, and sooner begun.
"""

import ctypes
import os
from importlib import metadata
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.targetconfig import ConfigStack
from numba.extending import intrinsic

from numlp import blas

_INT, _LONG, _BYTES = ir.IntType(32), ir.IntType(64), cgutils.voidptr_t
_Longs = _LONG.as_pointer()
# Numba's threads do the work of a ufunc: (arrays, how many elements, strides, what else the ufunc is given)
_Ufunc = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _Longs, _Longs, _BYTES])
# the ufunc and its four arguments, then the number of further dimensions, of arrays, and of threads
_ParallelFor = ir.FunctionType(ir.VoidType(), [_BYTES, _BYTES.as_pointer(), _Longs, _Longs, _BYTES, _LONG, _LONG, _INT])

_TBB = {"libtbb.so.12", "tbb12.dll"}

Value = Any  # a number or an address, while code is written


@intrinsic
def spread(typing, body, parts, arguments):
    """Call body(p, parts, *arguments) for each p < parts, on the threads there are; return when all have returned.

    `body` is compiled with the flags of the kernel that calls this, allocates nothing and raises nothing: nobody would hear
    of it. A single part is called at once.
    """
    kinds = tuple(types.unliteral(kind) for kind in arguments.types)
    signature = types.void(types.int64, types.int64, *kinds)

    def generate(context, b, _, given):
        flags = ConfigStack().top().copy()
        flags.nrt = False
        compiled = context.compile_subroutine(b, body.dispatcher.py_func, signature, flags=flags)
        _, n, packed = given
        values = [
            context.cast(b, value, kind, plain)
            for value, kind, plain in zip(cgutils.unpack_tuple(b, packed), arguments.types, kinds, strict=True)
        ]

        def call(b, first, last, n, values):
            with cgutils.for_range_slice(b, first, last, ir.Constant(_LONG, 1)) as (p, _):
                context.call_internal_no_propagate(b, compiled.fndesc, signature, [p, n, *values])

        with b.if_else(b.icmp_signed("==", n, ir.Constant(_LONG, 1))) as (alone, together):
            with alone:
                call(b, ir.Constant(_LONG, 0), n, n, values)
            with together:
                _launch(b, compiled.fndesc.mangled_name, n, values, call)
        return context.get_dummy_value()

    return types.void(body, types.int64, arguments), generate


def _launch(b: ir.IRBuilder, name: str, n: Value, values: list[Value], call: Any) -> None:
    """Write the call of Numba's threads, and the ufunc whose one array is the numbers of the parts."""
    box_type = ir.LiteralStructType([_LONG, *(value.type for value in values)])
    ufunc = ir.Function(b.module, _Ufunc, b.module.get_unique_name(f"spread.{name}"))
    ufunc.linkage = "internal"
    code = ir.IRBuilder(ufunc.append_basic_block())
    arrays, lengths, _, box = ufunc.args
    inside = [code.extract_value(code.load(code.bitcast(box, box_type.as_pointer())), i) for i in range(len(values) + 1)]
    first = code.ptrtoint(code.load(arrays), _LONG)
    call(code, first, code.add(first, code.load(lengths)), inside[0], inside[1:])
    code.ret_void()

    # the array needs no memory: element p of one that begins at address 0, a byte each, has the address p
    box = cgutils.alloca_once(b, box_type)
    for i, value in enumerate([n, *values]):
        b.store(value, cgutils.gep_inbounds(b, box, 0, i))
    array, length, stride = (cgutils.alloca_once_value(b, value) for value in (_BYTES(None), n, ir.Constant(_LONG, 1)))
    threads = b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(_INT, []), "get_num_threads"), [])
    launch = cgutils.get_or_insert_function(b.module, _ParallelFor, "numba_parallel_for")
    more_dimensions, arrays = ir.Constant(_LONG, 0), ir.Constant(_LONG, 1)
    box = b.bitcast(box, _BYTES)
    b.call(launch, [b.bitcast(ufunc, _BYTES), array, length, stride, box, more_dimensions, arrays, threads])


def limit_threads(n_threads: int) -> int:
    """Let the loops that this Python thread starts use so many threads, and return how many they had."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    return before


def _choose_threads() -> None:
    """Prefer OpenMP where the CPUs are free, TBB where other programs keep them busy; Numba chooses once a process.

    A loop of OpenMP waits for all its threads, and wakes them in a microsecond; where one of them is kept from its CPU by
    another program, every loop waits for milliseconds. A loop of TBB ends when its work is done, whoever did it, but its
    threads fall asleep between two loops, and the parts wander between the caches: a tenth slower on free CPUs, and
    three to eight times faster on busy ones. On a single CPU there is nobody to wait for, and a fork would wait for TBB's
    threads for ever. NUMBA_THREADING_LAYER decides otherwise.
    """
    _load_tbb()
    if "NUMBA_THREADING_LAYER" not in os.environ and (blas.usable_cpus() == 1 or not blas.cpus_are_busy()):
        numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def _load_tbb() -> None:
    """Load the TBB that pip installed beside this interpreter: the system does not look for it there."""
    try:
        installed = metadata.files("tbb") or []
    except metadata.PackageNotFoundError:
        return
    for file in installed:
        if file.name in _TBB:
            ctypes.CDLL(str(file.locate()))


# All compiled functions are plain loops to Numba, which would start no threads for them; and only then has it the symbols
# that are linked to.
_choose_threads()
numba.get_num_threads()

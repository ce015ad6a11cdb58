"""Functions of single values, done for the values of many spans.

A vector is an array of numbers or truths, an Arrow array of texts, or distinct values with the place of each span's.
Where there is no quick way a function is asked once for every distinct value.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.decoding.alike.walk import Ints, Truths
from collector.normalising import coercion, values

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """Distinct values, not sorted, and which of them each span has."""

    distinct: list[Any]
    codes: Ints

    def mapped(self, function: Callable[[Any], Any]) -> "Coded":
        """``function`` of every value; None where there is none, or where it fails."""
        return Coded([_tried(function, value) for value in self.distinct], self.codes)


INT, DOUBLE, TRUTH = (np.dtype(kind).char for kind in (np.int64, np.float64, np.bool_))
Vector = Any  # Numbers, a pyarrow.Array of texts, or Coded; pyarrow has no types
Outcome = tuple[Vector, Truths]
"""What came out for each span, and where that is known not to be None."""


def lifted(function: Callable[..., Any], arguments: Sequence[Any], size: int, *, exactly: bool = False) -> Outcome:
    """``function`` of vectors and of constants, for ``size`` spans. ``exactly``: what is None is known, too."""
    quick = None if exactly else QUICK.get((function, *map(_kind, arguments)))
    if quick is not None:
        return quick(*arguments)
    vectors = [at for at, one in enumerate(arguments) if isinstance(one, np.ndarray | pa.Array | Coded)]
    if len(vectors) == 1:
        before, after = arguments[: vectors[0]], arguments[vectors[0] + 1 :]
        return known(coded(arguments[vectors[0]]).mapped(lambda value: function(*before, value, *after)))
    rows = zip(*(each(one, size) for one in arguments), strict=True)
    return known(Coded([_tried(function, *row) for row in rows], np.arange(size)))


def _tried(function: Callable[..., Any], *values: Any) -> Any:
    """An answer that does not hold for a span may ask of it what makes no sense: a dialect may be anybody's."""
    try:
        return None if None in values else function(*values)
    except Exception:  # noqa: BLE001  the span is then read the careful way, and fails there if it must
        return None


def known(vector: Coded) -> Outcome:
    """Where the values are not None."""
    return vector, np.fromiter((value is not None for value in vector.distinct), np.bool_)[vector.codes]


def truths(vector: Vector) -> Truths:
    """Where the values are true."""
    if isinstance(vector, np.ndarray):
        return vector.astype(np.bool_)
    one = coded(vector)
    return np.fromiter((bool(value) for value in one.distinct), np.bool_, len(one.distinct))[one.codes]


def coded(vector: Vector) -> Coded:
    """The distinct values of ``vector``. Doubles are told apart by their bits."""
    if isinstance(vector, Coded):
        return vector
    if isinstance(vector, np.ndarray):
        bits = vector.view(np.int64) if vector.dtype == np.float64 else vector
        places = pa.array(bits).dictionary_encode()
        distinct = places.dictionary.to_numpy(zero_copy_only=False).astype(bits.dtype)
        return Coded(distinct.view(vector.dtype).tolist(), places.indices.to_numpy())
    places = vector.dictionary_encode()
    return Coded(places.dictionary.to_pylist(), places.indices.to_numpy())


def each(argument: Any, size: int) -> Sequence[Any]:
    """The value of every span as Python has it."""
    if isinstance(argument, np.ndarray):
        return list(argument.tolist())
    if isinstance(argument, pa.Array):
        return list(argument.to_pylist())
    if isinstance(argument, Coded):
        return [argument.distinct[code] for code in argument.codes.tolist()]
    return [argument] * size


def array(vector: Vector, kind: pa.DataType) -> pa.Array:
    """``vector`` as a column."""
    if isinstance(vector, Coded):
        return pa.array(vector.distinct, type=kind).take(pa.array(vector.codes))
    made = pa.array(vector) if isinstance(vector, np.ndarray) else vector
    return made if made.type == kind else made.cast(kind)


def texts(vector: Vector) -> tuple[pa.Array, Truths]:
    """Every value as the store's maps have it, and where it is short enough not to be cut."""
    if isinstance(vector, pa.Array):
        return vector, _byte_lengths(vector) <= values.MAX_TEXT
    if isinstance(vector, np.ndarray) and vector.dtype == np.int64:
        return pa.array(vector).cast(pa.string()), np.ones(len(vector), np.bool_)
    one = coded(vector).mapped(values.text)
    short = [text is not None and len(text) <= values.MAX_TEXT for text in one.distinct]
    return array(one, pa.string()), np.array(short, np.bool_)[one.codes]


def same(vector: Vector, sample: Any) -> Truths:
    """Where the value is ``sample``, which is one of them, to the bit."""
    if isinstance(vector, np.ndarray):
        bits = vector.view(np.int64) if vector.dtype == np.float64 else vector
        return np.asarray(bits == np.array([sample], vector.dtype).view(bits.dtype)[0])
    if isinstance(vector, pa.Array):
        return np.asarray(_equal(vector, sample)[0])
    alike = [type(value) is type(sample) and repr(value) == repr(sample) for value in vector.distinct]
    return np.asarray(np.array(alike, np.bool_)[vector.codes])


def _kind(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return str(argument.dtype.char)
    return "text" if isinstance(argument, pa.Array) else type(argument).__name__


def _byte_lengths(vector: pa.Array) -> Ints:
    lengths: Ints = pc.binary_length(vector).to_numpy().astype(np.int64)
    return lengths


def _name(vector: pa.Array) -> Outcome:
    """Sure only up to as many bytes as it may have characters."""
    lengths = _byte_lengths(vector)
    return vector, (lengths > 0) & (lengths <= coercion.MAX_NAME)


def _count(vector: Numbers) -> Outcome:
    return vector, (vector >= 0) & (vector <= coercion.MAX_COUNT)


def _seconds(vector: Numbers) -> Outcome:
    return vector, (vector >= 0.0) & (vector <= coercion.MAX_SECONDS)


def _real(vector: Numbers) -> Outcome:
    return vector, np.isfinite(vector)


def _sum(vector: Numbers, other: Any) -> Outcome:
    """Sure only where it cannot be too large for 64 bits."""
    sure = (np.abs(vector) < 1 << 61) & (np.abs(other) < 1 << 61)
    return vector + np.where(np.abs(other) < 1 << 61, other, 0), np.asarray(sure)


def _always(function: Callable[..., Any]) -> Callable[..., Outcome]:
    def quick(*arguments: Any) -> Outcome:
        made = np.asarray(function(*arguments))
        return made, np.ones(len(made), np.bool_)

    return quick


def _equal(vector: pa.Array, constant: str) -> Outcome:
    made = pc.equal(vector, pa.scalar(constant, vector.type)).to_numpy(zero_copy_only=False)
    return made, np.ones(len(made), np.bool_)


def _unequal(vector: pa.Array, constant: str) -> Outcome:
    made, sure = _equal(vector, constant)
    return ~np.asarray(made), sure


QUICK: Final[dict[tuple[Any, ...], Callable[..., Outcome]]] = {
    (coercion.name, "text"): _name,
    (coercion.count, INT): _count,
    (coercion.seconds, DOUBLE): _seconds,
    (coercion.real, DOUBLE): _real,
    (coercion.flag, TRUTH): lambda vector: (vector, np.ones(len(vector), np.bool_)),
    (operator.add, INT, INT): _sum,
    (operator.eq, "text", "str"): _equal,
    (operator.ne, "text", "str"): _unequal,
    **{
        (function, *kinds): _always(function)
        for function in (operator.le, operator.lt, operator.eq)
        for kinds in ((DOUBLE, DOUBLE), (INT, INT))
    },
}
"""Each gives exactly what the function gives, or says that it is not known."""

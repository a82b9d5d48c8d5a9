"""The ops: each a formula in NumPy with its rules beside it. See `TABLE`."""

from . import activation, attention, conv, elementwise, index, linalg, loss, norm
from . import pool, reduce, segment, shape, sparse

FAMILIES = (
    elementwise,
    activation,
    reduce,
    shape,
    index,
    linalg,
    attention,
    conv,
    pool,
    norm,
    segment,
    sparse,
    loss,
)


def _export():
    """Every op of the table, and nothing else, is a name of this package."""
    from ..op import TABLE

    for name, entry in TABLE.items():
        if not name.startswith("_"):
            globals()[name] = entry.call
    return sorted(name for name in TABLE if not name.startswith("_"))


__all__ = _export()

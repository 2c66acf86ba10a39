"""Whose fault an error is: a call takes every OSError for the target's, and some are ours."""

from __future__ import annotations

import errno

from lbcore.errors import LbcoreError

# Descriptors, buffers, memory, local ports: no target did that, and ejecting one would make it worse.
_SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))


def blame(error: OSError) -> BaseException:
    """``error`` as a call should hear it: itself, or, for a shortage on this machine, one that is neither a success
    nor a failure of the target."""
    return LbcoreError(str(error)) if error.errno in _SHORTAGES else error

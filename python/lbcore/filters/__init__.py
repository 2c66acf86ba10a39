"""What happens to a request after its route matched: filters as values, and the programs they are compiled to.

    rule = program([RequestHeaders(set={"X-Env": "blue"}), URLRewrite(path=ReplacePrefixMatch("/v2"))])
    rule.forward("GET", "api.test", "/v1/users", "page=2", [("Host", "api.test")], len("/v1"))
    # ("GET", "api.test", "/v2/users?page=2", [("X-Env", "blue")])

Values are immutable and checked when they are made.  A program is made once for each rule; a rule without filters has
none, and costs nothing.  Nothing here does I/O, reads a clock or draws a random number.
"""

from __future__ import annotations

from lbcore._core import Answer
from lbcore.filters.check import check_filters
from lbcore.filters.effort import Retry, Timeouts
from lbcore.filters.program import INVALID_BACKEND, MISDIRECTED, Program, Share, own_host, program
from lbcore.filters.programs import Programs
from lbcore.filters.values import (
    Cors,
    Filter,
    HttpsOnly,
    Mirror,
    ReplaceFullPath,
    ReplacePrefixMatch,
    RequestHeaders,
    RequestRedirect,
    ResponseHeaders,
    ToService,
    URLRewrite,
)

__all__ = [
    "INVALID_BACKEND",
    "MISDIRECTED",
    "Answer",
    "Cors",
    "Filter",
    "HttpsOnly",
    "Mirror",
    "Program",
    "Programs",
    "ReplaceFullPath",
    "ReplacePrefixMatch",
    "RequestHeaders",
    "RequestRedirect",
    "ResponseHeaders",
    "Retry",
    "Share",
    "Timeouts",
    "ToService",
    "URLRewrite",
    "check_filters",
    "own_host",
    "program",
]

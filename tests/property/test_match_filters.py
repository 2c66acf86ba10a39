"""A match forwards as its route's program does, called with what the slow twin of the router found."""

from hypothesis import given
from hypothesis import strategies as st

import lbcore
from lbcore import filters as f

names = st.sampled_from(("X-A", "x-a", "Accept", "Host"))
lines = st.lists(st.tuples(names, st.sampled_from(("1", "a b", "z"))), max_size=4)
queries = st.sampled_from(("", "?", "?a=1&b", "?/../x"))
elements = st.lists(st.sampled_from(("a", "b", "a..", "%20", ";p")), max_size=4)
modifiers = st.sampled_from(
    (None, f.ReplaceFullPath("/n"), f.ReplacePrefixMatch("/n/m"), f.ReplacePrefixMatch(""))
)
own = st.builds(
    lambda host, path, edit: [f.URLRewrite(host, path), *edit],
    st.sampled_from((None, "in.ternal")),
    modifiers,
    st.lists(st.just(f.RequestHeaders(set={"X-A": "r"}, remove=["accept"])), max_size=1),
)
theirs = st.lists(
    st.sampled_from((f.RequestHeaders(add={"X-A": "b"}), f.URLRewrite("b.internal"))), max_size=2, unique=True
)


@given(
    filters=own,
    backends=st.lists(theirs, min_size=1, max_size=3),
    prefix=elements,
    rest=elements,
    slashes=st.tuples(st.booleans(), st.booleans()),
    query=queries,
    headers=lines,
    binary=st.booleans(),
)
def test_forward_is_the_programs(filters, backends, prefix, rest, slashes, query, headers, binary):
    path = "/" + "/".join(prefix) + ("/" if slashes[0] and prefix else "")
    target = "/" + "/".join(prefix + rest) + ("/" if slashes[1] and prefix + rest else "")
    made = [lbcore.Backend(lbcore.Upstream(f"u{i}", ["t:1"]), 1, each) for i, each in enumerate(backends)]
    router = lbcore.Router([lbcore.Route("r", path=path, filters=filters, backends=made)])
    m = router.match("GET", "h.test", target + query)
    if binary:
        headers = [(n.encode(), v.encode()) for n, v in headers]
    matched = len("/" + "/".join(prefix))
    rule = f.program(filters)
    facts = ("GET", "h.test", target, query[1:] if query else None, headers, matched, binary)
    assert m.forward(headers, binary=binary) == rule.forward(*facts)
    for backend in m.backends:
        assert m.forward(headers, backend, binary=binary) == rule.plus(backend.filters).forward(*facts)

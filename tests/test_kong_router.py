"""Kong's two router flavours, row by row: recorded answers, and Kong's own router tests.

Rows that cannot agree by lbcore's rules are listed with the reason; whatever else differs fails.
"""

import json
from collections import Counter

import pytest

import kong_router as kong
import lbcore

pytest.importorskip("re2")

CACHED = "a test of Kong's cache: it keeps an old router on purpose"

# (file, case, check, flavour)
OTHER_ANSWER = {
    ("spec", 276, 0, "traditional_compatible"): CACHED,
    ("spec", 276, 1, "traditional_compatible"): CACHED,
}
# Cases of spec.json whose tables are refused, with a word of what they are told.
REFUSED_TABLES = {
    **dict.fromkeys(range(11, 16), "is not a host name"),  # an IPv6 address has many spellings
    **dict.fromkeys(range(28, 32), "is not canonical"),
    265: "a URI cannot hold",
    273: "is not a host name",  # an SNI with "*" on the right
}


def rows(file, cases):
    """(case, number of the check, check, flavour, expected route or None)."""
    for case in cases:
        for i, check in enumerate(case["checks"]):
            for name in kong.FLAVORS:
                if file == "oracle":
                    yield case, i, check, name, check["expect"][name].get("route")
                elif name in check["flavors"]:
                    expect = check["expect"]
                    yield case, i, check, name, expect.get("route") if expect.get("matched", True) else None


def differs_by_rule(request, got):
    """Rule 6: hosts are the same in any case.  Rule 4: a %2F is refused where "/" would select another route."""
    upper = request.get("host", "").startswith("A.")
    return upper or (got == "refused" and "%2F" in request.get("request_uri", ""))


def replay(file, cases):
    """How many rows agree by subsystem and flavour; the rows that neither agree nor may differ."""
    routers, agreed, wrong = {}, Counter(), []
    for case, i, check, name, want in rows(file, cases):
        if (case["id"], name) not in routers:
            routers[case["id"], name] = kong.router_of(case, name)
        got = kong.answer(routers[case["id"], name], case, check["request"])
        row = (file, case["id"], i, name)
        agreed[case["subsystem"], name] += got == want
        if (got == want) == (row in OTHER_ANSWER) and not (
            got != want and differs_by_rule(check["request"], got)
        ):
            wrong.append((*row, got, want))
    return agreed, wrong


def test_recorded_answers(shared):
    cases = json.loads((shared / "cases/kong-router/oracle.json").read_text())["cases"]
    agreed, wrong = replay("oracle", cases)
    assert not wrong
    assert agreed == {
        ("http", "traditional"): 1409,
        ("http", "traditional_compatible"): 1409,
        ("stream", "traditional"): 432,
        ("stream", "traditional_compatible"): 432,
    }


def test_kongs_own_router_tests(shared):
    cases = json.loads((shared / "cases/kong-router/spec.json").read_text())["cases"]
    _, wrong = replay("spec", [case for case in cases if case["id"] not in REFUSED_TABLES])
    assert not wrong
    for case in cases:
        if case["id"] in REFUSED_TABLES:
            with pytest.raises(lbcore.ConfigError, match=REFUSED_TABLES[case["id"]]):
                kong.router_of(case, "traditional")
    # The flavour "expressions" is left: its language is not read.
    left = sum("expressions" in check["flavors"] for case in cases for check in case["checks"])
    assert left == 244


# ---- the recorded answers that are in this tree (tests/golden/kong/README.md) ----------------------------------


def case_of(lines):
    """A router and its requests from the lines of one table of routes.txt."""
    flavor, _, subsystem = lines[0][1:].split("\t")
    stream = subsystem == "stream"
    routes = [route_of_line(line, stream) for line in lines if line[0] == "R"]
    router = lbcore.Router(routes, "kong_traditional" if flavor == "2" else "kong_compatible")
    return router, {"subsystem": subsystem}, [line for line in lines if line[0] == "Q"]


def end_of(text):
    ip, _, port = text.partition("@")
    return {"ip": ip or None, "port": int(port) or None}


def route_of_line(line, stream):
    index, *fields = line[1:].split("\t")
    found = {letter: [field[1:] for field in fields if field[0] == letter] for letter in "hmsadHprP"}
    headers = {}
    for field in found["H"]:
        name, _, test = field.partition("=")
        headers[name] = [f"~*{test[1:]}"] if test[0] == "~" else test[1:].split("|")
    route = {
        "hosts": found["h"],
        "methods": found["m"],
        "snis": found["s"],
        "headers": headers,
        "sources": [end_of(text) for text in found["a"]],
        "destinations": [end_of(text) for text in found["d"]],
        "regex_priority": int((found["P"] or [0])[0]),
    }
    path = next(iter(found["p"]), None) or ("~" + found["r"][0] if found["r"] else None)
    return kong.route_of(int(index), route, path, stream)


def request_of_line(line):
    want, *fields = line[1:].split("\t")
    found = {field[0]: field[1:] for field in fields}
    request = {
        key: found[letter]
        for letter, key in (
            ("c", "scheme"),
            ("m", "method"),
            ("t", "request_uri"),
            ("h", "host"),
            ("s", "sni"),
        )
        if letter in found
    }
    request["headers"] = {}
    for field in fields:
        if field[0] == "F":
            name, _, value = field[1:].partition("=")
            request["headers"].setdefault(name, []).append(value)
    for letter, end in (("a", "src"), ("d", "dst")):
        if letter in found:
            ip, _, port = found[letter].partition("@")
            request[f"{end}_ip"], request[f"{end}_port"] = ip, int(port)
    return request, None if want == "-1" else int(want)


def test_recorded_answers_of_this_tree():
    tables, other = [], Counter()
    for line in (kong.GOLDEN / "routes.txt").read_text().splitlines():
        if line[0] == "C":
            tables.append([])
        if line[0] in "CRQ":
            tables[-1].append(line)
    for lines in tables:
        router, case, requests = case_of(lines)
        for line in requests:
            request, want = request_of_line(line)
            got = kong.answer(router, case, request)
            if got != want and not differs_by_rule(request, got):
                other[router.flavor] += 1
    assert len(tables) == 280
    assert not other

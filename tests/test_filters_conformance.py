"""The Gateway API conformance suite's requests whose answers depend on filters, time-outs and retries.

The cases are read in place (see ``conftest.shared``).  Manifests are turned into filters here, word by word, and
requests matched by :class:`lbcore.Router`; what is tested is what a match says of them.
"""

import json
import os
import pathlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

import lbcore
from lbcore import filters as f

PLACE = (
    pathlib.Path(os.environ.get("LBCORE_CASES", pathlib.Path(__file__).parents[2] / "shared"))
    / "cases/gateway-api"
)
KEYS = ("filters:", "timeouts:", "retry:")


def names():
    if not PLACE.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(f"no cases: {PLACE} is absent (set LBCORE_CASES)"))]
    found = []
    for path in sorted((PLACE / "cases").glob("*.json")):
        case = json.loads(path.read_text())
        text = "".join((PLACE / name).read_text() for name in case["manifests"])
        if any(key in text for key in KEYS) and "kind: HTTPRoute" in text:
            found.append(case["name"])
    return found


# ---- manifests as filters ---------------------------------------------------------------------------------------


def modifier(spec):
    if spec is None:
        return None
    if spec["type"] == "ReplaceFullPath":
        return f.ReplaceFullPath(spec["replaceFullPath"])
    return f.ReplacePrefixMatch(spec["replacePrefixMatch"])


def edits(make, spec):
    lists = {key: [(line["name"], line["value"]) for line in spec.get(key, ())] for key in ("set", "add")}
    return make(**lists, remove=spec.get("remove", ()))


def cors(spec):
    snake = {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), key): value for key, value in spec.items()}
    return f.Cors(**snake)


MAKE = {
    "RequestHeaderModifier": ("requestHeaderModifier", lambda s: edits(f.RequestHeaders, s)),
    "ResponseHeaderModifier": ("responseHeaderModifier", lambda s: edits(f.ResponseHeaders, s)),
    "URLRewrite": ("urlRewrite", lambda s: f.URLRewrite(s.get("hostname"), modifier(s.get("path")))),
    "RequestRedirect": (
        "requestRedirect",
        lambda s: f.RequestRedirect(
            s.get("scheme"),
            s.get("hostname"),
            s.get("port"),
            modifier(s.get("path")),
            s.get("statusCode", 302),
        ),
    ),
    "RequestMirror": (
        "requestMirror",
        lambda s: f.Mirror(
            s["backendRef"]["name"],
            s.get("percent"),
            (s["fraction"]["numerator"], s["fraction"].get("denominator", 100)) if "fraction" in s else None,
        ),
    ),
    "CORS": ("cors", cors),
}


def filters_of(owner):
    return [MAKE[spec["type"]][1](spec[MAKE[spec["type"]][0]]) for spec in owner.get("filters", ())]


def duration(text):
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)(ms|[hms])", text))


class Rule:
    """What the routes of a rule have in common."""

    def __init__(self, spec):
        own, refs = filters_of(spec), spec.get("backendRefs", [])
        types = [match.get("path", {}).get("type", "PathPrefix") for match in spec.get("matches") or [{}]]
        backends = [
            lbcore.Backend(lbcore.Upstream(r["name"], ["a:1"]), r.get("weight", 1), filters_of(r))
            for r in refs
        ]
        split, times = lbcore.Split(backends), spec.get("timeouts", {})
        self.common = {
            "backends": split,
            "filters": f.Programs(
                own,
                split.backends,
                path_types=[
                    {"PathPrefix": "prefix", "Exact": "exact", "RegularExpression": "regex"}[t] for t in types
                ],
            ),
            "timeouts": f.Timeouts(
                *(duration(times[k]) if k in times else None for k in ("request", "backendRequest"))
            ),
            "retry": f.Retry(**spec.get("retry", {"attempts": 0})),
        }


def router(case):
    routes = []
    for name in case["manifests"]:
        for o in yaml.safe_load_all((PLACE / name).read_text()):
            if not o or o["kind"] != "HTTPRoute":
                continue
            for i, spec in enumerate(o["spec"]["rules"]):
                rule = Rule(spec)
                for j, match in enumerate(spec.get("matches") or [{}]):
                    path = match.get("path", {"value": "/"})
                    route = lbcore.Route(
                        f"{o['metadata']['name']}/{i}/{j}",
                        hosts=o["spec"].get("hostnames", ()),
                        path=path["value"],
                        path_type="exact" if path.get("type") == "Exact" else "prefix",
                        methods=[match["method"]] if "method" in match else (),
                        headers=[(h["name"], h["value"]) for h in match.get("headers", ())],
                        query=[(q["name"], q["value"]) for q in match.get("queryParams", ())],
                        **rule.common,
                    )
                    routes.append(route)
    return lbcore.Router(routes)


# ---- requests ---------------------------------------------------------------------------------------------------


def exchange(table, request, port):
    """What a proxy does with one request: (answer or None, backend's name, what is sent, mirrors, its response)."""
    headers = list(request.get("headers", {}).items())
    host, method = request["host"] or "192.0.2.1", request["method"]
    match = table.match(method, host, request["path"], headers, scheme=request["scheme"], port=port)
    if match.answer:
        return match.answer, None, None, (), None
    drawn = match.attempts().backend
    answer, sent = match.answer_of(drawn), match.forward(headers, drawn)
    return answer, drawn.upstream.name, sent, match.mirrors(drawn), lambda got: match.response(got, drawn)


def joined(headers):
    found = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def check_redirect(answer, wanted):
    url = urlsplit(dict(answer.headers)["Location"])
    assert (url.scheme, url.path) == (wanted["scheme"], wanted["path"])
    assert wanted["host"] in (None, url.hostname)
    if wanted["port"] is None:
        assert url.port is None
    else:
        assert str(url.port) == wanted["port"]


def check_seen(sent, seen):
    method, host, target, headers = sent
    assert (target, method) == (seen["path"], seen["method"])
    assert seen.get("host", host) == host
    got = joined(headers)
    for name, value in seen.get("headers", {}).items():
        assert got[name.lower()] == value
    assert not {name.lower() for name in seen.get("absentHeaders", ())} & set(got)


def check_response(headers, wanted):
    def plain(text):
        return text.replace(" ", "") if wanted.get("ignoreWhitespace") else text

    got = {name: plain(value) for name, value in joined(headers).items()}
    for name, value in wanted.get("headers", {}).items():
        assert got[name.lower()] == plain(value)
    for name, values in wanted.get("validHeaderValues", {}).items():
        assert got[name.lower()] in map(plain, values)
    assert not {name.lower() for name in wanted.get("absentHeaders", ())} & set(got)


def attempts_of(rule, request):
    """The status that the suite's /retry backend brings the client, by a clock of its own."""
    said = {key: values[0] for key, values in parse_qs(urlsplit(request["path"]).query).items()}
    fails, now, n = int(said["succeedAfter"]), 0.0, 0
    while True:
        left = rule.timeouts.left(now)
        if left == 0:
            return 504
        status = int(said.get("responseCode", 0)) or None if n < fails else 200
        took = duration(said.get("delayRetry", "0s")) if n < fails else 0.0
        if left is not None and took > left:
            status, took = None, left
        now += took
        if status == 200 or not rule.retry.again(n, request["method"], status):
            return status or 503
        now += rule.retry.wait(n)
        n += 1


def steps_of(steps):
    for step in steps:
        if step["kind"] == "repeat":
            yield from steps_of(step["steps"])
        elif step["kind"] in ("http", "https", "mesh_http"):
            yield step


@pytest.mark.parametrize("name", names())
def test_what_the_suite_expects(name):
    case = json.loads((PLACE / "cases" / f"{name}.json").read_text())
    table = router(case)
    n = 0
    for step in steps_of(case["steps"]):
        step = json.loads(json.dumps(step).replace("{uuid}", "0-1-2"))
        request, expect = step["request"], step["expect"]
        answer, backend, sent, mirrors, response = exchange(
            table, request, step.get("address", {}).get("port", 80)
        )
        n += 1
        if answer is not None:
            assert answer.status in expect["status"], step["id"]
            if "redirect" in expect:
                check_redirect(answer, expect["redirect"])
            else:
                assert expect["answeredByGateway"]
            headers = answer.headers
        elif "/retry/" in request["path"]:
            rule = table.match(request["method"], "h", request["path"])
            assert attempts_of(rule, request) in expect["status"], step["id"]
            continue
        else:
            assert backend.startswith(expect["backend"]) and not expect.get("answeredByGateway"), step["id"]
            check_seen(sent, expect["seen"])
            theirs = list(request.get("backendSetResponseHeaders", {}).items())
            headers = response(theirs)
        check_response(headers, expect.get("response", {}))
        whole = {m["name"] for m in expect.get("mirroredTo", ()) if "percent" not in m}
        shares = {m["name"] for m in expect.get("mirroredTo", ()) if "percent" in m}
        assert whole <= set(mirrors) <= whole | shares, step["id"]
    assert n > 0


def test_a_backends_own_filters_reach_its_share_only():
    if not PLACE.is_dir():
        pytest.skip(f"no cases: {PLACE} is absent (set LBCORE_CASES)")
    case = json.loads((PLACE / "cases/HTTPRouteRequestHeaderModifierBackendWeights.json").read_text())
    table, request = router(case), {"scheme": "http", "method": "GET", "host": "", "path": "/"}
    seen = [
        (backend, sent[3]) for _, backend, sent, _, _ in (exchange(table, request, 80) for _ in range(100))
    ]
    assert all(headers == [("Backend", backend)] for backend, headers in seen)
    assert [backend for backend, _ in seen].count("infra-backend-v1") == 50


def test_shares_of_mirrors():
    if not PLACE.is_dir():
        pytest.skip(f"no cases: {PLACE} is absent (set LBCORE_CASES)")
    case = json.loads((PLACE / "cases/HTTPRouteRequestPercentageMirror.json").read_text())
    table = router(case)
    for step in (s for s in case["steps"] if s["kind"] == "http"):
        (wanted,) = step["expect"]["mirroredTo"]
        n = sum(wanted["name"] in exchange(table, step["request"], 80)[3] for _ in range(500))
        assert n == 5 * wanted["percent"]

"""The short form: what it says, and every mistake at once."""

import copy
import pathlib
import re

import pytest
import yaml

import lbcore
from lbcore.config import read

TEXT = """\
lbcore: 1
listeners:
  web: {protocol: http, port: 8080}
  shop: {protocol: http, port: 8080, hostname: "*.shop.example"}
  tcp: {protocol: tcp, port: 9000}
upstreams:
  httpbin:
    policy: {name: round_robin, phase: 0}
    targets:
      - {address: "127.0.0.1:9001", weight: 3, id: a, labels: {zone: x}}
      - "127.0.0.1:9002"
      - "[::1]:9003"
  nginx: {policy: random, seed: 7, targets: ["nginx.internal:80"]}
  empty: {}
routes:
  - name: api
    listeners: [web]
    hosts: [api.example, "*.api.example"]
    path: /api
    methods: [GET, PURGE]
    headers: {x-canary: "1"}
    query: {debug: "yes"}
    backends: [{upstream: httpbin, weight: 75}, {upstream: nginx, weight: 25}]
  - {name: exact, path: /x, path_type: exact, backends: [httpbin]}
  - {name: stream, listeners: [tcp], backends: [httpbin, {upstream: empty, weight: 0}]}
"""


def test_what_it_says():
    engine = lbcore.load(TEXT)
    m = engine.match("PURGE", "a.api.example", "/api/1?debug=yes", {"X-Canary": "1"})
    assert m.route.name == "api" and [b.weight for b in m.backends] == [75, 25]
    assert engine.match("GET", "api.example", "/api") is None
    assert engine.match("GET", "other", "/x").route.name == "exact"
    assert engine.match("GET", "a.shop.example", "/x").route.name == "exact"
    first, second, third = engine.upstreams["httpbin"].targets
    assert (first.id, first.weight, first.labels["zone"], second.weight, third.address) == (
        "a",
        3,
        "x",
        1,
        "[::1]:9003",
    )
    assert [engine.upstreams["httpbin"].pick().id for _ in range(5)].count("a") == 3
    assert engine.upstreams["nginx"].policy.name == "random"
    assert engine.match_stream("TCP", 9000).route.name == "stream"
    rules = {rule.name: rule for rule in engine.spec.rules}
    assert rules["api"].attached == {"web": ("api.example", "*.api.example")}
    assert rules["exact"].attached == {"web": (), "shop": ("*.shop.example",)}


WRONG = {  # the edit, then the field and a part of the reason
    "lbcore: 1": ("lbcore: 2", "lbcore", "2 is not 1"),
    "lbcore: 1 ": ("lbcore: true", "lbcore", "true is not 1"),
    "listeners:\n  web": ("listners:\n  web", "listners", "did you mean listeners?"),
    "protocol: tcp": ("protocol: tls", "listeners.tcp.protocol", "'tls' is not one of http, tcp, udp"),
    "port: 9000": ("port: 70000", "listeners.tcp.port", "70000 is not a whole number in 1..65535"),
    "port: 9000 ": ("port: 8080", "listeners.tcp.port", "8080 is taken by listener 'web'"),
    ', hostname: "*.shop.example"': ("", "listeners.shop.port", "8080 is taken by listener 'web'"),
    "tcp, port": ("tcp, hostname: a.com, port", "listeners.tcp.hostname", "a tcp listener has no hostname"),
    "  tcp:": ('  "t/c":', "listeners['t/c']", "the key 't/c' is not a name of letters"),
    "round_robin": ("round_robbin", "upstreams.httpbin.policy", "did you mean 'round_robin'?"),
    "phase: 0": ("phase: 2", "upstreams.httpbin.policy.phase", "0..1"),
    "phase: 0 ": ("fase: 0", "upstreams.httpbin.policy.fase", "did you mean 'phase'?"),
    "phase: 0  ": ("phase: .nan", "upstreams.httpbin.policy.phase", "nan"),
    "{name: round_robin, phase: 0}": ("{phase: 0}", "upstreams.httpbin.policy.name", "is missing"),
    "seed: 7": ("seed: -1", "upstreams.nginx.seed", "-1 is not a whole number in 0.."),
    "weight: 3": ("weight: 1000001", "upstreams.httpbin.targets[0].weight", "0..1000000"),
    "weight: 3 ": ("wieght: 3", "upstreams.httpbin.targets[0].wieght", "did you mean weight?"),
    "127.0.0.1:9002": ("127.0.0.1", "upstreams.httpbin.targets[1]", "is not an address"),
    '"127.0.0.1:9002"': ("9002", "upstreams.httpbin.targets[1]", "9002 is not text"),
    "[::1]:9003": ("[::g]:9003", "upstreams.httpbin.targets[2]", "is not an address"),
    "127.0.0.1:9002 ": ("a", "upstreams.httpbin.targets[1]", "is not an address"),
    '- "[::1]:9003"': ('- "127.0.0.1:9002"', "upstreams.httpbin.targets[2]", "stands here twice"),
    "name: exact": ("name: api", "routes[1].name", "another route is named 'api'"),
    "[web]": ("[wep]", "routes[0].listeners[0]", "did you mean web?"),
    "[web] ": ("[web, tcp]", "routes[0].listeners", "are of several protocols"),
    "api.example": ("API.example", "routes[0].hosts[0]", "is not a host name"),
    "path: /api": ("path: api", "routes[0].path", "does not begin with"),
    "path: /api ": ("path: /a/../b", "routes[0].path", "must not contain"),
    "path_type: exact,": ("path_type: regex,", "routes[1].path_type", "'regex' is not one of exact, prefix"),
    "PURGE": ("P U", "routes[0].methods[1]", "is not a method"),
    "x-canary": ("x canary", "routes[0].headers['x canary']", "the key"),
    "debug: \"yes\"": ("debug: 1", "routes[0].query.debug", "1 is not text; put it in quotes"),
    "upstream: nginx": ("upstream: ngnix", "routes[0].backends[1].upstream", "did you mean nginx?"),
    "backends: [httpbin]": ("backends: [x]", "routes[1].backends[0]", "'x' is not an upstream; known: httpbin"),
    "backends: [httpbin] ": ("backends: []", "routes[1].backends", "is missing"),
    "listeners: [tcp]": ("listeners: [tcp], path: /x", "routes[2].path", "is for HTTP"),
    "weight: 75": ("weight: 75.5", "routes[0].backends[0].weight", "75.5 is not a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("old", WRONG)
def test_wrong(old):
    new, field, reason = WRONG[old]
    assert old.strip() in TEXT or old in TEXT
    text = TEXT.replace(old if old in TEXT else old.strip(), new, 1)
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(text)
    problem = next((p for p in caught.value.problems if p.field == field), None)
    assert problem is not None, str(caught.value)
    assert reason in problem.reason
    assert (problem.file, problem.object) == ("<text>", "short form") and problem.line > 0
    assert problem.reason in str(caught.value)


def test_all_mistakes_at_once_in_the_order_of_the_text():
    data = yaml.safe_load(TEXT)
    data["listeners"]["web"]["port"] = 0
    data["upstreams"]["httpbin"]["targets"][0]["weight"] = -1
    data["routes"][0]["x"] = 1
    data["routes"][2]["backends"][1]["weight"] = "2"
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(yaml.safe_dump(data, sort_keys=False))
    fields = [
        "listeners.web.port",
        "upstreams.httpbin.targets[0].weight",
        "routes[0].x",
        "routes[2].backends[1].weight",
    ]
    assert [p.field for p in caught.value.problems] == fields
    lines = [p.line for p in caught.value.problems]
    assert lines == sorted(lines) and all(lines)


def test_documents_are_read_as_one_and_names_stand_once():
    head, routes = TEXT.split("routes:")
    assert len(read([f"lbcore: 1\nroutes:{routes}", head]).rules) == 2
    again = copy.deepcopy(yaml.safe_load(head))
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load([head, again])
    assert "another document has a listener of this name" in str(caught.value)
    assert "another document has an upstream of this name" in str(caught.value)


def test_a_gateway_yields_to_the_short_form():
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"},
               "spec": {"gatewayClassName": "c", "listeners": [{"name": "w", "protocol": "HTTP",
               "port": 8080}]}}  # fmt: skip
    (problem,) = lbcore.load([gateway, TEXT]).report().problems
    assert problem.reason.startswith("port 8080 is taken by the short form")


def test_one_route_for_a_stream_listener():
    more = "  - {name: again, listeners: [tcp], backends: [nginx]}\n"
    with pytest.raises(lbcore.ConfigError, match="listener 'tcp' has a route already"):
        lbcore.load(TEXT + more)


def test_the_examples_of_the_manual():
    page = (pathlib.Path(__file__).parent.parent / "docs/howto/short-form.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert blocks
    for block in blocks:
        lbcore.load(block, strict=True)

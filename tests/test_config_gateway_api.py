"""The Gateway API dialect against cases written as data: rules, targets, problems, conditions."""

import pathlib

import pytest
import yaml

import lbcore

CASES = pathlib.Path(__file__).parent / "golden" / "config"
BASE = yaml.safe_load((CASES / "base.yaml").read_text())


def cases():
    for path in sorted(CASES.glob("*.yaml")):
        if path.name != "base.yaml":
            for case in yaml.safe_load(path.read_text()):
                yield pytest.param(case, id=f"{path.stem}: {case['name']}")


@pytest.mark.parametrize("case", list(cases()))
def test_case(case):
    engine = lbcore.load((BASE if case.get("base") else []) + case["objects"])
    spec, report = engine.spec, engine.report()

    problems = [f"{p.field}: {p.reason}" for p in report.problems]
    wanted = list(case.get("problems", []))
    for part in wanted:
        assert any(p.startswith(part) for p in problems), (part, problems)
    assert len(problems) == len(wanted), problems
    if "rules" in case:
        assert {r.name: {n: list(h) for n, h in r.attached.items()} for r in spec.rules} == case["rules"]
    if "order" in case:
        assert [r.name for r in spec.rules] == case["order"]
    if "listeners" in case:
        assert [one.name for one in spec.listeners] == case["listeners"]
    if "streams" in case:
        assert {s.name: list(s.listeners) for s in spec.streams} == case["streams"]
    backends = {r.name: [[b.upstream, b.weight] for b in r.backends] for r in (*spec.rules, *spec.streams)}
    for name, listed in case.get("backends", {}).items():
        assert backends[name] == listed, name
    for name, addresses in case.get("targets", {}).items():
        assert [t.address for t in engine.upstreams[name].targets] == addresses
    for request, rule in case.get("requests", {}).items():
        m = engine.match(*request.split(" "))
        assert (m.route.name if m else None) == rule, request
    check_conditions(report, case.get("conditions", {}))


def check_conditions(report, wanted):
    for who, reasons in wanted.items():
        kind, name, *parent = who.split(" ")
        (one,) = [o for o in report.objects if o.kind == kind and f"{o.namespace}/{o.name}" == name]
        conditions = {c.type: c for c in (one.parents[parent[0]] if parent else one.conditions)}
        for condition, reason in reasons.items():
            got = conditions[condition]
            assert (got.status, got.reason) == (not reason.startswith("-"), reason.removeprefix("-")), (
                who,
                got,
            )


def test_conditions_carry_the_generation():
    gateway = {**BASE[0], "metadata": {"name": "edge", "generation": 7}}
    (one,) = lbcore.load([gateway]).report().objects
    assert {c.observed_generation for c in (*one.conditions, *one.parents["web"])} == {7}


def test_one_broken_of_500_routes():
    """The rest is served, the report names the one and its place."""
    routes = [
        f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: r{i}
spec:
  parentRefs:
  - name: edge
  rules:
  - matches:
    - path:
        value: /r{i}
    backendRefs:
    - name: a
      port: 80
      weight: {1000001 if i == 123 else 1}
"""
        for i in range(500)
    ]
    text = "---\n".join([*map(yaml.safe_dump, BASE), *routes])
    engine = lbcore.load(text)
    answers = [engine.match("GET", "x", f"/r{i}") for i in range(500)]
    assert [i for i, m in enumerate(answers) if m is None] == [123]
    assert all(m.route.name == f"default/r{i}/0" for i, m in enumerate(answers) if m)
    (problem,) = engine.report().problems
    assert (problem.object, problem.field) == (
        "HTTPRoute default/r123",
        "spec.rules[0].backendRefs[0].weight",
    )
    assert text.split("\n")[problem.line - 1].strip() == "weight: 1000001"
    assert problem.column == 7
    (broken,) = [o for o in engine.report().objects if o.problems]
    assert (broken.kind, broken.name) == ("HTTPRoute", "r123")
    with pytest.raises(lbcore.ConfigError, match="1000001"):
        lbcore.load(text, strict=True)


def test_a_rule_named_as_another_ones_place():
    rules = [{"name": "1", "backendRefs": []}, {}]
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
             "spec": {"parentRefs": [{"name": "edge"}], "rules": rules}}  # fmt: skip
    assert [r.name for r in lbcore.load([*BASE, route]).spec.rules] == ["default/r/0", "default/r/1"]


def test_too_many_matches():
    rules = [{"matches": [{"path": {"value": f"/{i}/{j}"}} for j in range(43)]} for i in range(3)]
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
             "spec": {"parentRefs": [{"name": "edge"}], "rules": rules}}  # fmt: skip
    (problem,) = lbcore.load([*BASE, route]).report().problems
    assert str(problem) == "HTTPRoute default/r spec.rules: have 129 matches together; at most 128"

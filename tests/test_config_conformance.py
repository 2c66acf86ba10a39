"""The Gateway API conformance suite's cases (read in place, see ``conftest.shared``): routing and status.

Only the features that lbcore has; a case's steps up to the first change of an object.  Each Gateway has an address of
its own there, so it is loaded alone.
"""

import json
import os
import pathlib

import pytest
import yaml

import lbcore

PLACE = (
    pathlib.Path(os.environ.get("LBCORE_CASES", pathlib.Path(__file__).parents[2] / "shared"))
    / "cases/gateway-api"
)
HAVE = {
    *("Gateway", "HTTPRoute", "ReferenceGrant", "HTTPRouteMethodMatching", "HTTPRouteQueryParamMatching"),
    *(
        "HTTPRouteParentRefPort",
        "GatewayPort8080",
        "HTTPRouteNamedRouteRule",
        "HTTPRouteDestinationPortMatching",
    ),
    *("TCPRoute", "UDPRoute"),
}
# What these need besides their features: TLS, filters, backends over TLS.
LATER = {
    "HTTPRouteHTTPSListener",
    "HTTPRouteRedirectHostAndStatus",
    "HTTPRouteRequestHeaderModifier",
    "GatewaySecretInvalidReferenceGrant",
}


def names():
    if not PLACE.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(f"no cases: {PLACE} is absent (set LBCORE_CASES)"))]
    listed = json.loads((PLACE / "index.json").read_text())["tests"]
    return [t["name"] for t in listed if set(t["features"]) <= HAVE and t["name"] not in LATER]


def with_endpoints(objects):
    """Each Service's port gets one ready endpoint, whose address leads back to the Service."""
    slices = []
    for n, service in enumerate(o for o in objects if o["kind"] == "Service"):
        meta = service["metadata"]
        ports = [
            {key: port[key] for key in ("name", "protocol", "port") if key in port}
            for port in service["spec"]["ports"]
        ]
        slices.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": {"kubernetes.io/service-name": meta["name"]}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [f"10.1.{n >> 8}.{n & 255}"]}],
                "ports": ports,
            }
        )
    return [*objects, *slices]


def objects_of(case):
    text = "\n---\n".join((PLACE / name).read_text() for name in (case_base(case), *case["manifests"]))
    text = text.replace("{GATEWAY_CLASS_NAME}", "lbcore").replace(
        "{GATEWAY_CONTROLLER_NAME}", "lbcore.example/gateway"
    )
    return with_endpoints([o for o in yaml.safe_load_all(text) if o])


def case_base(case):
    return case["base"] if case["base"].endswith(".yaml") else f"base/{case['base']}.yaml"


@pytest.mark.parametrize("name", names())
def test_conformance(name):
    case = json.loads((PLACE / "cases" / f"{name}.json").read_text())
    objects = objects_of(case)
    engines = {}

    def engine(gateway):
        if gateway not in engines:
            namespace, _, own = gateway.partition("/")
            rest = [
                o
                for o in objects
                if o["kind"] != "Gateway"
                or (o["metadata"]["namespace"], o["metadata"]["name"]) == (namespace, own)
            ]
            engines[gateway] = lbcore.load(rest)
        return engines[gateway]

    n = 0
    for step in case["steps"]:
        if step["kind"] in ("change", "repeat"):
            break
        if step["kind"] == "http":
            n += 1
            check_request(engine(step["address"]["gateway"]), step)
        elif step["kind"] == "distribution":
            n += 1
            check_shares(engine(step["of"]["address"]["gateway"]), step)
        elif step["kind"] == "status" and "gateway" in step:
            n += 1
            check_status(engine(step["gateway"]), step)
    if not n:
        pytest.skip("nothing here that is about routing or status")


def answer(engine, step):
    """(status, upstream name) of a request."""
    request = step["request"]
    port = step["address"]["port"]
    headers = [*request.get("headers", {}).items()]
    m = engine.match(
        request["method"], request["host"] or "gateway.address", request["path"], headers, port=port
    )
    if m is None:
        return 404, None
    try:
        with m.acquire() as call:
            return 200, call.upstream.name
    except lbcore.NoTarget as error:
        return error.status, None


def check_request(engine, step):
    expect = step["expect"]
    status, upstream = answer(engine, step)
    if "statusNot" in expect:
        assert status not in expect["statusNot"], step["id"]
        return
    assert status in expect["status"] or (status // 100 == 2 and 204 in expect["status"]), (
        step["id"],
        status,
    )
    if status == 200 and expect.get("backend"):
        assert upstream.split("/")[1].startswith(expect["backend"]), (step["id"], upstream)


def check_shares(engine, step):
    got = [answer(engine, step["of"])[1] for _ in range(step["requests"])]
    for backend, share in step["weights"].items():
        assert abs(sum(f"/{backend}:" in name for name in got) - share * step["requests"]) <= 1


def check_status(engine, step):
    objects = engine.report().objects

    def one(kind, name):
        return next(o for o in objects if o.kind == kind and f"{o.namespace}/{o.name}" == name)

    check = step["check"]
    kind = next(
        (k for k in ("HTTPRoute", "TCPRoute", "UDPRoute") if check.startswith((k, f"GatewayAnd{k}"))), None
    )
    names = step.get("routes") or ([step["route"]] if "route" in step else [])
    ours = [
        (name, parent, conditions)
        for name in names
        if kind
        for parent, conditions in one(kind, name).parents.items()
    ]
    ours = [row for row in ours if row[1].partition(":")[0].startswith(step["gateway"])]
    if check.endswith("MustHaveNoAcceptedParents"):
        assert not any(c.status for _, _, cs in ours for c in cs if c.type == "Accepted")
    elif check.endswith("MustHaveCondition"):
        wanted = step["condition"]
        found = [c for _, _, cs in ours for c in cs if c.type == wanted["type"]]
        assert any((str(c.status), c.reason) == (wanted["status"], wanted["reason"]) for c in found), (
            wanted,
            found,
        )
    elif check.endswith("ResolvedRefsConditionsTrue"):
        assert ours and all(c.status for _, _, cs in ours for c in cs if c.type == "ResolvedRefs")
    elif check.endswith("RoutesMustBeAccepted"):
        assert len({name for name, _, _ in ours}) == len(names)
        assert all(c.status for _, _, cs in ours for c in cs if c.type == "Accepted")
        assert all(c.status for c in one("Gateway", step["gateway"]).conditions)
    elif check == "GatewayMustHaveZeroRoutes":
        for conditions in one("Gateway", step["gateway"]).parents.values():
            assert any(c.message == "attached routes: 0" for c in conditions)
    elif check == "GatewayStatusMustHaveListeners":
        check_listeners(one("Gateway", step["gateway"]), step["listeners"])


def check_listeners(gateway, wanted):
    for listener in wanted:
        conditions = {c.type: c for c in gateway.parents[listener["name"]]}
        for want in listener["conditions"]:
            got = conditions[want["type"]]
            assert str(got.status) == want["status"], (listener["name"], want, got)
            assert got.reason == want["reason"] or not want["reason"], (listener["name"], want, got)
        if "attachedRoutes" in listener:
            assert conditions["Programmed"].message == f"attached routes: {listener['attachedRoutes']}"

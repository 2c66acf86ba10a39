"""Kong's routes and requests, as its router tests write them, in lbcore's words."""

import importlib.util
import pathlib

import lbcore

FLAVORS = {"traditional": "kong_traditional", "traditional_compatible": "kong_compatible"}
GOLDEN = pathlib.Path(__file__).parent / "golden" / "kong"


def parts_module():
    """tests/golden/kong/routes.py: how Kong takes routes apart, and the ids that its parts get."""
    spec = importlib.util.spec_from_file_location("kong_parts", GOLDEN / "routes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PARTS = parts_module()


def test_of(values):
    """A list of values, or one that is a pattern."""
    if len(values) == 1 and values[0].startswith("~*"):
        return lbcore.Regex(values[0][2:])
    return list(values)


def path_of(path):
    if path is None:
        return {"path": "", "path_type": "plain"}
    return (
        {"path": path[1:], "path_type": "regex"} if path[0] == "~" else {"path": path, "path_type": "plain"}
    )


def ends_of(ends):
    return [(end.get("ip"), end.get("port")) for end in ends or ()]


def route_of(index, route, path, stream):
    """One path of a route; ``data`` is the route's index."""
    return lbcore.Route(
        f"r{index}",
        hosts=route.get("hosts") or (),
        methods=route.get("methods") or (),
        snis=[sni.rstrip(".") for sni in route.get("snis") or ()],
        headers={name: test_of(values) for name, values in (route.get("headers") or {}).items()},
        sources=ends_of(route.get("sources")),
        destinations=ends_of(route.get("destinations")),
        priority=route.get("regex_priority") or 0,
        stream=stream,
        data=index,
        **({} if stream else path_of(path)),
    )


def router_of(case, name):
    """A Router of one flavour: ties of traditional go by age, of compatible by the id of the part."""
    parts = [
        (index, entry["route"], path)
        for index, entry in enumerate(case["routes"])
        for path in entry["route"].get("paths") or [None]
    ]
    if name == "traditional":
        parts.sort(key=lambda part: part[1].get("created_at", 0))
    else:
        parts.sort(key=lambda part: PARTS.part_id({"id": "", **part[1]}, part[2]), reverse=True)
    stream = case["subsystem"] == "stream"
    return lbcore.Router([route_of(*part, stream) for part in parts], FLAVORS[name])


def headers_of(request):
    found = (request.get("headers") or {}).items()
    return [
        (name, value) for name, given in found for value in (given if isinstance(given, list) else [given])
    ]


def peer_of(request, end):
    ip, port = request.get(f"{end}_ip"), request.get(f"{end}_port")
    return None if ip is None and port is None else (ip, port)


def answer(router, case, request):
    """The index of the route; None; or "refused"."""
    known = {
        "sni": request.get("sni"),
        "source": peer_of(request, "src"),
        "destination": peer_of(request, "dst"),
    }
    if case["subsystem"] == "stream":
        match = router.match_stream(request.get("scheme", "tcp"), None, **known)
        return match and match.route.data
    headers = headers_of(request)
    host = request.get("host") or next((v for n, v in headers if n.lower() == "host"), None)
    try:
        match = router.match(
            request.get("method", "GET"),
            host,
            request.get("request_uri", request.get("path")),
            [(name, value) for name, value in headers if name.lower() != "host"],
            scheme=request.get("scheme", "http"),
            **known,
        )
    except lbcore.BadRequest:
        return "refused"
    return match and match.route.data

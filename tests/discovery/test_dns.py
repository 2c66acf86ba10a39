"""DNS as a source, asked of a real server on loopback."""

import asyncio
import itertools
import subprocess
import sys

import pytest

dnspython = pytest.importorskip("dns.resolver", reason='needs pip install "lbcore[dns]"')

import lbcore  # noqa: E402
from lbcore import discovery  # noqa: E402
from nameserver import Zone, ask, serving  # noqa: E402

API = "api.test:8080"


def one(zone, name=API, **options):
    """The answer to one ask, or its error."""
    (outcome,) = ask(zone, lambda server: discovery.dns(name, nameservers=[server], **options))
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def facts(found):
    return [(t.address, t.weight, t.priority) for t in found.targets]


# ---- addresses ----------------------------------------------------------------------------------------------------


def test_each_address_is_a_target_whose_identity_has_the_name():
    zone = Zone({("api.test", "A"): (60, ["10.0.0.2", "10.0.0.1"]), ("api.test", "AAAA"): (30, ["fd00::1"])})
    found = one(zone, weight=3, labels={"zone": "a"})
    assert [t.id for t in found.targets] == [
        "api.test@10.0.0.1:8080",
        "api.test@10.0.0.2:8080",
        "api.test@[fd00::1]:8080",
    ]
    assert facts(found) == [("10.0.0.1:8080", 3, 0), ("10.0.0.2:8080", 3, 0), ("[fd00::1]:8080", 3, 0)]
    assert [dict(t.labels) for t in found.targets] == [{"name": "api.test", "zone": "a"}] * 3
    assert found.good_for == 30


def test_names_may_share_an_address():
    zone = Zone({("a.test", "A"): (60, ["10.0.0.1"]), ("b.test", "A"): (60, ["10.0.0.1"])})
    a, b = one(zone, "a.test:80"), one(zone, "b.test:80")
    up = lbcore.Upstream("both", [*a.targets, *b.targets])
    assert [t.id for t in up.targets] == ["a.test@10.0.0.1:80", "b.test@10.0.0.1:80"]


@pytest.mark.parametrize("order", [*itertools.permutations(["10.0.0.9", "10.0.0.10", "9.0.0.1"])])
def test_the_order_of_the_records_is_irrelevant(order):
    found = one(Zone({("api.test", "A"): (60, [*order])}))
    assert [t.host for t in found.targets] == ["9.0.0.1", "10.0.0.9", "10.0.0.10"]


@pytest.mark.parametrize(
    ("family", "hosts", "kinds"),
    [
        ("both", ["10.0.0.1", "fd00::1"], {"A", "AAAA"}),
        ("v4", ["10.0.0.1"], {"A"}),
        ("v6", ["fd00::1"], {"AAAA"}),
    ],
)
def test_the_family_says_what_is_asked(family, hosts, kinds):
    zone = Zone({("api.test", "A"): (60, ["10.0.0.1"]), ("api.test", "AAAA"): (60, ["fd00::1"])})
    assert [t.host for t in one(zone, family=family).targets] == hosts
    assert {kind for _, kind, _ in zone.asked} == kinds


def test_a_name_is_compared_without_case_and_final_dot():
    zone = Zone({("api.test", "A"): (60, ["10.0.0.1"])})
    assert one(zone, "API.Test.:80").targets[0].id == "api.test@10.0.0.1:80"


def test_a_chain_of_names_is_followed_and_its_least_ttl_counts():
    zone = Zone({("api.test", "CNAME"): (7, ["real.test"]), ("real.test", "A"): (60, ["10.0.0.1"])})
    found = one(zone, family="v4")
    assert [t.id for t in found.targets] == ["api.test@10.0.0.1:8080"] and found.good_for == 7


# ---- TTL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "options", "good_for"),
    [
        (42, {}, 42),
        (0, {}, 1),
        (86_400, {}, 300),
        (0, {"floor": 0.1}, 0.1),
        (2, {"floor": 5}, 5),
        (86_400, {"ceiling": 10}, 10),
    ],
)
def test_an_answer_is_good_for_its_ttl_between_floor_and_ceiling(ttl, options, good_for):
    assert one(Zone({("api.test", "A"): (ttl, ["10.0.0.1"])}), **options).good_for == good_for


def test_the_ttl_of_an_empty_part_does_not_count():
    zone = Zone({("api.test", "A"): (100, ["10.0.0.1"])})
    zone.soa_ttl = 5  # of the AAAA answer, which is empty
    assert one(zone).good_for == 100


# ---- transport ----------------------------------------------------------------------------------------------------


def test_a_truncated_answer_is_asked_for_over_tcp():
    zone = Zone({("api.test", "A"): (60, [f"10.0.{i // 250}.{i % 250 + 1}" for i in range(1000)])})
    assert len(one(zone, family="v4").targets) == 1000
    assert [transport for *_, transport in zone.asked] == ["udp", "tcp"]


def test_the_next_server_is_asked_where_one_is_dead():
    async def scenario():
        async with serving(Zone({("api.test", "A"): (60, ["10.0.0.1"])})) as good:
            zone = Zone()
            zone.rcodes["api.test"] = "REFUSED"
            async with serving(zone) as bad:
                return await discovery.dns(API, nameservers=[bad, good], family="v4").resolve()

    assert len(asyncio.run(scenario()).targets) == 1


# ---- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"rcodes": {"api.test": "SERVFAIL"}}, "api.test A: no name server answers: SERVFAIL"),
        ({"rcodes": {"api.test": "REFUSED"}}, "api.test A: no name server answers: REFUSED"),
        ({"rcodes": {("api.test", "AAAA"): "SERVFAIL"}}, "api.test AAAA: no name server answers: SERVFAIL"),
        ({"silent": {"api.test"}}, "api.test: no answer within 0.3 s|api.test A: no answer within 0.3 s"),
        ({"silent": {("api.test", "AAAA")}}, "api.test: no answer|api.test AAAA: no answer"),
        ({"records": {}}, r"api.test does not exist \(NXDOMAIN\)$"),
        ({"records": {("api.test", "TXT"): (9, ["x"])}}, "api.test has no A or AAAA record"),
    ],
)
def test_what_is_no_answer_is_an_error(wrong, text):
    zone = Zone({("api.test", "A"): (60, ["10.0.0.1"]), ("api.test", "AAAA"): (60, ["fd00::1"])})
    vars(zone).update(wrong)
    with pytest.raises(lbcore.LbcoreError, match=text):
        one(zone, timeout=0.3)


def test_the_same_problem_has_the_same_text():
    zone = Zone()
    zone.silent.add("api.test")
    texts = {
        str(outcome)
        for outcome in ask(zone, *[lambda s: discovery.dns(API, nameservers=[s], timeout=0.2)] * 3)
    }
    assert len({text.replace("api.test A:", "api.test:") for text in texts}) == 1


def test_an_empty_answer_is_accepted_where_it_is_wanted_and_good_for_what_its_zone_says():
    empty = Zone({("api.test", "TXT"): (9, ["x"])})
    empty.soa_ttl = 17
    assert one(empty, empty="accept") == discovery.Found((), 17)
    with pytest.raises(lbcore.LbcoreError, match="has no"):
        one(empty, nxdomain="accept")
    gone = Zone()
    assert one(gone, nxdomain="accept") == discovery.Found((), 60)
    with pytest.raises(lbcore.LbcoreError, match="NXDOMAIN"):
        one(gone, empty="accept")
    gone.soa_ttl = None  # then nobody is to keep it: RFC 2308, section 5
    assert one(gone, nxdomain="accept").good_for == 1


def test_no_name_server_is_an_error(monkeypatch):
    import dns.asyncresolver
    import dns.resolver

    def unconfigured(*args, **kwargs):
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", unconfigured)
    with pytest.raises(lbcore.LbcoreError, match="no name server is configured"):
        asyncio.run(discovery.dns(API).resolve())


def test_a_zone_with_too_many_addresses_is_refused(monkeypatch):
    monkeypatch.setattr("lbcore.discovery.names.MAX_TARGETS", 2)
    zone = Zone({("api.test", "A"): (60, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])})
    with pytest.raises(lbcore.LbcoreError, match="has 3 addresses; at most 2"):
        one(zone)


# ---- SRV: RFC 2782 ------------------------------------------------------------------------------------------------


def service(*records, ttl=60):
    zone = Zone({("_http._tcp.test", "SRV"): (ttl, [*records])})
    for i in range(1, 5):
        zone.records[f"h{i}.test", "A"] = (60, [f"10.0.0.{i}"])
    return zone


def srv(zone, **options):
    return one(zone, "_http._tcp.test", **options)


def test_srv_records_say_port_weight_and_priority():
    zone = service("20 5 81 h1.test.", "10 60 82 h2.test.", "10 20 83 h3.test.", "99 1 84 h4.test.")
    found = srv(zone)
    assert facts(found) == [
        ("10.0.0.2:82", 60, 0),
        ("10.0.0.3:83", 20, 0),
        ("10.0.0.1:81", 5, 1),
        ("10.0.0.4:84", 1, 2),
    ]
    assert found.targets[0].id == "_http._tcp.test@10.0.0.2:82"
    assert dict(found.targets[0].labels) == {"name": "_http._tcp.test", "host": "h2.test"}


def test_a_weight_of_zero_is_the_least_share_and_not_none():
    """RFC 2782: records with weight 0 "should have a very small chance of being selected" beside others."""
    assert facts(srv(service("1 0 80 h1.test.", "1 10 80 h2.test."))) == [
        ("10.0.0.1:80", 1, 0),
        ("10.0.0.2:80", 10, 0),
    ]
    assert facts(srv(service("1 0 80 h1.test.", "1 0 80 h2.test."))) == [
        ("10.0.0.1:80", 1, 0),
        ("10.0.0.2:80", 1, 0),
    ]


def test_each_address_of_a_host_has_the_whole_weight():
    zone = service("1 7 80 h1.test.")
    zone.records["h1.test", "A"] = (60, ["10.0.0.1", "10.0.1.1"])
    assert facts(srv(zone)) == [("10.0.0.1:80", 7, 0), ("10.0.1.1:80", 7, 0)]


def test_hosts_that_share_an_address_and_port_are_one_target():
    zone = service("1 7 80 h1.test.", "1 5 80 h2.test.", "2 100 80 h3.test.", "2 1 80 h4.test.")
    for host in ("h2.test", "h3.test"):
        zone.records[host, "A"] = (60, ["10.0.0.1"])
    found = srv(zone)
    assert facts(found) == [("10.0.0.1:80", 12, 0), ("10.0.0.4:80", 1, 1)]
    assert found.targets[0].labels["host"] == "h1.test"


def test_the_least_ttl_of_all_that_was_asked_counts():
    zone = service("1 1 80 h1.test.", "1 1 80 h2.test.", ttl=50)
    zone.records["h2.test", "A"] = (11, ["10.0.0.2"])
    assert srv(zone, family="v4").good_for == 11


def test_a_host_that_certainly_has_no_address_is_left_out():
    zone = service("1 1 80 h1.test.", "1 1 80 gone.test.")
    assert facts(srv(zone)) == [("10.0.0.1:80", 1, 0)]


def test_a_host_that_cannot_be_asked_fails_the_whole():
    zone = service("1 1 80 h1.test.", "1 1 80 h2.test.")
    zone.rcodes["h2.test"] = "SERVFAIL"
    with pytest.raises(lbcore.LbcoreError, match=r"h2\.test A: no name server answers: SERVFAIL"):
        srv(zone)


@pytest.mark.parametrize("records", [["0 0 0 ."], ["1 1 80 gone.test."]])
def test_a_service_that_is_not_available_is_an_empty_answer(records):
    with pytest.raises(lbcore.LbcoreError, match="no SRV record that leads to an address"):
        srv(service(*records))
    assert srv(service(*records), empty="accept").targets == ()


def test_a_port_of_zero_is_an_error():
    with pytest.raises(lbcore.LbcoreError, match="has port 0"):
        srv(service("1 1 0 h1.test."))


def test_a_forgotten_port_is_hinted_at():
    with pytest.raises(lbcore.LbcoreError, match=r"for its addresses give a port: api\.test:80"):
        one(Zone({("api.test", "A"): (60, ["10.0.0.1"])}), "api.test")


def test_a_service_of_many_hosts_is_asked_for_whole():
    zone = Zone({("_http._tcp.test", "SRV"): (60, [f"1 1 80 n{i}.test." for i in range(100)])})
    for i in range(100):
        zone.records[f"n{i}.test", "A"] = (60, [f"10.1.0.{i}"])
    assert len(srv(zone, family="v4").targets) == 100


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("10.0.0.1:80", {}, "name"),
        ("[::1]:80", {}, "name"),
        ("::1", {}, "name"),
        ("10.0.0.1", {}, "name"),
        ("", {}, "name"),
        (None, {}, "name"),
        ("api.test:0", {}, "name"),
        ("api.test:65536", {}, "name"),
        ("api.test:http", {}, "name"),
        ("api..test:80", {}, "name"),
        ("a b:80", {}, "name"),
        ("http://api.test:80", {}, "name"),
        ("x" * 64 + ":80", {}, "name"),
        (API, {"family": "ipv4"}, "family"),
        (API, {"empty": True}, "empty"),
        (API, {"nxdomain": "drop"}, "nxdomain"),
        (API, {"floor": 0}, "floor"),
        (API, {"floor": 10, "ceiling": 9}, "ceiling"),
        (API, {"ceiling": float("nan")}, "ceiling"),
        (API, {"timeout": 0}, "timeout"),
        (API, {"timeout": True}, "timeout"),
        (API, {"weight": 0}, "weight"),
        (API, {"weight": 1_000_001}, "weight"),
        (API, {"labels": {"a": 1}}, "labels"),
        (API, {"nameservers": []}, "nameservers"),
        (API, {"nameservers": ["ns.test"]}, "nameservers"),
        (API, {"nameservers": ["10.0.0.1:0"]}, "nameservers"),
        ("_http._tcp.test", {"weight": 2}, "weight"),
    ],
)
def test_a_wrong_setting_is_named(name, options, field):
    with pytest.raises(lbcore.ConfigError) as raised:
        discovery.dns(name, **options)
    assert raised.value.problems[0].field == field


@pytest.mark.parametrize("server", ["10.0.0.1", "10.0.0.1:5353", "::1", "[::1]:53"])
def test_name_servers_are_addresses_with_or_without_port(server):
    assert repr(discovery.dns(API, nameservers=[server])) == "dns(api.test:8080)"


def test_without_dnspython_the_error_says_what_to_install():
    program = """
import sys
sys.modules["dns"] = None
from lbcore import LbcoreError, discovery
try:
    discovery.dns("api.test:80")
except LbcoreError as error:
    assert 'pip install "lbcore[dns]"' in str(error) and "system()" in str(error), error
else:
    sys.exit("no error")
discovery.system("api.test:80")
"""
    subprocess.run([sys.executable, "-I", "-c", program], check=True, timeout=60)

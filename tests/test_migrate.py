"""What docs/howto/migrate.md says of peers: its answers are recorded ones, and uhashring agrees where it says so."""

import json
import pathlib
import re

import pytest

import lbcore
from lbcore.__main__ import main

TESTS = pathlib.Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "howto" / "migrate.md").read_text()
SHOWN = re.findall(r"^where\((.+?), (\"[^)]*\")\)  # -> (\[.*\])$", PAGE, re.M)

# Where the answers of each ``where(...)`` line of the page were recorded, in their order.
RECORDED = [
    ("nginx", "nginx/hash_consistent/w4"),
    ("nginx", "nginx/hash/w4"),
    ("nginx", "nginx/ip_hash/w4/ipv4"),
    ("haproxy_consistent", "haproxy/consistent/bare/w4"),
    ("haproxy_map", "haproxy/map-based/sdbm/w4"),
    ("haproxy_consistent", "haproxy/consistent/crc32+avalanche/ids"),
    ("envoy_ring_hash", "envoy/ring/w4/xx/1024-8388608"),
    ("envoy_maglev", "envoy/maglev/hash_key"),
    ("envoy_rr", "envoy/weighted_clusters/w"),
    ("kong_consistent_hashing", "kong/consistent-hashing/w4/10000"),
    ("libmemcached", "libmemcached/ketama-weighted/w4/port11211"),
]


def test_every_line_of_the_page_has_its_recording():
    assert len(SHOWN) == len(RECORDED) == len(re.findall(r"^where\(", PAGE, re.M))


@pytest.mark.parametrize(("shown", "recorded"), list(zip(SHOWN, RECORDED, strict=False)), ids=lambda x: x[-1])
def test_the_answers_are_those_of_the_peer(shown, recorded):
    file = json.loads((TESTS / "golden" / "vectors" / f"{recorded[0]}.json").read_text())
    case = next(case for case in file["cases"] if case["id"] == recorded[1])
    hosts = [backend["address"].rpartition(":")[0] for backend in case["backends"]]
    picks = dict(zip(file["keys"][case["keys"]], case["picks"], strict=True))
    keys = eval(f"[{shown[1]}]")
    assert [hosts[picks[key]] for key in keys] == eval(shown[2])


def test_backups_and_turns_are_those_of_nginx():
    file = json.loads((TESTS / "golden" / "vectors" / "nginx.json").read_text())
    case = next(case for case in file["cases"] if case["id"] == "nginx/round_robin/backup-used")
    assert [case["backends"][i]["address"] for i in case["picks"][:2]] == ["127.0.1.4:8004", "127.0.1.5:8005"]


@pytest.mark.parametrize("line", re.findall(r"^lbcore (pick .*)$", PAGE, re.M))
def test_the_commands_of_the_page_run(line, tmp_path, capsys):
    file = tmp_path / "gateway.yaml"
    file.write_text("lbcore: 1\nupstreams: {cache: {targets: [10.0.0.1:80, 10.0.0.2:80]}}\n")
    assert main([str(file) if word == file.name else word for word in line.split()]) == 0
    assert "% of the keys would move" in capsys.readouterr().out


# ---- uhashring --------------------------------------------------------------------------------------------------


def differing(nodes, keys=4000):
    uhashring = pytest.importorskip("uhashring", reason="uhashring is of the bench group")
    ring = uhashring.HashRing(nodes, hash_fn="ketama")
    targets = [lbcore.Target(node, weight=weight, hash_key=node) for node, weight in nodes.items()]
    up = lbcore.Upstream("ring", targets, "ketama_libmemcached", health=None)
    return sum(ring.get_node(f"key {i}") != up.pick(f"key {i}").id for i in range(keys))


def equal(n):
    return {f"10.0.0.{i}:11211": 1 for i in range(1, n + 1)}


@pytest.mark.parametrize("n", range(1, 25))
def test_uhashring_agrees_with_libmemcached_up_to_24_equal_nodes(n):
    assert differing(equal(n)) == 0


@pytest.mark.parametrize("n", [25, 47, 50, 55])
def test_and_not_with_more(n):
    assert 0 < differing(equal(n)) < 4000 * 0.05


def test_uhashring_agrees_on_the_weights_and_keys_of_the_page():
    nodes = {"10.0.0.1:11211": 1, "10.0.0.2:11211": 1, "10.0.0.3:11211": 2}
    assert differing(nodes) == 0
    uhashring = pytest.importorskip("uhashring")
    ring = uhashring.HashRing(nodes, hash_fn="ketama")
    shown = re.search(r"ring\.pick\(f\"key \{i\}\"\)\.id for i in range\(3\)\]  # -> (.+)", PAGE)[1]
    assert [ring.get_node(f"key {i}") for i in range(3)] == eval(shown)

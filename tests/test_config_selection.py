"""The short form of selection: keys, splits by key, limits, levels, slow start; every bad value is named."""

import pytest

import lbcore
from lbcore.config import read
from lbcore.config.model import ShortLevels, ShortLimits, ShortSlowStart
from lbcore.config.validate import read as checked
from lbcore.engine import KeySpec, TargetSpec

TEXT = """\
lbcore: 1
listeners:
  web: {protocol: http, port: 8080}
  db: {protocol: tcp, port: 5432}
  dns: {protocol: udp, port: 53}
upstreams:
  ring:
    policy: {name: ring_hash, minimum_ring_size: 256, maximum_ring_size: 512, hash_function: MURMUR_HASH_2}
    targets: [{address: "a:1", hash_key: first, priority: 1}, "b:1"]
    limits: {in_flight: 100, bound: 1.5, margin: 3, error_hold: 0, retry_percent: 10, retry_per_second: 5}
    levels: {overprovisioning: 200, panic: 50, spill: true, locality: zone, weights: {x: 3}, default_weight: 2}
    slow_start: {window: 30, aggression: 2, min_percent: 5.5}
  map: {policy: {name: source_haproxy, avalanche: true}, targets: ["a:1", "b:1"]}
  plain: {targets: ["c:1"], limits: {}, levels: {spill: false}}
routes:
  - {name: user, path: /user, key: header:x-user, backends: [ring, plain]}
  - {name: sid, path: /sid, key: ["cookie:sid", "query:sid", ip, path, random], split: key, backends: [ring, map]}
  - {name: db, listeners: [db], key: ip, backends: [map]}
  - {name: dns, listeners: [dns], key: [ip], split: key, backends: [plain, map]}
"""


def test_what_it_says():
    spec = read(TEXT)
    ring, by_map, plain = spec.upstreams
    assert ring.targets == (TargetSpec("a:1", hash_key="first", priority=1), TargetSpec("b:1"))
    assert ring.params == {
        "minimum_ring_size": 256,
        "maximum_ring_size": 512,
        "hash_function": "MURMUR_HASH_2",
    }
    assert ring.limits == lbcore.Limits(100, 1.5, 3, 0.0, 10, 5)
    assert ring.levels == lbcore.Levels(200, 50, True, "zone", {"x": 3}, 2)
    assert ring.slow_start == lbcore.SlowStart(30.0, 2.0, 5.5)
    assert by_map.params == {"avalanche": True}
    assert (by_map.limits, by_map.levels, by_map.slow_start) == (None, None, None)
    assert (plain.limits, plain.levels) == (lbcore.Limits(), lbcore.Levels(spill=False))
    assert [(rule.key, rule.by) for rule in (*spec.rules, *spec.streams)] == [
        (KeySpec(("header:x-user",)), None),
        (KeySpec(("cookie:sid", "query:sid", "ip", "path", "random")), "key"),
        (KeySpec(("ip",)), None),
        (KeySpec(("ip",)), "key"),
    ]


def test_what_it_says_is_what_is_built():
    engine = lbcore.load(TEXT)
    first, second = engine.upstreams["ring"].targets
    assert (first.hash_key, first.priority, second.hash_key, second.priority) == ("first", 1, None, 0)
    assert engine.upstreams["ring"].policy.params["hash_function"] == "MURMUR_HASH_2"
    assert engine.match("GET", "h", "/sid").route.split.by == "key"
    assert engine.match_stream("UDP", 53, source="192.0.2.1").key == "192.0.2.1"


RING = "{name: ring_hash, minimum_ring_size: 256, maximum_ring_size: 512, hash_function: MURMUR_HASH_2}"
USER, SID = "key: header:x-user, ", 'key: ["cookie:sid", "query:sid", ip, path, random], split: key, '

WRONG = [  # the edit, then the field, a part of the reason, and the line
    # policies
    ("minimum_ring_size: 256", "minimum_ring_size: 1024", "upstreams.ring.policy",
     "minimum_ring_size: 1024 is above maximum_ring_size, 512", 8),
    ("MURMUR_HASH_2", "MURMUR", "upstreams.ring.policy.hash_function", "not one of 'XX_HASH', 'MURMUR_HASH_2'", 8),
    ("avalanche: true", "avalanche: 1", "upstreams.map.policy.avalanche", "1 is not True or False", 13),
    ("avalanche: true", "avalanch: true", "upstreams.map.policy.avalanch", "did you mean 'avalanche'?", 13),
    (RING, "maglev2", "upstreams.ring.policy", "'maglev2' is not known; did you mean 'maglev'?", 8),
    (RING, "{name: maglev, table_size: 1000}", "upstreams.ring.policy.table_size", "1000 is not a prime", 8),
    # what only the policy can refuse, with the targets before it
    ("{name: source_haproxy, avalanche: true}, targets: [", "jump, targets: [{address: 'd:1', weight: 2}, ",
     "upstreams.map.targets[1].weight", "1 is not the 2 of targets[0]", 13),
    ("{name: source_haproxy, avalanche: true}", "{name: chash_haproxy, hash_key: guid}",
     "upstreams.map.targets[0].hash_key", "is no guid", 13),
    ("{name: source_haproxy, avalanche: true}, targets: [",
     '{name: chash_kong, slots: 200}, targets: ["1:1", "2:1", "3:1", "4:1", ',
     "upstreams.map.targets", "6 do not fit on 1000 slots", 13),
    ('{name: source_haproxy, avalanche: true}, targets: ["a:1"',
     'ketama_nginx, targets: [{address: "a:1", weight: 1000000}',
     "upstreams.map.targets", "this ring holds at most", 13),
    # targets
    ("hash_key: first", 'hash_key: ""', "upstreams.ring.targets[0].hash_key", "is empty", 9),
    ("hash_key: first", "hash_kye: first", "upstreams.ring.targets[0].hash_kye", "did you mean hash_key?", 9),
    ("priority: 1", "priority: 128", "upstreams.ring.targets[0].priority", "128 is not a whole number in 0..127", 9),
    # limits
    ("in_flight: 100", "in_flight: 0", "upstreams.ring.limits.in_flight", "0 is not a whole number in 1..2", 10),
    ("in_flight: 100", "in_fligt: 1", "upstreams.ring.limits.in_fligt", "did you mean in_flight?", 10),
    ("bound: 1.5", "bound: 0.9", "upstreams.ring.limits.bound", "0.9 is not a number in 1..100", 10),
    ("bound: 1.5", "bound: .nan", "upstreams.ring.limits.bound", "nan is not a number in 1..100", 10),
    ("bound: 1.5", "bound: true", "upstreams.ring.limits.bound", "true is not a number in 1..100", 10),
    ("margin: 3", "margin: 1.5", "upstreams.ring.limits.margin", "1.5 is not a whole number in 0..1000000", 10),
    ("error_hold: 0", "error_hold: -1", "upstreams.ring.limits.error_hold", "-1 is not a number in 0..3600", 10),
    ("retry_percent: 10", "retry_percent: 1001", "upstreams.ring.limits.retry_percent", "in 0..1000", 10),
    ("retry_per_second: 5", "retry_per_second: x", "upstreams.ring.limits.retry_per_second", "'x' is not", 10),
    ("limits: {}", "limits: 5", "upstreams.plain.limits", "5 is not an object", 14),
    # levels
    ("overprovisioning: 200", "overprovisioning: 99", "upstreams.ring.levels.overprovisioning", "in 100..1000000", 11),
    ("panic: 50", "panic: 101", "upstreams.ring.levels.panic", "101 is not a whole number in 0..100", 11),
    ("spill: true", "spill: 1", "upstreams.ring.levels.spill", "1 is not true or false", 11),
    ("spill: true", "spill: false", "upstreams.ring.levels.overprovisioning", "spill is false", 11),
    ("locality: zone", 'locality: ""', "upstreams.ring.levels.locality", "is empty; wanted the name of a label", 11),
    ("locality: zone, ", "", "upstreams.ring.levels.weights", "set locality, too", 11),
    ("locality: zone, ", "", "upstreams.ring.levels.default_weight", "set locality, too", 11),
    ("weights: {x: 3}", "weights: {x: -3}", "upstreams.ring.levels.weights.x", "-3 is not a whole number", 11),
    ("default_weight: 2", "default_weight: []", "upstreams.ring.levels.default_weight", "a list is not", 11),
    # slow start
    ("window: 30, ", "", "upstreams.ring.slow_start.window", "is missing", 12),
    ("window: 30", "window: 0", "upstreams.ring.slow_start.window", "0 is not a number in 0.001..86400", 12),
    ("aggression: 2", "aggression: 0", "upstreams.ring.slow_start.aggression", "0 is not a number in 0.01..100", 12),
    ("min_percent: 5.5", "min_percent: 101", "upstreams.ring.slow_start.min_percent", "in 0..100", 12),
    ("min_percent: 5.5", "minpercent: 5.5", "upstreams.ring.slow_start.minpercent", "did you mean min_percent?", 12),
    # keys
    (USER, "", "routes[0].key", "is missing: 'ring_hash', the policy of upstream 'ring', picks by a key", 16),
    (USER, "key: headr:x, ", "routes[0].key", "did you mean header:NAME?", 16),
    (USER, "key: header, ", "routes[0].key", "'header' is not header:NAME", 16),
    (USER, "key: 'header:x user', ", "routes[0].key", "'x user' is no header's name", 16),
    (USER, "key: 'cookie:a;b', ", "routes[0].key", "'a;b' is no cookie's name", 16),
    (USER, "key: 7, ", "routes[0].key", "7 is not text", 16),
    (USER, "key: [], ", "routes[0].key", "has 0 entries; at least 1", 16),
    (USER, "key: {header: x}, ", "routes[0].key", "an object is not text", 16),
    (USER, "key: 'capture:id', ", "routes[0].key", "the paths of this form capture nothing", 16),
    ("ip, path, random", "ipp, path, random", "routes[1].key[2]", "did you mean ip?", 17),
    ("ip, path, random", "random, ip", "routes[1].key[2]", "'random' is the last", 17),
    ('"query:sid"', f'"query:{"x" * 300}"', "routes[1].key[1]", "a name of 300 characters; at most 256", 17),
    (SID, "split: key, ", "routes[1].key", "is missing", 17),
    ("split: key, backends: [ring", "split: by-key, backends: [ring", "routes[1].split", "'by-key' is not key", 17),
    ("backends: [ring, plain]", "backends: [plain]", "routes[0].key", "has no use", 16),
    ("db], key: ip", "db], key: header:x", "routes[2].key", "'header:x' is not ip, the one key that a TCP", 18),
    ("db], key: ip", "db], key: random", "routes[2].key", "'random' is not ip", 18),
    ("db], key: ip, ", "db], ", "routes[2].key", "the policy of upstream 'map', picks by a key; wanted: ip", 18),
    ("key: [ip], ", "key: [ip, path], ", "routes[3].key[1]", "'path' is not ip, the one key that a UDP", 19),
    ("dns], key: [ip], split: key, backends: [plain, map]", "dns], split: key, backends: [plain]",
     "routes[3].key", "is missing, and the split is by key; wanted: ip", 19),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "reason", "line"), WRONG)
def test_wrong(old, new, field, reason, line):
    assert TEXT.count(old) >= 1, old
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(TEXT.replace(old, new, 1))
    problem = next((p for p in caught.value.problems if p.field == field), None)
    assert problem is not None, str(caught.value)
    assert reason in problem.reason
    assert (problem.file, problem.object, problem.line) == ("<text>", "short form", line)
    assert problem.column > 0


def test_all_at_once():
    text = TEXT
    for old, new in [("avalanche: true", "avalanche: 3"), (USER, ""), ("spill: true", "spill: false"),
                     ('{targets: ["c:1"]', '{policy: jump, targets: ["c:1", {address: "d:1", weight: 3}]'),
                     ("db], key: ip, ", "db], key: [path, 'header:x'], ")]:  # fmt: skip
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(lbcore.ConfigError) as caught:
        lbcore.load(text)
    assert [p.field for p in caught.value.problems] == [
        "upstreams.ring.levels.overprovisioning",
        "upstreams.map.policy.avalanche",
        "upstreams.plain.targets[1].weight",
        "routes[0].key",
        "routes[2].key[0]",
        "routes[2].key[1]",
    ]


def test_a_bound_of_one_parameter_is_not_judged_by_the_default_of_another():
    # 512 is below the default of minimum_ring_size; with 256 given it is right.
    assert read(TEXT.replace("hash_function: MURMUR_HASH_2", "hash_function: XX_HASH"))
    with pytest.raises(lbcore.ConfigError, match="minimum_ring_size: 1024 is above maximum_ring_size, 512"):
        read(TEXT.replace("minimum_ring_size: 256, ", ""))


@pytest.mark.parametrize(
    ("model", "make", "rest"),
    [
        (ShortLimits, lbcore.Limits, {}),
        (ShortLevels, lbcore.Levels, {}),
        (ShortSlowStart, lbcore.SlowStart, {"window": 1}),
    ],
)
def test_the_ranges_are_those_of_the_options(model, make, rest):
    """Each number at and around the edges of every range: the form and the class agree."""
    edges = (-1, 0, 0.001, 0.01, 0.5, 1, 99, 100, 101, 1000, 1001, 3600, 3601, 86400, 86401, 10**6, 10**6 + 1)
    for name in model.__struct_fields__:
        for value in (*edges, 2**31 - 1, 2**31, True, "x", 1.5):
            found, _ = checked({**rest, name: value}, model)
            try:
                make(**{**rest, name: value})
            except lbcore.ConfigError:
                assert found is None, (name, value)
            else:
                assert found is not None, (name, value)
    assert model.__struct_fields__ == tuple(make.__dataclass_fields__)

"""``lbcore pick`` with keys, and what ``--compare`` counts: for every policy of the register."""

import json
import random
from collections import Counter

import pytest

import lbcore
from lbcore.__main__ import main
from lbcore.cli.choosing import drawn_keys, numbered_keys, policy

KEYED = [name for name, one in lbcore.policies().items() if one.keyed]
KEYLESS = [name for name, one in lbcore.policies().items() if not one.keyed]
ADDRESSES = [f"10.0.0.{i}:80" for i in range(1, 6)]
JUMP_OR_KONG = ("jump", "chash_kong")

FILE = """\
lbcore: 1
listeners: {a: {protocol: http, port: 8080}}
upstreams: {u: {targets: [10.0.0.1:80, {address: 10.0.0.2:80, weight: 3}]}}
routes: [{name: r, listeners: [a], backends: [u]}]
"""


@pytest.fixture
def lb(capsys):
    """Runs a command in this process: (code, out, err)."""

    def run(*args):
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


# ---- pick with keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYED)
def test_a_keyed_policy_gets_numbered_keys(lb, name):
    args = ("pick", "--policy", name, *ADDRESSES, "-n", "200", "--keys", "ip")
    code, out, err = lb(*args, "--json")
    assert (code, err) == (0, "")
    got = json.loads(out)
    up = lbcore.Upstream("u", ADDRESSES, name)
    assert got["keys"] == numbered_keys(200, True)
    assert got["sequence"] == [up.pick(key).id for key in got["keys"]]
    assert sum(one["picks"] for one in got["targets"]) == 200
    code, out, _ = lb(*args)
    assert code == 0 and out.splitlines()[2].split() == ["TARGET", "WEIGHT", "WANTED", "KEYS", "GOT"]


def test_keys_of_ones_own_are_listed(lb):
    code, out, _ = lb("pick", "--policy", "jump", "--key", "alice", "--key", "bob", *ADDRESSES)
    up = lbcore.Upstream("u", ADDRESSES, "jump")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["KEY", "TARGET"],
        ["alice", up.pick("alice").id],
        ["bob", up.pick("bob").id],
    ]


def test_parameters_are_numbers_words_and_flags(lb):
    for value, points in (("true", True), ("FALSE", False)):
        args = ["--policy", "ketama_libmemcached", "--param", f"weighted={value}", *ADDRESSES, "-n", "50"]
        code, out, _ = lb("pick", *args, "--json")
        up = lbcore.Upstream("u", ADDRESSES, lbcore.policy("ketama_libmemcached", weighted=points))
        assert code == 0
        assert json.loads(out)["sequence"] == [up.pick(f"key {i}").id for i in range(50)]
    kong = policy("--compare", "chash_kong:slots=2000")
    assert kong.params["slots"] == 2000
    assert policy("--compare", "round_robin").params["phase"] == 0  # from the beginning of the schedule


# ---- compare, keyed ---------------------------------------------------------------------------------------------


def test_what_moves_is_what_the_two_upstreams_say(lb):
    code, out, err = lb("pick", "--compare", *JUMP_OR_KONG, *ADDRESSES, "-n", "3000", "--seed", "5", "--json")
    assert (code, err) == (0, "")
    got = json.loads(out)
    before, after = (lbcore.Upstream("u", ADDRESSES, name) for name in JUMP_OR_KONG)
    pairs = [(before.pick(key).id, after.pick(key).id) for key in drawn_keys(3000, False, 5)]
    moves = [pair for pair in pairs if pair[0] != pair[1]]
    assert (got["n"], got["seed"], got["keyed"]) == (3000, 5, True)
    assert (got["a"]["policy"], got["b"]["policy"]) == JUMP_OR_KONG
    assert got["moved"] == len(moves) / 3000
    for one in got["targets"]:
        assert one["before"] == sum(x == one["target"] for x, _ in pairs) / 3000
        assert one["after"] == sum(y == one["target"] for _, y in pairs) / 3000
        assert one["moved_away"] == sum(x == one["target"] for x, _ in moves) / 3000
        assert one["moved_in"] == sum(y == one["target"] for _, y in moves) / 3000
        assert one["after"] - one["before"] == pytest.approx(one["moved_in"] - one["moved_away"])
    assert got["least"] == pytest.approx(sum(max(0, one["before"] - one["after"]) for one in got["targets"]))
    assert 0 < got["least"] < got["moved"] < 1


@pytest.mark.parametrize("name", KEYED)
def test_nothing_moves_to_the_same_policy(lb, name):
    code, out, _ = lb("pick", "--compare", name, name, *ADDRESSES, "-n", "500", "--keys", "ip", "--json")
    got = json.loads(out)
    assert (code, got["moved"], got["least"]) == (0, 0, 0)


def test_the_text_says_policies_seed_and_shares(lb):
    args = ("pick", "--compare", "ketama_libmemcached:weighted=false", "jump", *ADDRESSES)
    code, out, err = lb(*args)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "ketama_libmemcached:weighted=false -> jump: 100000 keys, seed 0"
    assert lines[1].endswith("must") and " % of the keys would move" in lines[1]
    assert lines[3].split() == [
        "TARGET",
        "WEIGHT",
        "WANTED",
        "BEFORE",
        "AFTER",
        "MOVED",
        "AWAY",
        "MOVED",
        "IN",
    ]
    assert [line.split()[0] for line in lines[4:]] == ADDRESSES
    assert lb(*args) == (code, out, err)
    assert lb(*args, "--seed", "1")[1] != out


def test_single_keys_before_and_after(lb):
    code, out, _ = lb(
        "pick", "--compare", *JUMP_OR_KONG, "--key", "a", "--key", "b", "--key", "c", *ADDRESSES
    )
    lines = [line.split() for line in out.splitlines()]
    ups = [lbcore.Upstream("u", ADDRESSES, name) for name in JUMP_OR_KONG]
    assert code == 0 and lines[0] == ["KEY", *JUMP_OR_KONG]
    for key, line in zip("abc", lines[1:], strict=True):
        x, y = (up.pick(key).id for up in ups)
        assert line == [key, x, y, *([] if x == y else ["moves"])]


def test_an_upstream_of_files(lb, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(FILE)
    code, out, _ = lb("pick", "-f", file, "u", "--compare", "chash_kong", "ketama_libmemcached", "--json")
    got = json.loads(out)
    assert code == 0 and got["n"] == 100_000
    assert [(t["target"], t["weight"], t["share"]) for t in got["targets"]] == [
        ("10.0.0.1:80", 1, 0.25),
        ("10.0.0.2:80", 3, 0.75),
    ]


# ---- compare, keyless -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYLESS)
def test_a_keyless_policy_against_itself_and_another(lb, name):
    targets = [f"{address}=2" for address in ADDRESSES]
    same = json.loads(lb("pick", "--compare", name, name, *targets, "-n", "300", "--json")[1])
    assert (same["differ"], same["first"], same["keyed"]) == (0, None, False)
    code, out, err = lb("pick", "--compare", name, "random", *targets, "-n", "300", "--json")
    assert (code, err) == (0, "")
    got = json.loads(out)
    assert sum(one["before"] for one in got["targets"]) == pytest.approx(1)
    assert sum(one["after"] for one in got["targets"]) == pytest.approx(1)


def test_sequences_and_where_they_differ(lb):
    args = ("pick", "--compare", "round_robin", "random", "a=3", "b=1", "-n", "100")
    code, out, _ = lb(*args)
    got = json.loads(lb(*args, "--json")[1])
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("round_robin: ") and lines[1].startswith("random: ")
    first, second = (line.split()[1:21] for line in lines[:2])
    assert [x != y for x, y in zip(first, second, strict=True)].index(True) == got["first"]
    assert lines[2] == f"{got['differ']} of 100 picks differ, the first is the pick {got['first'] + 1}"
    assert [one["before"] for one in got["targets"]] == [0.75, 0.25]


# ---- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "code", "words"), [
    (["--compare", "jump", "random", "a", "b"], 2, "no key could move"),
    (["--compare", "random", "jump", "a", "b"], 2, "random uses none"),
    (["--compare", "jump", "jump"], 2, "required"), (["--compare", "jump"], 2, "--compare"),
    (["--compare", "jmup", "jump", "a"], 1, "did you mean 'jump'"),
    (["--compare", "jump:x=1", "jump", "a"], 1, "no such parameter"),
    (["--compare", "jump:x", "jump", "a"], 2, "NAME=VALUE"),
    (["--compare", "chash_kong:slots=many", "jump", "a"], 1, "'many' is not a number"),
    (["--compare", "chash_kong:slots=true", "jump", "a"], 1, "True is not a number"),
    (["--compare", "ketama_libmemcached", "jump", "a=1", "b=2"], 1, "jump: targets[1].weight: 2"),
    (["--compare", "jump", "jump", "a=0"], 1, "no usable target"),
    (["--compare", "jump", "jump", "a", "--policy", "jump"], 2, "--policy"),
    (["--compare", "random", "random", "a", "--key", "x"], 2, "use no keys"),
    (["--compare", "jump", "jump", "a", "-n", "0"], 2, "1..1000000"),
    (["--compare", "jump", "jump", "a", "--key", "x", "-n", "3"], 2, "--key"),
    (["--compare", "jump", "jump", "a", "--seed", "-1"], 2, "--seed"),
    (["--policy", "random", "a", "--key", "x"], 2, "random uses no keys"),
    (["--policy", "jump", "a=1", "b=2"], 1, "targets[1].weight"),
    (["--policy", "ip_hash_nginx", "a", "b"], 2, "--keys ip"),
    (["--compare", "ip_hash_nginx", "jump", "a", "b"], 2, "--keys ip"),
])  # fmt: skip
def test_wrong_usage_is_a_line(lb, args, code, words):
    got, out, err = lb("pick", *args)
    assert (got, out) == (code, "") and words in err


def test_drawn_keys_are_those_of_the_seed():
    draw = random.Random(3)
    assert drawn_keys(2, False, 3) == [f"{draw.getrandbits(64):016x}" for _ in range(2)]
    assert drawn_keys(1000, True, 3) == drawn_keys(1000, True, 3) != drawn_keys(1000, True, 4)
    assert max(Counter(numbered_keys(10_000, True)).values()) == 1

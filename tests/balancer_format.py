"""The format ``balancer`` of ``golden/badinput/configs.json``: plain keys, mapped to the engine's names.

It is the cases' own format, so it lives with them.  The engine judges every value; what is checked here is what the
format adds: the shape of the data, which keys there are, and that a target is an address.

What the engine does not have yet raises :class:`NotYet`, asked for anew each time: a case that needs it is skipped
until it is there.
"""

import lbcore
from lbcore.config import kong_health
from lbcore.config.jsontext import document
from lbcore.config.plain import Unreadable, shown, written
from lbcore.config.short import is_address

POLICIES = {
    "round_robin": "round_robin",
    "smooth_wrr": "smooth_nginx",
    "random": "random",
    "least_request": "least_request",
    "ring_hash": "ring_hash",
    "maglev": "maglev",
    "ewma": "peak_ewma",
}
PARAMETERS = {  # of a policy; one that has no such parameter refuses it
    "table_size": "table_size",
    "min_ring_size": "minimum_ring_size",
    "max_ring_size": "maximum_ring_size",
    "replicas": "replicas",
    "choice_count": "choices",
    "active_request_bias": "active_request_bias",
    "hash_function": "hash_function",
    "hash_balance_factor": "hash_balance_factor",
    "decay": "decay",
}
SLOW_START = {"slow_start_window": "window", "slow_start_aggression": "aggression"}
SLOW_START_WINDOW = 30.0  # where only the aggression is given
KONGS = {"healthchecks"}  # read as Kong's configuration is
KEY = {"hash_on", "hash_on_header"}
LATER = {"panic_threshold", "retry_budget"}  # no case has them
KEYS = {"policy", "targets", "targets_generate", *PARAMETERS, *SLOW_START, *KONGS, *KEY, *LATER, "retries"}


class NotYet(Exception):
    """The engine has no such policy or option yet."""


def load_text(text):
    """The upstream that JSON text describes.  Raises ConfigError, NotYet."""
    try:
        return load(document(text))
    except Unreadable as error:
        raise lbcore.ConfigError("", f"{error.line}:{error.column}: {error.reason}") from None


def load(body):
    """The upstream that ``body`` describes.  Raises ConfigError, NotYet."""
    if not isinstance(body, dict):
        raise lbcore.ConfigError("", f"{shown(body)} is not an object")
    for key in body:
        if key not in KEYS:
            raise lbcore.ConfigError(key, f"is not a key of this format; known: {', '.join(sorted(KEYS))}")
        if key in LATER:
            raise NotYet(key)
    chosen = policy(body)
    key_source(body)
    up = lbcore.Upstream("u", targets(body), chosen, **health(body), **slow_start(body))
    if "retries" in body:
        with_name("retries", up.attempts, "key" if up.policy.keyed else None, n=body["retries"])
    return up


def key_source(body):
    """Where keys come from, as a route would be told."""
    on = body.get("hash_on")
    if on is not None:
        named = f"{on}:{body.get(f'hash_on_{on}', '')}" if on in ("header", "cookie") else on
        with_name("hash_on", lbcore.KeySource, named)


def policy(body):
    """The engine's policy with its parameters; errors name them as the format does."""
    name = body.get("policy")
    if not isinstance(name, str) or name not in POLICIES:
        raise lbcore.ConfigError("policy", f"{shown(name)} is not one of {', '.join(POLICIES)}")
    if POLICIES[name] not in lbcore.policies():
        raise NotYet(f"policy {POLICIES[name]}")
    given = {key: body[key] for key in PARAMETERS if key in body}
    for key, value in given.items():
        with_name(key, lbcore.policy, POLICIES[name], **{PARAMETERS[key]: value})
    return lbcore.policy(POLICIES[name], **{PARAMETERS[key]: value for key, value in given.items()})


def targets(body):
    """The targets as given, or so many made up."""
    if "targets_generate" in body:
        count, weight = body["targets_generate"]["count"], body["targets_generate"]["weight"]
        return [
            lbcore.Target(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80", weight=weight) for i in range(count)
        ]
    given = body.get("targets")
    if not isinstance(given, list):
        raise lbcore.ConfigError("targets", f"{shown(given)} is not a list")
    return [target(one, f"targets[{i}]") for i, one in enumerate(given)]


def target(one, place):
    """One target; errors say which."""
    if not isinstance(one, dict) or not set(one) <= {"target", "weight"}:
        raise lbcore.ConfigError(place, f"{shown(one)} is not an object of target and weight")
    address = one.get("target")
    if not isinstance(address, str) or not is_address(address):
        raise lbcore.ConfigError(
            f"{place}.target", f"{shown(address)} is not an address: host:port or [ipv6]:port"
        )
    return with_name(f"{place}.weight", lbcore.Target, address, weight=one.get("weight", 1))


def slow_start(body):
    """The upstream's setting, as keyword arguments."""
    given = {key: body[key] for key in SLOW_START if key in body}
    if not given:
        return {}
    made = getattr(lbcore, "SlowStart", None)
    if made is None:
        raise NotYet("slow start")
    for key, value in given.items():
        with_name(key, made, **{"window": SLOW_START_WINDOW, SLOW_START[key]: value})
    settings = {SLOW_START[key]: value for key, value in given.items()}
    return {"slow_start": made(**{"window": SLOW_START_WINDOW, **settings})}


def health(body):
    """Kong's healthchecks, as keyword arguments."""
    if "healthchecks" not in body:
        return {}
    made, faults = kong_health.read(body["healthchecks"])
    if faults:
        raise lbcore.ConfigError(written(("healthchecks", *faults[0].path)), faults[0].reason)
    return {"health": made}


def with_name(field, make, *args, **kwargs):
    """What ``make`` makes; its complaint names ``field``."""
    try:
        return make(*args, **kwargs)
    except lbcore.ConfigError as error:
        raise lbcore.ConfigError(field, error.problems[0].reason) from None

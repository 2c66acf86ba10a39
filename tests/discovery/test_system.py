"""The system's resolver as a source; getaddrinfo is replaced where its answer matters."""

import asyncio
import socket
import threading

import pytest

import lbcore
from lbcore import discovery


def look(source):
    return asyncio.run(source.resolve())


def answers(monkeypatch, *hosts):
    def getaddrinfo(host, port, family, kind):
        if isinstance(hosts[0], Exception):
            raise hosts[0]
        return [
            (socket.AF_INET6, kind, 6, "", (h, port, 0, 0))
            if ":" in h
            else (socket.AF_INET, kind, 6, "", (h, port))
            for h in hosts
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_localhost_is_known_without_a_name_server():
    found = look(discovery.system("localhost:8080", family="v4"))
    assert [t.id for t in found.targets] == ["localhost@127.0.0.1:8080"] and found.good_for == 30.0


def test_every_address_once_in_order(monkeypatch):
    answers(monkeypatch, "10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2")
    found = look(discovery.system("api.test:80", weight=2, labels={"a": "b"}, interval=7))
    assert [(t.address, t.weight) for t in found.targets] == [
        ("10.0.0.1:80", 2),
        ("10.0.0.2:80", 2),
        ("[fd00::1]:80", 2),
    ]
    assert dict(found.targets[0].labels) == {"name": "api.test", "a": "b"} and found.good_for == 7


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "api.test: Temporary failure"),
        (socket.gaierror(socket.EAI_NONAME, "Name not known"), "api.test has no address"),
        (OSError("no descriptors"), "api.test: no descriptors"),
    ],
)
def test_a_failure_has_the_name(monkeypatch, error, text):
    answers(monkeypatch, error)
    with pytest.raises(lbcore.LbcoreError, match=text):
        look(discovery.system("api.test:80"))


def test_no_address_is_accepted_where_it_is_wanted(monkeypatch):
    answers(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name not known"))
    assert look(discovery.system("api.test:80", empty="accept")).targets == ()


def test_a_resolver_that_hangs_costs_one_thread(monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: hang.wait(30) and [])
    source = discovery.system("api.test:80", timeout=0.05)
    with pytest.raises(lbcore.LbcoreError, match=r"no answer within 0\.05 s"):
        look(source)
    for _ in range(3):
        with pytest.raises(lbcore.LbcoreError, match="no answer yet"):
            look(source)
    threads = [t for t in threading.enumerate() if t.name == "lbcore-discovery-aside"]
    assert len(threads) == 1 and threads[0].daemon
    hang.set()
    threads[0].join(10)
    answers(monkeypatch, "10.0.0.1")
    assert len(look(source).targets) == 1


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("api.test", {}, "name"),
        ("10.0.0.1:80", {}, "name"),
        ("api.test:80", {"interval": 0.5}, "interval"),
        ("api.test:80", {"family": "v5"}, "family"),
        ("api.test:80", {"weight": 0}, "weight"),
    ],
)
def test_a_wrong_setting_is_named(name, options, field):
    with pytest.raises(lbcore.ConfigError) as raised:
        discovery.system(name, **options)
    assert raised.value.problems[0].field == field

"""The compiled engine.  Import from ``lbcore``; this file is the contract that stubtest holds the extension to.

Durations and times are float seconds.  Hot calls take positional arguments and return existing objects.
What the engine cannot do yet raises :class:`LbcoreError` ("... is not available yet"); nothing is accepted and ignored.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from re import Pattern
from types import TracebackType
from typing import Any, Generic, Literal, Never, Self, TypeVar, final, overload

from lbcore.affinity import Affinity
from lbcore.errors import NoTarget
from lbcore.explain import Conflict, Explanation
from lbcore.filters import Filter, Programs, Retry, Timeouts
from lbcore.healthrules import Health
from lbcore.keys import KeySource
from lbcore.options import Levels, Limits, Shared, SlowStart

_Item = TypeVar("_Item")
_Key = str | bytes | int
_Text = str | bytes
_Headers = Mapping[str, str] | Iterable[tuple[_Text, _Text]]
_Health = Health | Literal["passive"] | None
_State = Literal["healthy", "unhealthy", "ejected", "held", "draining", "disabled", "removed"]
_PathType = Literal["prefix", "exact", "template", "plain", "regex"]
_Flavor = Literal["gateway_api", "ingress", "kong_traditional", "kong_compatible"]
_BlockAndPort = tuple[str | None, int | None]
_Peer = _Text | Sequence[Any]

core_version: str

@final
class Param:
    """One parameter of a policy: its ``name``, ``default``, allowed range ``min``..``max`` or ``words``, and one
    sentence ``doc``."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> float | str | bool: ...
    @property
    def words(self) -> tuple[str, ...] | None:
        """The words among which it chooses; None for a number."""
    @property
    def range(self) -> str:
        """What may be given, as text."""
    @property
    def min(self) -> float: ...
    @property
    def max(self) -> float: ...
    @property
    def doc(self) -> str: ...

@final
class Policy:
    """A selection policy with its parameters set; made by :func:`policy`."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def keyed(self) -> bool:
        """True if picks need a key."""
    @property
    def params(self) -> dict[str, float | str | bool]: ...
    @property
    def parameters(self) -> tuple[Param, ...]: ...

def policy(name: str, /, **params: float | str | bool) -> Policy:
    """The policy ``name`` with ``params`` in place of its defaults.

    Raises :class:`ConfigError` for an unknown name or parameter (naming the nearest known one) or a value out of range.
    """

def policies() -> dict[str, Policy]:
    """Every policy of this build with its defaults, by name."""

def hash_bytes(name: str, data: str | bytes, seed: int = 0) -> int:
    """The hash of ``data`` (of a str: its UTF-8) by the function ``name``: 0..2^32-1 or 0..2^64-1.

    For those who place keys or points outside an upstream and want the same numbers as its policies.  Raises
    :class:`ConfigError` for an unknown name (naming the nearest known one), a seed that the function does not take, or
    data of a length that it does not take.
    """

def hashes() -> dict[str, str]:
    """Every hash function of this build: its summary by its name."""

@final
class Hashed(int):
    """A key that is a hash already: it stands for the result of the policy's own hash of the key (0..2^64-1)."""

@final
class Target:
    """One address that can serve.

    As given to an :class:`Upstream` it is a specification and is copied; those in ``up.targets`` and those that a pick
    returns are live.  ``address`` is ``host:port`` (``[v6]:port``), or any name where nobody asks for host and port.
    Identity inside an upstream is ``id``, else ``address``.  Raises :class:`ConfigError` for a value out of range.
    """

    def __new__(
        cls,
        address: str,
        *,
        id: str | None = None,
        weight: int = 1,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        data: Any = None,
        hash_key: str | None = None,
        scheme: str | None = None,
        path: str = "",
    ) -> Self: ...
    @property
    def address(self) -> str: ...
    @property
    def host(self) -> str:
        """``address`` without the port; ``ValueError`` if it has no port."""
    @property
    def port(self) -> int: ...
    @property
    def id(self) -> str:
        """The identity: ``id`` as given, else the address."""
    @property
    def hash_key(self) -> str | None:
        """What keyed policies hash instead of the address (HAProxy's server id or guid, Envoy's ``hash_key``)."""
    @property
    def weight(self) -> int: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def data(self) -> Any: ...
    @property
    def scheme(self) -> str | None: ...
    @property
    def path(self) -> str: ...
    @property
    def upstream(self) -> Upstream | None:
        """The upstream that this live target belongs to; None for a specification."""
    @property
    def state(self) -> _State:
        """Why it is picked or not; "healthy" for a specification."""
    @property
    def until(self) -> float | None:
        """When an ejection, a pause or a drain's deadline ends, on the upstream's clock; None: nothing does."""
    @property
    def priority(self) -> int:
        """0 is served first."""
    @property
    def in_flight(self) -> int:
        """Calls on this target not yet done, those of all workers where State is shared."""
    @property
    def index(self) -> int:
        """Its place in ``up.targets``; -1 for a specification or a removed target."""
    def drain(self, deadline: float | None = None) -> None:
        """No new calls but those of its sessions, for ``deadline`` seconds from now (None: without end)."""
    def undrain(self) -> None:
        """Take new calls again."""
    def disable(self) -> None:
        """Out of service, its sessions too, until :meth:`enable`."""
    def enable(self) -> None:
        """Back in service, as far as its health allows."""

_Exclude = Target | str | Iterable[Target | str]

@final
class Event:
    """Something that happened to a target."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def kind(
        self,
    ) -> Literal[
        "ejected",
        "recovered",
        "unhealthy",
        "healthy",
        "held",
        "released",
        "draining",
        "drained",
        "undrained",
        "disabled",
        "enabled",
    ]: ...
    @property
    def upstream(self) -> str: ...
    @property
    def target(self) -> Target | None:
        """None if it was removed since."""
    @property
    def at(self) -> float: ...
    @property
    def until(self) -> float | None: ...
    @property
    def failures(self) -> int:
        """In a row, that led to an ejection; 0: a statistical detector, or none."""
    @property
    def cause(self) -> str | None:
        """The detector that ejected: the name of its field in :class:`Outlier`, "success_rate", "failure_percentage",
        or "half_open" for a trial that failed."""
    @property
    def status(self) -> int | None:
        """Of the answer that asked for a pause."""

@final
class Call:
    """One request in flight on one target: counts until :meth:`done`, which is idempotent."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def target(self) -> Target: ...
    @property
    def upstream(self) -> Upstream: ...
    @property
    def backend(self) -> Backend | None:
        """The backend of the split it was drawn from; None for a call of an upstream itself."""
    @property
    def filters(self) -> tuple[Filter, ...]:
        """Those of the backend."""
    @property
    def session(self) -> str | None:
        """The value to hand to the client, where the upstream has an affinity and a new session began; else None."""
    @property
    def why(self) -> dict[str, Any] | None:
        """The receipt of a call acquired with ``trace=True``, as plain data: ``upstream policy key target priority
        passed`` (whom the choice passed over, and the reason) ``more_passed runner_up``."""
    def report(
        self,
        status: int | None = None,
        error: BaseException | None = None,
        latency: float | None = None,
        retry_after: float | str | None = None,
    ) -> None:
        """Give the verdict; releases nothing.

        A ``TimeoutError``, another ``OSError`` or one of the upstream's ``failures`` speaks against the target; other
        errors and cancellation say nothing; an answer speaks for it, unless its status is one that the health counts.
        ``latency``: seconds.  ``retry_after`` (seconds, or a header's text) of a 429 or 503, or of no status,
        holds the target for so long.
        """

    def done(
        self,
        ok: bool | None = None,
        status: int | None = None,
        error: BaseException | None = None,
        latency: float | None = None,
        retry_after: float | str | None = None,
    ) -> None:
        """Give the verdict if none was given, then release.  ``ok=None``: by status and error."""

    @overload
    def stream(self, body: AsyncIterable[_Item]) -> AsyncStream[_Item]: ...
    @overload
    def stream(self, body: Iterable[_Item]) -> Stream[_Item]:
        """``body`` as an iterator that ends the call with its own end: the last item, an error, or being closed.

        Leaving the ``with`` block then releases nothing, so a handler may return the response and the call goes on.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Done: a failure if ``error`` is an OSError (TimeoutError is one); any other exception, cancellation
        included, speaks neither for nor against the target."""

@final
class Stream(Generic[_Item]):
    """What :meth:`Call.stream` makes of an iterable."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _Item: ...
    def close(self) -> None: ...

@final
class AsyncStream(Generic[_Item]):
    """What :meth:`Call.stream` makes of an asynchronous iterable."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> _Item: ...
    async def aclose(self) -> None: ...

@final
class Upstream:
    """A named group of targets with one policy.

    ``targets`` are :class:`Target` or plain addresses; ``policy`` a name or a :class:`Policy`.  ``health="passive"``
    ejects after 3 consecutive connection errors or time-outs for 10 s, growing, at most half of the targets; None is
    off; a :class:`Health` says more.  ``when_empty``: who serves when nobody is usable: "fail" nobody, "panic" all who
    are not draining or disabled, "least_bad" who is back soonest.  ``shared``: a name (or :class:`Shared`) under which
    the worker processes of this host keep State together.  ``failures``: exceptions besides OSError that speak against
    a target.  ``seed`` makes picks repeatable (None: drawn from the system); ``clock`` returns monotonic seconds.
    Raises :class:`ConfigError`.
    """

    def __new__(
        cls,
        name: str,
        targets: Iterable[Target | str],
        policy: str | Policy = "round_robin",
        *,
        health: _Health = "passive",
        limits: Limits | None = None,
        slow_start: SlowStart | None = None,
        affinity: Affinity | None = None,
        when_empty: Literal["fail", "panic", "least_bad"] = "fail",
        shared: str | Shared | None = None,
        seed: int | None = None,
        clock: Callable[[], float] | None = None,
        levels: Levels | None = None,
        failures: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def health(self) -> Health | None:
        """What its targets are judged by; None: nobody is."""
    @property
    def failures(self) -> tuple[type[BaseException], ...]: ...
    @property
    def targets(self) -> tuple[Target, ...]: ...
    @property
    def affinity(self) -> Affinity | None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Target]: ...
    def __getitem__(self, id: str | int, /) -> Target: ...
    def pick(
        self, key: _Key | None = None, *, within: Subset | None = None, exclude: _Exclude | None = None
    ) -> Target:
        """The target for ``key``, or the next by the policy; nothing is counted.

        ``within``: of a subset only; ``exclude``: targets or ids that are passed over.  Raises :class:`NoTarget` if
        nobody is usable, :class:`NoKey` if the policy needs a key.
        Cost: without arguments about that of an empty Python function, whatever the number of targets (``make bench``).
        """

    def pick_or_none(
        self, key: _Key | None = None, *, within: Subset | None = None, exclude: _Exclude | None = None
    ) -> Target | None:
        """As :meth:`pick`, but None if nobody is usable."""

    def acquire(
        self,
        key: _Key | None = None,
        *,
        within: Subset | None = None,
        exclude: _Exclude | None = None,
        session: str | None = None,
        trace: bool = False,
    ) -> Call:
        """Pick a target and count one call in flight on it.  Raises :class:`NoTarget`, :class:`NoKey`.

        ``session``: the value that the client brought (see :class:`Affinity`); ``trace=True`` fills :attr:`Call.why`.
        """

    def attempts(
        self, key: _Key | None = None, *, n: int = 3, within: Subset | None = None
    ) -> Iterator[Call]:
        """Up to ``n`` calls on different targets, one after the other, while the retry budget allows.

        Each call is to be done before the next is asked for; leaving the loop leaves the last one open until its own
        :meth:`Call.done`.  Raises :class:`NoTarget` if there is not even a first one.
        """

    def candidates(self, key: _Key | None, n: int) -> list[Target]:
        """The ``n`` targets that picks would give one after the other, all different; moves no cursor."""

    def pick_many(self, n: int, out: Any = None) -> Any:
        """``n`` picks at once: ``(n,)`` int32 indices into ``targets``, -1 where nobody is usable.

        ``out``: a writable buffer of int32 with room for them, which is returned; None: a new numpy array where numpy
        is installed, else an ``array.array``.  Cost: a few nanoseconds a pick; long batches let other threads run.
        """

    def pick_keys(self, keys: Any, out: Any = None) -> Any:
        """The pick of each key: ``(n,)`` int32 indices into ``targets``, -1 where nobody is usable.

        ``keys``: a list of str, bytes or int, or a buffer of uint64 (numpy arrays are).  ``out`` as for
        :meth:`pick_many`.
        """

    def subset(self, **labels: str) -> Subset:
        """The targets that have all of ``labels``, with a schedule of their own; pass it as ``within=``.

        It stays valid over updates.  Cost: O(targets) now and at each change, O(1) a pick.
        """

    def what_if(self, key: _Key | None = None) -> dict[str, Any]:
        """Whom ``key`` (or the next pick) would get, who would come after, who is out and why, as plain data."""

    def update(self, targets: Iterable[Target | str]) -> None:
        """Replace the targets.  Those kept by identity keep in-flight, health and what the schedule owes them."""

    def set_weight(self, target: Target | str, weight: int) -> None:
        """Change one weight (0..1000000) until the next update."""

    def set_health(self, target: Target | str, ok: bool, hold: bool = False) -> None:
        """Mark a target (un)healthy; ``ok=True`` also ends an ejection and a pause.  ``hold=True``: it stays unhealthy
        whatever its checks say, until it is marked healthy."""

    def checked(
        self,
        target: Target,
        *,
        status: int | None = None,
        error: BaseException | None = None,
        ok: bool | None = None,
    ) -> None:
        """The outcome of one active check, counted as the health's ``active`` says.

        ``status`` by its lists, a TimeoutError as a time-out, another OSError as a tcp failure, ``ok`` as a success or
        an http failure.  Nothing for a target that was removed.
        """

    def takes_traffic(self, target: Target | str) -> bool:
        """True if its checks say so, whatever else may keep it out."""

    def may_probe(self) -> bool:
        """True if this worker probes the targets, or is to begin now: of those that share State one does."""

    def give_up_probing(self) -> None:
        """Let another worker of the host probe."""

    def watch(self, watcher: Callable[[], object]) -> None:
        """Have ``watcher()`` called when a call ended or a target may be had that could not before.

        It is called in the thread where that happened, after the change and without a lock; what it raises is reported
        as unraisable.  Several may watch; one that watches already is not called twice.
        """

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call ``watcher`` no more; nothing for one that is not watching."""

    def advance(self) -> None:
        """Fire what is due.  Calls do this by themselves; it serves programs that watch events without calls."""

    def events(self) -> list[Event]:
        """Take the events since the last call, oldest first; at most 256 are kept."""

    @property
    def events_dropped(self) -> int:
        """Events lost because nobody took them, as far as :meth:`events` has found."""

    def stats(self) -> dict[str, Any]:
        """Figures of this moment.

        ``name policy n_targets n_usable in_flight own_in_flight workers ejected levels`` (percent by priority)
        ``events_dropped targets``.  ``in_flight`` counts the calls of all workers, ``own_in_flight`` those of this
        process; ``workers`` has ``pid since in_flight n_targets`` of each where State is shared.
        """

@final
class Subset:
    """The targets of an upstream that have certain labels; made by :meth:`Upstream.subset`."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def up(self) -> Upstream: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def targets(self) -> tuple[Target, ...]:
        """Its targets at this moment, in the order of the upstream's."""
    def __len__(self) -> int: ...

@final
class Segment:
    """The memory that the workers of a host share under one name, looked at from outside; made by :func:`look_in`.

    ``with`` closes it.  What is asked of a closed one raises :class:`LbcoreError`.
    """

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def dir(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def max_targets(self) -> int: ...
    @property
    def max_workers(self) -> int: ...
    def workers(self) -> list[dict[str, Any]]:
        """Who uses it: ``pid since in_flight n_targets`` of each; ``since`` in seconds of ``time.monotonic()``."""
    def places(self) -> list[dict[str, Any]]:
        """Every target in use: ``place upstream target state until in_flight n_workers cut``; ``until`` in seconds of
        ``time.monotonic()``.  Of the two names together 63 bytes are kept: ``cut`` is True where there may be more."""
    def drain(self, place: int, deadline: float | None = None) -> bool:
        """Let a target take no new calls but those of its sessions, ``deadline`` seconds long (None: without end).
        False where nobody uses the place."""
    def undrain(self, place: int) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

def look_in(name: str, dir: str) -> Segment:
    """The memory that workers of this user share under ``name`` in ``dir``; it holds no row and counts no call.

    Raises :class:`ConfigError` where nobody shares under that name: nothing is made.
    """

@final
class Attempts:
    """What :meth:`Upstream.attempts` returns."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def backend(self) -> Backend | None:
        """The backend that was drawn; None: it is an upstream's."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Call: ...

def combined_hash(previous: int | None, values: Iterable[_Text]) -> int:
    """Envoy's combination of a request's hashes: ``previous`` (None: none) with that of one source's ``values``."""

@final
class Backend:
    """One destination of a split: an upstream and its weight.  ``upstream=None`` is an invalid reference: its share is
    answered with :class:`NoTarget` of status 500.  ``filters`` (``lbcore.filters``): for its share, after the route's.
    """

    def __new__(cls, upstream: Upstream | None, weight: int = 1, filters: Iterable[Filter] = ()) -> Self: ...
    @property
    def upstream(self) -> Upstream | None: ...
    @property
    def weight(self) -> int: ...
    @property
    def filters(self) -> tuple[Filter, ...]: ...

@final
class Split:
    """Backends drawn by weight, exactly, before a target is picked inside the one drawn.

    ``by="key"``: the key says the backend, by weight, and keeps it while weights allow (the table of ``hash``).  A
    key is handed to the upstreams whose policy uses it; one that nobody uses is warned of.
    ``previous`` hands over what each backend is owed (matched by upstream name), as a reload does.  ``name``: where the
    upstreams share State, what the other workers know the split by: they then take its turns together.
    """

    def __new__(
        cls,
        backends: Iterable[Backend],
        by: Literal["key"] | None = None,
        *,
        previous: Split | None = None,
        name: str | None = None,
    ) -> Self: ...
    @property
    def by(self) -> str | None: ...
    @property
    def backends(self) -> tuple[Backend, ...]: ...
    def pick(self, key: _Key | None = None) -> Target: ...
    def acquire(self, key: _Key | None = None, *, session: str | None = None, trace: bool = False) -> Call:
        """Raises :class:`NoTarget` with ``status`` 500 for an invalid backend's share or no weight at all, 503 for the
        share of a backend without usable targets."""

    def attempts(
        self, key: _Key | None = None, *, n: int = 3, session: str | None = None, repeat: bool = False
    ) -> Attempts:
        """Draw a backend; up to ``n`` calls on different targets inside it, as :meth:`Upstream.attempts`.

        The first goes on with ``session``.  ``repeat``: when all had their turn, they may have another.
        """

@final
class Regex:
    """A regular expression in RE2's syntax: what runs in time linear in the text, so no look-around and no references
    back.  Needs ``pip install "lbcore[regex]"``.

    Raises :class:`ConfigError`, which says what RE2 does not know and at which character.  Equal if the text is.
    """

    def __new__(cls, pattern: str) -> Self: ...
    @property
    def pattern(self) -> str: ...
    @property
    def groups(self) -> tuple[str, ...]:
        """The names of its groups, from the left."""
    def matches(self, text: _Text, *, whole: bool = True) -> bool:
        """Whether it matches all of ``text``, or with ``whole=False`` its beginning."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

_Test = str | tuple[str, ...] | bool | Regex
_GivenTest = str | Sequence[str] | bool | Regex | Pattern[str]
_Conditions = Mapping[str, _GivenTest] | Iterable[tuple[str, _GivenTest]]

@final
class Route:
    """One entry of a routing table: conditions, and where its requests go.  No conditions of a kind: no condition.

    ``hosts``: exact or ``*.suffix``; Kong's flavours also ``prefix.*`` and ``host:port``.  ``path`` begins with ``/``
    (Kong's flavours: also "" of the type "plain", no condition) and is read by ``path_type``: "prefix" by path
    element, "exact", "plain" a beginning byte for byte, "template" with ``{name}`` for a segment and ``{name...}`` for
    the rest, "regex" RE2's syntax (text, a :class:`Regex` or what ``re.compile`` returns), for the whole path (Kong's
    flavours: from its beginning).

    ``headers`` and ``query``: pairs (or a mapping) of a name and what it is: text; a list of texts, any of them; True,
    there; False, not there; a :class:`Regex` for the whole value (Kong's flavours: anywhere in it).  All must hold; of
    several with one name the first counts.

    Of the connection: ``snis`` (exact or ``*.suffix``), ``schemes``, ``ports`` of the listener, ``sources`` and
    ``destinations`` (an address, a block such as ``10.0.0.0/8``, or a pair of one and a port, either of which may be
    None); of each list one must hold.  ``stream``: for :meth:`Router.match_stream` alone; it has no other conditions.

    ``priority``: of a regex in Kong's flavours, 0..4294967295, the greater first.  ``key``: where the key of a request
    comes from (:class:`KeySource`).  ``backends``: backends, or a :class:`Split` that several routes share.  ``data``
    is yours.  Raises :class:`ConfigError` with the field, such as ``headers[0].value``.

    ``filters``, ``timeouts`` and ``retry`` (``lbcore.filters``) say what is done with a request; routes that are one
    rule share a :class:`Programs`.  A match gives them; the adapters act by them.
    """

    def __new__(
        cls,
        name: str,
        *,
        hosts: Iterable[str] = (),
        path: str | Regex | Pattern[str] = "/",
        path_type: _PathType = "prefix",
        methods: Iterable[str] = (),
        headers: _Conditions = (),
        query: _Conditions = (),
        snis: Iterable[str] = (),
        schemes: Iterable[str] = (),
        ports: int | Iterable[int] = (),
        sources: Iterable[str | _BlockAndPort] = (),
        destinations: Iterable[str | _BlockAndPort] = (),
        priority: int = 0,
        stream: bool = False,
        backends: Iterable[Backend | Upstream] | Split = (),
        filters: Iterable[Filter] | Programs = (),
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        data: Any = None,
        key: KeySource | None = None,
    ) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def path(self) -> str: ...
    @property
    def path_type(self) -> _PathType: ...
    @property
    def methods(self) -> tuple[str, ...]: ...
    @property
    def headers(self) -> tuple[tuple[str, _Test], ...]: ...
    @property
    def query(self) -> tuple[tuple[str, _Test], ...]: ...
    @property
    def snis(self) -> tuple[str, ...]: ...
    @property
    def schemes(self) -> tuple[str, ...]: ...
    @property
    def ports(self) -> tuple[int, ...]: ...
    @property
    def sources(self) -> tuple[_BlockAndPort, ...]: ...
    @property
    def destinations(self) -> tuple[_BlockAndPort, ...]: ...
    @property
    def priority(self) -> int: ...
    @property
    def stream(self) -> bool: ...
    @property
    def backends(self) -> tuple[Backend, ...]: ...
    @property
    def split(self) -> Split: ...
    @property
    def filters(self) -> tuple[Filter, ...]:
        """The route's own; those of backends are theirs."""
    @property
    def programs(self) -> Programs | None:
        """What its filters and its backends' are compiled to; None: there are none."""
    @property
    def timeouts(self) -> Timeouts | None: ...
    @property
    def retry(self) -> Retry | None: ...
    @property
    def data(self) -> Any: ...
    @property
    def key(self) -> KeySource | None: ...

@final
class Answer:
    """A response that needs no backend: ``status`` (200..599), ``headers`` as pairs of text, ``body``.  A value."""

    def __new__(cls, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Self: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def body(self) -> bytes: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Match:
    """A request's route.  ``path`` and ``target`` are canonical: forward these, not what came in.

    A proxy asks :attr:`answer`; draws with :meth:`attempts` (or :meth:`acquire`); asks :meth:`answer_of` that backend;
    sends what :meth:`forward` says, and a copy to each of :meth:`mirrors`; and gives :meth:`response` for every answer
    that it gets or makes.  Without filters these cost nothing and change nothing.

    ``Match(route)`` is a match of ``route`` without a request, as a TCP or UDP listener needs it; ``source``: the
    client's address.
    """

    def __new__(cls, route: Route, source: str | None = None) -> Self: ...
    @property
    def route(self) -> Route: ...
    @property
    def path(self) -> str: ...
    @property
    def target(self) -> str:
        """``path`` with the request's query, as it goes on the request line."""
    @property
    def params(self) -> dict[str, str]:
        """What the names of a template, or of a regex's groups, stand for in ``path``: as it stands there, with its
        percent-encoding.  Made when it is asked for; {} for other paths."""
    @property
    def key(self) -> _Key | None:
        """What the route's ``key=`` gives, computed when it is asked for; None where it has none."""
    @property
    def query(self) -> str | None:
        """The request's query as it came, without the "?"; None where there was none."""
    @property
    def source(self) -> str | None:
        """The client's address, as ``source=`` of the match said."""
    @property
    def context(self) -> Any:
        """What ``context=`` of the match was: yours."""
    @property
    def authority(self) -> str | None:
        """The Host that the client asked for, with its port; None: none was sent."""
    def header_values(self, name: str) -> list[str]:
        """The values of a header in the order sent; only for routes with a ``key`` or filters."""
    @property
    def backends(self) -> tuple[Backend, ...]: ...
    @property
    def upstream(self) -> Upstream | None:
        """The upstream where there is exactly one backend, else None."""
    @property
    def filters(self) -> tuple[Filter, ...]:
        """The route's; :attr:`Call.filters` are those of the backend that was drawn."""
    @property
    def timeouts(self) -> Timeouts | None: ...
    @property
    def retry(self) -> Retry | None: ...
    @property
    def answer(self) -> Answer | None:
        """The response to give where no backend is to be asked: a redirect, a preflight's answer, 500 for a route
        without backends."""
    def answer_of(self, backend: Backend | None) -> Answer | None:
        """The same of the filters of the backend that was drawn."""
    def acquire(self, key: _Key | None = None, *, session: str | None = None, trace: bool = False) -> Call:
        """Draw a backend by weight, pick a target inside it, count one in flight.

        An explicit ``key`` wins over the route's own.  Raises :class:`NoTarget`, :class:`NoKey`; where the request has
        none of the sources of the route's key, a NoKey that is a :class:`BadRequest` too (answer 400).
        """
    def attempts(
        self,
        key: _Key | None = None,
        *,
        n: int | None = None,
        session: str | None = None,
        repeat: bool = False,
    ) -> Attempts:
        """As :meth:`Split.attempts`; ``n`` None: 1 and the retries that ``retry`` allows, 3 where there is none."""

    def forward(
        self, headers: _Headers, backend: Backend | None = None, *, binary: bool | None = None
    ) -> tuple[str, str | None, str, list[tuple[_Text, _Text]]]:
        """(method, host, target, headers) to send to the backend, by the route's filters and those of ``backend``.

        Without a rewrite the Host is the client's; None is the target's own, see ``lbcore.filters.own_host``.
        ``headers``: without those of one connection; pairs of text or of bytes; where there are none, ``binary`` says.
        """

    def response(
        self, headers: _Headers, backend: Backend | None = None, *, binary: bool | None = None
    ) -> Sequence[tuple[_Text, _Text]]:
        """The headers of an answer to the client, whoever made it (answers of filters are ready)."""

    def mirrors(self, backend: Backend | None = None) -> tuple[Any, ...]:
        """What gets a copy of the request, as the mirrors' ``backend`` says; each call counts one request."""

class Stopped(Exception):
    """Raised in the work whose :class:`Yielder` was stopped."""

@final
class Yielder:
    """Gives the interpreter away in a long piece of work, so that nobody waits for it longer than half a millisecond.

    With no other thread there is nobody to give way to, and no pause.  One thread uses it; ``stop`` is for the others.
    """

    def __new__(cls) -> Self: ...
    @property
    def longest(self) -> float:
        """The longest stretch between two pauses so far: seconds of the thread's CPU time (Windows: by the clock)."""

    def tick(self) -> None:
        """After each item of a few microseconds at most: every 8 items it looks whether 0.3 ms have gone, and then
        sleeps 50 microseconds.  Raises :class:`Stopped` after ``stop``, and what signal handlers raise."""

    def pause(self) -> None:
        """As :meth:`tick`, but now."""

    def stop(self) -> None:
        """End the work: its next pause raises :class:`Stopped`."""

def settle(item: _Item, kinds: frozenset[type]) -> _Item:
    """``item``, out of the cyclic collector's sight, with all of ``kinds`` that it is made of.

    For data that no cycle can run through, such as frozen records of text and numbers: the interpreter does the same
    with tuples of these, and a full collection then has less to walk.  What would make a cycle through it later leaks.
    """

def untrack(container: _Item) -> _Item:
    """As :func:`settle`, for a list or tuple whose items are settled one by one."""

def held_elsewhere(parts: list[Any]) -> bool:
    """True if somebody else has the last of ``parts``."""

def dismantle(parts: list[Any], yielder: Yielder) -> list[Router]:
    """Free ``parts`` and what they are made of, the last first, with pauses; the list is empty afterwards.

    Tuples and lists that nobody else holds are freed item by item, so are the routes of routers, and the ``parts()`` of
    what has them.  Returns the routers that somebody else holds.  Raises as :meth:`Yielder.tick`; the rest then goes at
    once.
    """

@final
class Entries:
    """Routes of a :class:`Router` that are made when they are first met.

    Route ``i`` has the ``path``, ``path_type`` (a regex as text), ``methods``, ``headers`` and ``query`` of
    ``conditions[i]`` (exactly as a :class:`Route` would hold them) and the ``hosts[i]``; ``make(i)`` makes it.
    """

    def __new__(
        cls, conditions: list[Any], hosts: list[tuple[str, ...]], make: Callable[[int], Route]
    ) -> Self: ...

@final
class Router:
    """An immutable routing table.

    ``flavor`` says who wins.  "gateway_api": hostname, path, method, headers, query, then the order given.
    "ingress": exact host, longest path.  "kong_traditional" and "kong_compatible": Kong's two routers; ties go by the
    order given.  Raises :class:`ConfigError`.  Cost of a match follows the request's length, not the number of routes.
    """

    def __new__(
        cls,
        routes: Iterable[Route] | Entries,
        flavor: _Flavor = "gateway_api",
        *,
        seed: int | None = None,
        yielder: Yielder | None = None,
    ) -> Self:
        """``yielder``: of the work that this is a part of."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """All of them in their order; those that nobody has met are made now."""

    @property
    def flavor(self) -> str: ...
    def __len__(self) -> int: ...
    def match(
        self,
        method: _Text,
        host: _Text | None,
        target: _Text,
        headers: _Headers = (),
        *,
        port: int | None = None,
        scheme: _Text | None = None,
        sni: _Text | None = None,
        source: _Peer | None = None,
        destination: _Peer | None = None,
        context: Any = None,
    ) -> Match | None:
        """The route of a request, None if there is none.  ``target`` is raw, with ``?query``.

        Of the connection: the listener's ``port``, ``scheme``, ``sni``, ``source`` and ``destination`` (an address, or
        address and port as sockets have it).  What is not given is not known, and no condition on it holds; a redirect
        keeps scheme (None: "http") and port (None: Host's).
        ``context``: yours, on the match.  Raises :class:`BadRequest` for a request that has no one safe reading,
        ``ValueError`` for what is no port.
        """

    def match_or_raise(
        self,
        method: _Text,
        host: _Text | None,
        target: _Text,
        headers: _Headers = (),
        *,
        port: int | None = None,
        scheme: _Text | None = None,
        sni: _Text | None = None,
        source: _Peer | None = None,
        destination: _Peer | None = None,
        context: Any = None,
    ) -> Match:
        """As :meth:`match`; raises :class:`NoRoute` where that gives None."""

    def match_scope(
        self,
        scope: Mapping[str, Any],
        *,
        allow_decoded_path: bool = False,
        sni: _Text | None = None,
        context: Any = None,
    ) -> Match | None:
        """The route of an ASGI http or websocket scope, by its ``raw_path``, ``query_string``, ``headers``, ``scheme``
        (of a WebSocket that of its handshake), ``client`` and ``server``.

        Raises :class:`BadRequest` also for a scope without ``raw_path``: what was ``%2F`` in it is ``/`` in the
        decoded ``path``.  ``allow_decoded_path`` takes that one, encoded again: for where nothing rests on the
        difference.
        """

    def match_stream(
        self,
        protocol: _Text,
        port: int | None,
        *,
        sni: _Text | None = None,
        source: _Peer | None = None,
        destination: _Peer | None = None,
        context: Any = None,
    ) -> Match | None:
        """The route of a connection, of those with ``stream``.  ``protocol`` is what their ``schemes`` speak of."""

    def explain(
        self,
        method: _Text,
        host: _Text | None,
        target: _Text,
        headers: _Headers = (),
        *,
        port: int | None = None,
        scheme: _Text | None = None,
        sni: _Text | None = None,
        source: _Peer | None = None,
        destination: _Peer | None = None,
    ) -> Explanation:
        """What was considered for a request, in the order in which routes win, and the first condition each failed.

        Slow, made for people: every route is asked.  Raises :class:`BadRequest`; :class:`LbcoreError` for a table of
        kong_traditional, which has no one order.
        """

    def conflicts(self) -> list[Conflict]:
        """Routes that can never win, duplicates, and overlaps that only the order of the routes decides.  Slow."""

    def changed(
        self,
        *,
        removed: Iterable[Route | int] = (),
        added: Iterable[tuple[Route, Route | int | None]] = (),
        yielder: Yielder | None = None,
    ) -> Router:
        """This table with some routes less and others more; it stays as it is.

        A route is named by itself (the first, where it is in the table twice) or by its index in ``routes``.  Each of
        ``added`` goes before the one it comes with (which may be removed by the same call), several in the order given;
        None: last.  Costs little for few changes: what did not change is shared.  Raises :class:`ConfigError`.
        """

    def changed_to(
        self,
        entries: Entries,
        removed: Iterable[int],
        added: Iterable[int],
        *,
        yielder: Yielder | None = None,
    ) -> Router:
        """The table of ``entries``, as :meth:`changed`: without what stands in the places ``removed`` of this table and
        with what stands in the places ``added`` of ``entries``; all others are the same, in the same order."""

# ---- for lbcore.aio -----------------------------------------------------------------------------------------------

def wanted(
    source: Upstream | Split | Match, key: _Key | None, within: Subset | None, session: str | None
) -> tuple[Upstream, _Key | None, Backend | None]:
    """What a call of ``source`` waits for: upstream, key and backend; a split draws once, here."""

def begun_or_none(
    up: Upstream,
    key: _Key | None,
    within: Subset | None,
    exclude: _Exclude | None,
    session: str | None,
    backend: Backend | None,
) -> Call | None:
    """As :meth:`Upstream.acquire`, at the exact time; None if nobody can be had."""

def due_in(up: Upstream) -> float | None:
    """Seconds until something of the upstream changes by itself; None: nothing will."""

def nobody_of(up: Upstream) -> NoTarget:
    """The :class:`NoTarget` of this moment."""

def line_of(up: Upstream, make: Callable[[Upstream], Any]) -> Any:
    """The upstream's line of those who wait; made by ``make(up)`` when it is first asked for."""

def is_leaving(t: Target) -> bool:
    """True if it is draining, disabled or removed, whatever its health."""

def look_around(up: Upstream) -> None:
    """Look at the other workers' calls now."""

def is_shared(up: Upstream) -> bool:
    """True if other workers' calls and changes count, too."""

"""What lbcore raises and warns.

::

    LbcoreError
      ConfigError   (ValueError)    a setting is wrong; ``problems`` has all of them
      BadRequest    (ValueError)    a request that has no one safe reading: answer 400
      NoKey         (ValueError)    the policy needs a key, and the caller gave none
        MissingKey                  the request has none of what its route's key is made of: a BadRequest too
      NoTarget      (LookupError)   nobody can serve: answer ``status``
      NoRoute       (LookupError)   no route matches: answer 404
"""

from __future__ import annotations


class LbcoreError(Exception):
    """The root of lbcore's exceptions."""


class Problem:
    """One thing that is wrong, and where.

    ``field`` is a path such as ``spec.rules[0].backendRefs[1].weight``; ``line`` and ``column`` count from 1 and are 0
    where the source has no places (a dict).  ``object`` names the manifest, such as ``HTTPRoute default/canary``.
    """

    __slots__ = ("column", "field", "file", "line", "object", "reason")

    def __init__(
        self, field: str, reason: str, *, object: str = "", file: str = "", line: int = 0, column: int = 0
    ) -> None:
        self.field = field
        self.reason = reason
        self.object = object
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        )
        what = " ".join(part for part in (self.object, self.field) if part)
        return f"{place}{what}: {self.reason}" if what else f"{place}{self.reason}"

    def __repr__(self) -> str:
        return f"<Problem {self}>"

    def as_dict(self) -> dict[str, str | int]:
        """The problem as plain data, for ``--json``."""
        return {name: getattr(self, name) for name in self.__slots__}


class ConfigError(LbcoreError, ValueError):
    """A setting is wrong; nothing was changed.  ``problems`` holds every one that was found."""

    def __init__(self, field: str, reason: str = "", *, problems: list[Problem] | None = None) -> None:
        self.problems = problems if problems is not None else [Problem(field, reason)]
        super().__init__(field, reason)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    @classmethod
    def of(cls, problems: list[Problem]) -> ConfigError:
        """One error for all ``problems`` (at least one)."""
        return cls(problems[0].field, problems[0].reason, problems=problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (ConfigError.of, (self.problems,))


class BadRequest(LbcoreError, ValueError):
    """The request has no one safe reading; ``reason`` says which rule it breaks."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NoTarget(LbcoreError, LookupError):
    """Nobody can serve.

    ``status`` is the answer for an HTTP client (500: the backend reference is invalid, 503: nobody is usable);
    ``retry_after`` seconds until somebody may be usable again, None if unknown; ``reasons`` maps a target's id to its
    state.
    """

    def __init__(
        self,
        upstream: str,
        *,
        status: int = 503,
        retry_after: float | None = None,
        reasons: dict[str, str] | None = None,
    ) -> None:
        self.upstream = upstream
        self.status = status
        self.retry_after = retry_after
        self.reasons = reasons or {}
        super().__init__(upstream)

    def __str__(self) -> str:
        if self.status == 500:
            return f"{self.upstream}: the backend is invalid"
        states = ", ".join(f"{target} {state}" for target, state in list(self.reasons.items())[:5])
        more = f" and {len(self.reasons) - 5} more" if len(self.reasons) > 5 else ""
        return f"{self.upstream}: no usable target ({states or 'it has none'}{more})"


class NoKey(LbcoreError, ValueError):
    """The policy needs a key, and none was given."""

    def __init__(self, upstream: str, policy: str) -> None:
        self.upstream = upstream
        self.policy = policy
        super().__init__(upstream, policy)

    def __str__(self) -> str:
        return f"{self.upstream}: {self.policy} needs a key"


class MissingKey(NoKey, BadRequest):
    """The policy needs a key, and the request has none of the ``sources`` of its route's: answer 400.

    A route that is to serve such requests, too, has ``random`` as its last source.
    """

    def __init__(self, upstream: str, policy: str, sources: tuple[str, ...]) -> None:
        self.upstream = upstream
        self.policy = policy
        self.sources = sources
        self.reason = f"the request has no key: {' or '.join(sources)}"
        LbcoreError.__init__(self, upstream, policy, sources)

    def __str__(self) -> str:
        return f"{self.upstream}: {self.policy} needs a key, and {self.reason}"


class NoRoute(LbcoreError, LookupError):
    """No route matches the request."""


class ConfigWarning(UserWarning):
    """A setting that is accepted but looks like a mistake."""

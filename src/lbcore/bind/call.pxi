# Call: one request in flight.  Plain C data plus the objects it needs; no cycle can run through it.

cdef lb_report WENT_WELL
WENT_WELL.outcome.verdict = LB_SUCCESS
WENT_WELL.latency_ns = LB_NEVER


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Call:
    """One request in flight on one target.  See ``_core.pyi``."""

    cdef lb_call c
    cdef readonly Target target
    cdef readonly Upstream upstream
    cdef readonly object backend
    cdef tuple extra                        # (session, receipt); None for most calls
    cdef bint open, judged, handed_over

    def __init__(self):
        raise TypeError("calls come from acquire()")

    @property
    def filters(self):
        return () if self.backend is None else self.backend.filters

    @property
    def session(self):
        return None if self.extra is None else self.extra[0]

    @property
    def why(self):
        return None if self.extra is None else self.extra[1]

    def report(self, status=None, error=None, latency=None, retry_after=None):
        """Give the verdict; releases nothing."""
        self.judge(None, status, error, latency, retry_after)

    def done(self, ok=None, status=None, error=None, latency=None, retry_after=None):
        """Give the verdict if none was given, then release; idempotent."""
        if self.open:
            self.open = False
            try:
                if not self.judged:
                    self.judge(ok, status, error, latency, retry_after)
            finally:                            # after the verdict, which may hold the call; and whatever that met
                lb_upstream_release(self.upstream.ptr, &self.c)
                if self.upstream.watchers is not None:
                    self.upstream.wake()

    def stream(self, body):
        """``body`` (an iterable or async iterable) as one that ends the call with its own end.

        Leaving the ``with`` block then releases nothing: the last item, an error or closing the iterator does.
        """
        if not self.open or self.handed_over:
            raise LbcoreError("stream: the call is done, or was handed over before")
        made = async_stream(self, body) if hasattr(body, "__aiter__") else stream(self, body)
        self.handed_over = True
        return made

    cdef inline int succeed(self) except -1:
        """What done() without arguments comes to, if no verdict was given."""
        if self.open:                           # a clock that fails leaves it open
            self.succeed_at(self.upstream.now() if self.upstream.learns else 0)
        return 0

    cdef inline int succeed_at(self, uint64_t now) except -1:
        """The same at ``now``; 0 will do where nobody asks how long calls take, or when."""
        if self.open:
            self.open = False
            self.judged = True
            lb_upstream_report(self.upstream.ptr, &self.c, &WENT_WELL, now)
            lb_upstream_release(self.upstream.ptr, &self.c)
            if self.upstream.watchers is not None:
                self.upstream.wake()
        return 0

    cdef int judge(self, ok, status, error, latency, retry_after) except -1:
        cdef lb_report report
        outcome_of(ok, status, error, self.upstream.failures, &report.outcome)
        report.latency_ns = LB_NEVER if latency is None else latency_ns(latency)
        report.pause_ns = 0
        if retry_after is not None and (status is None or status == 429 or status == 503):
            report.pause_ns = pause_of(retry_after)
        self.judged = True
        lb_upstream_report(self.upstream.ptr, &self.c, &report, self.upstream.now())
        return 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.handed_over:
            return
        if error is None and not self.judged:
            self.succeed()
        else:
            self.done(error=error)

    def __dealloc__(self):
        # The attributes still stand: the class takes no part in garbage collection.
        if self.open:
            self.open = False
            lb_upstream_release(self.upstream.ptr, &self.c)
            if ENDED:
                return
            self.upstream.wake()
            warnings.warn(f"a call to {self.target.address} was dropped without done()", ResourceWarning)

    def __repr__(self):
        return f"<Call to {self.target.address}, {'in flight' if self.open else 'done'}>"


@cython.final
cdef class Stream:
    """The body of a response, whose end is the call's end."""

    cdef Call call
    cdef object items

    def __init__(self):
        raise TypeError("streams come from Call.stream()")

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.items)
        except StopIteration:
            self.call.done()
            raise
        except BaseException as error:
            self.call.done(error=error)
            raise

    def close(self):
        """The reader has gone: release; speaks neither for nor against the target."""
        self.call.done(error=GeneratorExit())
        if hasattr(self.items, "close"):
            self.items.close()

    def __del__(self):
        if self.call is not None:
            self.call.done(error=GeneratorExit())


cdef Stream stream(Call call, body):
    cdef Stream self = Stream.__new__(Stream)
    self.items = iter(body)
    self.call = call
    return self


@cython.final
cdef class AsyncStream:
    """The body of a response, whose end is the call's end; for asynchronous readers."""

    cdef Call call
    cdef object items

    def __init__(self):
        raise TypeError("streams come from Call.stream()")

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.items.__anext__()
        except StopAsyncIteration:
            self.call.done()
            raise
        except BaseException as error:
            self.call.done(error=error)
            raise

    async def aclose(self):
        """The reader has gone: release; speaks neither for nor against the target."""
        self.call.done(error=GeneratorExit())
        if hasattr(self.items, "aclose"):
            await self.items.aclose()

    def __del__(self):
        if self.call is not None:
            self.call.done(error=GeneratorExit())


cdef AsyncStream async_stream(Call call, body):
    cdef AsyncStream self = AsyncStream.__new__(AsyncStream)
    self.items = body.__aiter__()
    self.call = call
    return self

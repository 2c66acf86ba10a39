# Watching an upstream: what happened to its targets, and figures of a moment.

cdef list events_of(Upstream up):
    """Take the events since the last call, oldest first."""
    cdef lb_event e
    cdef uint64_t dropped = 0
    cdef Event made
    cdef Target t
    found = []
    by_slot = None
    while lb_upstream_next_event(up.ptr, &e, &dropped):
        up.events_dropped += dropped
        if by_slot is None:
            by_slot = {(t.slot, t.generation): t for t in up.targets}
        made = Event.__new__(Event)
        made.kind = EVENT_KINDS[<int>e.kind]
        made.upstream = up.name
        made.target = by_slot.get((e.slot, e.generation))
        made.at = seconds(e.at_ns)
        made.until = seconds(e.until_ns) if e.until_ns else None
        made.failures = e.failures
        made.cause = CAUSES[<int>e.cause]
        made.status = e.status or None
        found.append(made)
    up.events_dropped += dropped
    return found


cdef dict stats_of(Upstream up):
    """Figures of this moment as plain data."""
    cdef const lb_view *view = up.settled()
    cdef Target t
    targets = [
        {"id": t.id, "address": t.address, "weight": t.weight, "state": t.state, "in_flight": t.in_flight,
         "own_in_flight": own_calls(t)}
        for t in up.targets
    ]
    return {
        "name": up.name,
        "policy": up.policy.name,
        "n_targets": view.n_members,
        "n_usable": view.n_usable,
        "in_flight": sum(t["in_flight"] for t in targets),
        "own_in_flight": sum(t["own_in_flight"] for t in targets),
        "workers": [] if up.segment is None else up.segment.workers(),
        "ejected": sum(t["state"] == "ejected" for t in targets),
        "levels": shares(up),
        "events_dropped": up.events_dropped,
        "targets": targets,
    }


cdef uint32_t own_calls(Target t) except? 0:
    """Those of this process."""
    return t.in_flight - lb_counter_read(&lb_seat_of(lb_upstream_state(t.up.ptr), t.slot).others)


cdef dict shares(Upstream up):
    """What each priority takes of the load, in percent."""
    cdef uint32_t priority[128]
    cdef uint32_t percent[128]
    cdef uint32_t i, n = lb_upstream_levels(up.ptr, priority, percent, 128)
    return {priority[i]: percent[i] for i in range(n)}

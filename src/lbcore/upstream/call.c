/* call: the life of one call: pick or acquire, report, release.
 *
 * Cost    the policy's pick, and O(1); report O(1) unless it ejects (then a new picture).
 * Keeps   a slot's in-flight counter is the number of open calls of its present generation.
 */
#include "hash/xxh64.h"
#include "upstream/internal.h"

/* What is due comes first.  Without memory for it the present picture serves on: a pick must not fail for that. */
static void fire(lb_upstream *up, uint64_t now_ns) {
    if (lb_upstream_is_due(up, now_ns)) (void)lb_upstream_publish(up, now_ns, NULL);
}

/* Where a walk has nobody left: the usable members in turn, from one that the key says. */
static uint32_t by_key(const lb_view *view, const lb_key *key) {
    if (view->n_usable == 0) return LB_NONE;
    uint64_t hash = key->hashed ? key->hash : lb_xxh64(key->text.data, key->text.len, 0);
    return view->usable[hash % view->n_usable];
}

static uint32_t walk(lb_upstream *up, const lb_key *key) {
    if (!key) return LB_NONE;
    lb_walk walk = {.key = *key, .rng = &up->rng};
    uint32_t member = up->spec.policy->walk(up->policy_state, up->hot.view, &walk);
    return member != LB_NONE ? member : by_key(up->hot.view, key);
}

uint32_t lb_upstream_choose(lb_upstream *up, const lb_want *want, uint64_t now_ns) {
    fire(up, now_ns);
    if (up->spec.policy->walk) return walk(up, want->key);
    lb_ask ask = {.rng = &up->rng};
    return up->spec.policy->pick(up->policy_state, up->hot.view, &ask);
}

uint32_t lb_upstream_pick(lb_upstream *up, uint64_t now_ns) {
    lb_want anybody = {0};
    return lb_upstream_choose(up, &anybody, now_ns);
}

bool lb_upstream_acquire(lb_upstream *up, uint64_t now_ns, lb_call *call) {
    lb_want anybody = {0};
    return lb_upstream_begin(up, &anybody, now_ns, call);
}

bool lb_upstream_begin(lb_upstream *up, const lb_want *want, uint64_t now_ns, lb_call *call) {
    uint32_t member = lb_upstream_choose(up, want, now_ns);
    if (member == LB_NONE) return false;
    uint32_t slot = up->hot.view->slot[member];
    lb_counter_add(lb_in_flight(up->state, slot), 1);
    *call = (lb_call){
        .member = member, .slot = slot, .generation = lb_record_of(up->state, slot)->generation, .started_ns = now_ns,
    };
    return true;
}

/* The record says so at once; if there is no memory for the picture, it is overdue from now on. */
static void eject(lb_upstream *up, uint32_t slot, uint64_t now_ns) {
    lb_passive_eject(&up->spec.passive, lb_record_of(up->state, slot), now_ns);
    up->n_ejected++;
    lb_upstream_tell(up, LB_EVENT_EJECTED, slot, now_ns);
    if (lb_upstream_publish(up, now_ns, NULL)) up->hot.due_ns = 1;      /* not 0: who tells no time fires nothing */
}

void lb_upstream_report(lb_upstream *up, const lb_call *call, lb_verdict verdict, uint64_t latency_ns,
                        uint64_t now_ns) {
    lb_record *record = lb_record_of(up->state, call->slot);
    if (record->generation != call->generation || record->leaving) return;
    fire(up, now_ns);
    if (up->spec.policy->observe && verdict != LB_NEITHER) {
        if (latency_ns == LB_NEVER) latency_ns = now_ns > call->started_ns ? now_ns - call->started_ns : 0;
        lb_seen seen = {.now_ns = now_ns, .latency_ns = latency_ns, .failed = verdict == LB_FAILURE};
        up->spec.policy->observe(up->policy_state, up->state, call->slot, &seen);
    }
    if (!lb_passive_count(&up->spec.passive, record, verdict)) return;
    if (lb_passive_may(&up->spec.passive, up->n_ejected, up->hot.view->n_members)) eject(up, call->slot, now_ns);
}

void lb_upstream_release(lb_upstream *up, const lb_call *call) {
    lb_state_finish(up->state, call->slot, call->generation);
}

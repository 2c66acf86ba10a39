# lbcore.h for Cython: what the binding uses of the C API, under its own names.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "clock.h" nogil:
    uint64_t lb_clock_ns()
    uint64_t lb_clock_coarse_ns()
    uint64_t lb_clock_thread_ns()

cdef extern from "segment.h" nogil:
    ctypedef struct lb_segment_fault:
        int error
        char reason[400]

    ctypedef struct lb_segment_shape:
        size_t whole
        size_t head
        size_t row

    ctypedef struct lb_segment:
        int fd
        void *memory
        lb_segment_shape shape
        char path[400]

    int lb_segment_open(lb_segment *out, const char *dir, const char *name, lb_segment_shape shape, uint32_t wait_ms,
                        lb_segment_fault *fault)
    int lb_segment_lock(lb_segment *segment, uint32_t wait_ms, lb_segment_fault *fault)
    int lb_segment_find(lb_segment *out, const char *dir, const char *name, void *head, size_t bytes, uint32_t wait_ms,
                        lb_segment_fault *fault)
    int lb_segment_map(lb_segment *segment, lb_segment_fault *fault)
    int lb_segment_busy(const lb_segment *segment, lb_segment_fault *fault)
    bint lb_segment_was_removed(int error)
    void lb_segment_unlock(lb_segment *segment)
    bint lb_segment_take_row(void *segment, uint32_t row)
    void lb_segment_give_row(void *segment, uint32_t row)
    bint lb_segment_take_job(lb_segment *segment, uint32_t job)
    void lb_segment_give_job(lb_segment *segment, uint32_t job)
    void lb_segment_remove(lb_segment *segment)
    void lb_segment_close(lb_segment *segment)

cdef extern from "lbcore.h" nogil:
    const char *LBCORE_VERSION
    const uint32_t LB_NONE
    const uint64_t LB_NEVER
    const uint32_t LB_MAX_WEIGHT

    # base
    ctypedef enum lb_status:
        LB_OK
        LB_ERR_NOMEM
        LB_ERR_CONFIG

    ctypedef struct lb_error:
        char field[160]
        char reason[320]

    ctypedef struct lb_str:
        const char *data
        size_t len

    void *lb_alloc_array(size_t n, size_t size)
    void *lb_alloc(size_t size)
    void lb_free(void *memory)

    # hash
    ctypedef struct lb_hash:
        const char *name
        const char *summary
        int bits
        uint64_t (*of)(lb_str text, uint64_t seed)
        int seed_bits
        size_t takes

    const lb_hash *lb_hashes[]
    const uint32_t lb_n_hashes
    const lb_hash *lb_hash_find(lb_str name)
    uint64_t lb_xxh64(const char *p, size_t n, uint64_t seed)
    uint64_t lb_rotl64(uint64_t x, int k)

    # target
    const uint32_t LB_OFF_UNHEALTHY
    const uint32_t LB_OFF_EJECTED
    const uint32_t LB_OFF_HELD
    const uint32_t LB_OFF_DRAINING
    const uint32_t LB_OFF_DISABLED

    ctypedef struct lb_word:
        pass

    uint64_t lb_word_read(const lb_word *w)

    ctypedef struct lb_record:
        lb_word ejected_until_ns
        lb_word held_until_ns
        lb_word drain_until_ns

    ctypedef struct lb_counter:
        pass

    ctypedef struct lb_state:
        lb_counter *row

    ctypedef struct lb_seat:
        uint32_t n_held
        lb_counter others

    ctypedef struct lb_backing:
        void *context
        lb_counter *(*row)(void *context)
        bint (*sweep)(void *context)
        uint64_t seed

    ctypedef struct lb_mark:
        uint64_t high
        uint64_t low

    ctypedef struct lb_common:
        lb_word epoch

    uint64_t lb_word_add(lb_word *w, uint64_t n)
    void lb_word_write(lb_word *w, uint64_t value)

    # share
    ctypedef struct lb_share_size:
        uint32_t max_targets
        uint32_t max_workers

    const lb_share_size lb_share_default
    const uint32_t LB_SHARE_NAME

    ctypedef struct lb_share_extent:
        size_t whole
        size_t head
        size_t row

    ctypedef bint (*lb_take_row)(void *context, uint32_t row)
    ctypedef void (*lb_give_row)(void *context, uint32_t row)

    ctypedef struct lb_share_locks:
        void *context
        bint (*take)(void *context, uint32_t row)
        void (*give)(void *context, uint32_t row)

    ctypedef struct lb_share:
        pass

    ctypedef struct lb_share_worker:
        int64_t pid
        uint64_t since_ns
        uint64_t in_flight
        uint32_t n_places

    ctypedef struct lb_share_place:
        const char name[64]
        lb_record *record
        lb_common *common
        uint64_t in_flight
        uint32_t n_workers

    lb_status lb_share_measure(const lb_share_size *size, lb_share_extent *extent, lb_error *err)
    lb_status lb_share_open(lb_share **out, void *memory, const lb_share_size *size, uint64_t seed,
                            const lb_share_locks *locks, lb_error *err)
    lb_status lb_share_size_of(const void *head, lb_share_size *out, lb_error *err)
    bint lb_share_retire(lb_share *share)
    bint lb_share_close(lb_share *share)
    bint lb_share_alone(lb_share *share)
    const lb_backing *lb_share_backing(lb_share *share)
    void lb_share_forked(lb_share *share)
    void lb_share_tell(lb_share *share, int64_t pid, uint64_t now_ns)
    uint32_t lb_share_workers(lb_share *share, lb_share_worker *out, uint32_t n)
    bint lb_share_look(lb_share *share, uint32_t place, lb_share_place *out)
    uint32_t lb_share_places(const lb_share *share)

    uint32_t lb_counter_read(const lb_counter *c)
    lb_counter *lb_in_flight(const lb_state *state, uint32_t slot)
    lb_record *lb_record_of(const lb_state *state, uint32_t slot)
    lb_seat *lb_seat_of(const lb_state *state, uint32_t slot)
    uint32_t lb_generation_of(const lb_state *state, uint32_t slot)
    uint32_t lb_record_off(const lb_record *record)

    ctypedef struct lb_view:
        uint32_t n_members
        uint32_t n_usable
        uint64_t total_weight
        uint32_t *usable
        uint32_t *weight
        uint32_t *slot
        void **user

    # policy
    ctypedef struct lb_param:
        const char *name
        double initial
        double min
        double max
        const char *doc
        bint whole
        const char *const *words

    const char *const lb_no_yes[]

    ctypedef struct lb_key:
        lb_str text
        uint64_t hash
        bint hashed

    ctypedef struct lb_policy:
        const char *name
        const char *summary
        const lb_param *params
        lb_status (*check)(const double *param, lb_error *err)
        void *walk
        void *observe

    const lb_policy *lb_policies[]
    const uint32_t lb_n_policies
    const lb_policy *lb_policy_find(lb_str name)
    lb_status lb_param_check(const lb_param *param, double value, lb_error *err)
    uint32_t lb_policy_defaults(const lb_policy *policy, double *param)

    # health
    ctypedef enum lb_verdict:
        LB_NEITHER
        LB_SUCCESS
        LB_FAILURE

    ctypedef enum lb_fault:
        LB_FAULT_NONE
        LB_FAULT_CONNECT
        LB_FAULT_TIMEOUT
        LB_FAULT_GARBLED

    ctypedef struct lb_outcome:
        lb_verdict verdict
        lb_fault fault
        uint16_t status

    ctypedef enum lb_cause:
        LB_CAUSE_NONE
        LB_CAUSE_5XX
        LB_CAUSE_GATEWAY
        LB_CAUSE_LOCAL
        LB_CAUSE_SUCCESS_RATE
        LB_CAUSE_FAILURE_PERCENTAGE
        LB_CAUSE_TRIAL

    ctypedef struct lb_outlier:
        uint32_t consecutive_5xx
        uint32_t consecutive_gateway
        uint32_t consecutive_local
        bint split
        uint32_t enforce[7]
        uint64_t interval_ns
        uint64_t base_ns
        uint64_t max_ns
        uint64_t jitter_ns
        uint32_t max_percent
        bint always_one
        uint32_t rate_hosts
        uint32_t rate_volume
        uint32_t rate_factor_permille
        uint32_t failure_percent
        uint32_t failure_hosts
        uint32_t failure_volume
        uint32_t half_open
        uint32_t half_open_successes

    const lb_outlier lb_outlier_default
    const lb_outlier lb_outlier_off
    bint lb_outlier_judges(const lb_outlier *rule)

    ctypedef struct lb_status_set:
        pass

    void lb_status_add(lb_status_set *set, uint32_t status)

    ctypedef struct lb_check_limits:
        uint8_t successes
        uint8_t http_failures
        uint8_t tcp_failures
        uint8_t timeouts
        lb_status_set healthy
        lb_status_set unhealthy

    ctypedef enum lb_check_state:
        LB_CHECK_HEALTHY
        LB_CHECK_MOSTLY_HEALTHY
        LB_CHECK_MOSTLY_UNHEALTHY
        LB_CHECK_UNHEALTHY

    lb_check_state lb_checks_state(const lb_record *record)

    # upstream
    ctypedef struct lb_target_spec:
        lb_str id
        lb_str address
        lb_str hash_key
        uint32_t weight
        uint32_t priority
        uint32_t locality
        uint32_t locality_weight
        const uint32_t *labels
        uint32_t n_labels
        void *user

    ctypedef struct lb_levels:
        uint32_t overprovisioning
        uint32_t panic

    const uint32_t LB_SLOW_STEPS
    const uint32_t LB_MAX_PRIORITIES
    const uint32_t LB_MAX_LOCALITIES

    ctypedef struct lb_slow_start:
        uint64_t window_ns
        uint32_t step[16]

    ctypedef struct lb_limits:
        uint32_t in_flight
        uint32_t bound_permille
        uint32_t margin
        uint64_t hold_ns
        uint32_t retry_percent
        uint32_t retry_per_second

    ctypedef struct lb_health:
        lb_outlier outlier
        lb_check_limits passive
        lb_check_limits active
        double threshold
        uint64_t max_hold_ns

    ctypedef enum lb_when_empty:
        LB_EMPTY_FAIL
        LB_EMPTY_PANIC
        LB_EMPTY_LEAST_BAD

    ctypedef struct lb_upstream_spec:
        const lb_policy *policy
        double param[8]
        uint64_t seed
        lb_health health
        lb_when_empty when_empty
        const lb_backing *backing
        lb_str name
        lb_levels levels
        lb_slow_start slow_start
        lb_limits limits

    ctypedef enum lb_event_kind:
        LB_EVENT_EJECTED

    ctypedef struct lb_event:
        lb_event_kind kind
        uint32_t slot
        uint32_t generation
        uint64_t at_ns
        uint64_t until_ns
        uint32_t failures
        lb_cause cause
        uint16_t status

    ctypedef struct lb_upstream:
        pass

    ctypedef struct lb_subset:
        pass

    ctypedef struct lb_call:
        uint32_t member
        uint32_t slot
        uint32_t generation
        uint64_t started_ns

    void lb_upstream_defaults(lb_upstream_spec *spec)
    lb_status lb_upstream_new(lb_upstream **out, const lb_upstream_spec *spec, const lb_target_spec *targets,
                              uint32_t n, uint64_t now_ns, lb_error *err)
    void lb_upstream_free(lb_upstream *up)
    lb_status lb_upstream_update(lb_upstream *up, const lb_target_spec *targets, uint32_t n, uint64_t now_ns,
                                 lb_error *err)
    lb_status lb_upstream_set_weight(lb_upstream *up, uint32_t member, uint32_t weight, uint64_t now_ns, lb_error *err)
    lb_status lb_upstream_set_health(lb_upstream *up, uint32_t member, bint healthy, bint keep, uint64_t now_ns,
                                     lb_error *err)
    lb_status lb_upstream_drain(lb_upstream *up, uint32_t member, uint64_t until_ns, uint64_t now_ns, lb_error *err)
    lb_status lb_upstream_undrain(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_error *err)
    lb_status lb_upstream_disable(lb_upstream *up, uint32_t member, bint disabled, uint64_t now_ns, lb_error *err)
    lb_status lb_upstream_settle(lb_upstream *up, uint64_t now_ns, lb_error *err)
    uint64_t lb_upstream_back_ns(const lb_upstream *up)
    void lb_upstream_forked(lb_upstream *up, uint64_t seed)
    lb_status lb_upstream_rejoin(lb_upstream *up, uint64_t now_ns, lb_error *err)
    bint lb_upstream_is_waiting(const lb_upstream *up)
    lb_status lb_upstream_advance(lb_upstream *up, uint64_t now_ns, lb_error *err)
    uint64_t lb_upstream_due(const lb_upstream *up)
    lb_status lb_upstream_subset(lb_upstream *up, const uint32_t *labels, uint32_t n, uint64_t now_ns, lb_subset **out,
                                 lb_error *err)
    void lb_subset_free(lb_subset *subset)
    const lb_view *lb_subset_view(const lb_subset *subset, uint32_t group)

    ctypedef enum lb_pass:
        LB_PASS_NOT
        LB_PASS_EXCLUDED
        LB_PASS_FULL
        LB_PASS_BOUND

    const uint32_t LB_MAX_PASSED

    ctypedef struct lb_receipt:
        uint32_t priority
        uint32_t runner_up
        uint32_t n_passed
        uint32_t passed[16]
        lb_pass why[16]

    ctypedef struct lb_want:
        const lb_key *key
        const lb_subset *within
        const uint32_t *exclude
        uint32_t n_exclude
        lb_receipt *receipt

    uint32_t lb_upstream_pick(lb_upstream *up, uint64_t now_ns)
    uint32_t lb_upstream_pick_key(lb_upstream *up, const lb_key *key, uint64_t now_ns)
    uint32_t lb_upstream_choose(lb_upstream *up, const lb_want *want, uint64_t now_ns)
    bint lb_upstream_acquire(lb_upstream *up, uint64_t now_ns, lb_call *call)
    bint lb_upstream_begin(lb_upstream *up, const lb_want *want, uint64_t now_ns, lb_call *call)
    void lb_upstream_begin_on(lb_upstream *up, uint32_t member, uint64_t now_ns, lb_call *call)
    bint lb_upstream_serves_session(const lb_upstream *up, uint32_t member, uint64_t now_ns)
    void lb_upstream_first_try(lb_upstream *up, uint64_t now_ns)
    bint lb_upstream_may_retry(lb_upstream *up, uint64_t now_ns)
    uint32_t lb_upstream_candidates(lb_upstream *up, const lb_want *want, uint32_t *out, uint32_t n, uint64_t now_ns)
    void lb_upstream_pick_many(lb_upstream *up, int32_t *out, uint32_t n, uint64_t now_ns)
    void lb_upstream_pick_keys(lb_upstream *up, const lb_key *keys, int32_t *out, uint32_t n, uint64_t now_ns)

    ctypedef struct lb_batch:
        pass

    bint lb_batch_begin(lb_batch *batch, lb_upstream *up, uint32_t n, bint keyed, uint64_t now_ns)
    void lb_batch_turns(const lb_batch *batch, int32_t *out, uint32_t n)
    void lb_batch_keys(const lb_batch *batch, const lb_key *keys, int32_t *out, uint32_t n)
    void lb_batch_end(lb_batch *batch)

    ctypedef struct lb_report:
        lb_outcome outcome
        uint64_t latency_ns
        uint64_t pause_ns

    void lb_upstream_report(lb_upstream *up, lb_call *call, const lb_report *report, uint64_t now_ns)
    void lb_upstream_checked(lb_upstream *up, uint32_t member, const lb_outcome *outcome, uint64_t now_ns)
    void lb_upstream_release(lb_upstream *up, const lb_call *call)
    const lb_view *lb_upstream_view(const lb_upstream *up)
    lb_state *lb_upstream_state(const lb_upstream *up)
    uint32_t lb_upstream_levels(const lb_upstream *up, uint32_t *priority, uint32_t *percent, uint32_t n)
    uint32_t lb_upstream_bound(const lb_upstream *up, uint32_t member)
    bint lb_upstream_next_event(lb_upstream *up, lb_event *out, uint64_t *dropped)
    bint lb_upstream_is_replaying(const lb_upstream *up)
    void *lb_upstream_replay_user(lb_upstream *up)

    # split
    ctypedef struct lb_split:
        pass

    ctypedef struct lb_split_spec:
        const uint32_t *weight
        const lb_str *name
        uint32_t n
        uint64_t seed
        const lb_backing *backing
        lb_str common

    void lb_split_forked(lb_split *split, uint64_t seed)
    void lb_split_rejoin(lb_split *split)
    lb_status lb_split_new(lb_split **out, const lb_split_spec *spec, const lb_split *previous,
                           const uint32_t *old_index, lb_error *err)
    void lb_split_free(lb_split *split)
    uint32_t lb_split_pick(lb_split *split, const lb_key *key)

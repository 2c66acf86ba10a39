/* segment: measuring, making, opening and leaving a segment, and looking into one.
 *
 * Cost    open O(rows) beyond the private counts of users: 12 bytes a place, cleared.
 * Keeps   magic is written last: a segment with it is whole.  Sizes and seed never change after that.
 */
#include "share/layout.h"

#include <string.h>

const lb_share_size lb_share_default = {.max_targets = 16384, .max_workers = LB_SHARE_MAX_WORKERS};

#define LEAST_TARGETS 16u
#define MOST_TARGETS 1048576u

/* ---- sizes -------------------------------------------------------------------------------------------------- */

static uint32_t power_of_two(uint32_t at_least) {
    uint32_t n = LEAST_TARGETS;
    while (n < at_least) n *= 2;
    return n;
}

static size_t whole_pages(size_t bytes) { return (bytes + LB_SHARE_PAGE - 1) / LB_SHARE_PAGE * LB_SHARE_PAGE; }

static lb_status check(const lb_share_size *size, lb_error *err) {
    if (size->max_targets < LEAST_TARGETS || size->max_targets > MOST_TARGETS)
        return lb_fail(err, LB_ERR_CONFIG, "shared.max_targets", "%u is not in %u..%u", size->max_targets, LEAST_TARGETS,
                       MOST_TARGETS);
    if (size->max_workers < 1 || size->max_workers > LB_SHARE_MAX_WORKERS)
        return lb_fail(err, LB_ERR_CONFIG, "shared.max_workers", "%u is not in 1..%u", size->max_workers,
                       LB_SHARE_MAX_WORKERS);
    return LB_OK;
}

lb_status lb_share_measure(const lb_share_size *size, lb_share_extent *extent, lb_error *err) {
    lb_status status = check(size, err);
    if (status) return status;
    size_t n = power_of_two(size->max_targets), words = (n + 63) / 64;
    extent->head = whole_pages(LB_SHARE_PAGE + n * (sizeof(lb_common_entry) + sizeof(lb_place_entry) + sizeof(lb_cursor)));
    extent->row = whole_pages(sizeof(lb_row) + 2 * words * sizeof(lb_word) + n * sizeof(lb_counter));
    extent->whole = extent->head + size->max_workers * extent->row;
    return LB_OK;
}

/* ---- the functions of a backing: share.h's, with a context instead of a share ------------------------------- */

static lb_status seat(void *context, lb_mark upstream, lb_mark identity, const char *name, uint32_t *place,
                      lb_error *err) {
    return lb_share_seat(context, upstream, identity, name, place, err);
}
static void unseat(void *context, uint32_t place) { lb_share_unseat(context, place); }
static lb_record *record(void *context, uint32_t place) { return &lb_place_at(context, place)->record; }
static lb_status join(void *context, lb_mark upstream, lb_common **out, lb_error *err) {
    return lb_share_join(context, upstream, out, err);
}
static void part(void *context, lb_common *common) { lb_share_part(context, common); }
static lb_counter *row(void *context) {
    return lb_share_claim(context) ? lb_share_counters(context, lb_share_own(context)) : NULL;
}
static uint32_t others(void *context, uint32_t place) { return lb_share_others(context, place); }
static lb_cursor *cursor(void *context, uint64_t fingerprint) { return lb_share_cursor(context, fingerprint); }
static void drop(void *context, lb_cursor *line) { lb_share_drop(context, line); }
static bool sweep(void *context) { return lb_share_sweep(context); }

static const lb_backing functions = {
    .seat = seat, .unseat = unseat, .record = record, .join = join, .part = part, .row = row,
    .others = others, .cursor = cursor, .drop = drop, .sweep = sweep,
};

/* ---- open and close ----------------------------------------------------------------------------------------- */

/* A segment that we can read. */
static lb_status check_layout(const lb_head *head, lb_error *err) {
    uint64_t magic = lb_word_read(&head->magic), layout = lb_word_read(&head->layout);
    if (magic != LB_SHARE_MAGIC)
        return lb_fail(err, LB_ERR_CONFIG, "shared", "not a segment of lbcore: it begins with %#llx",
                       (unsigned long long)magic);
    if (layout != LB_SHARE_LAYOUT)
        return lb_fail(err, LB_ERR_CONFIG, "shared", "the segment has layout %llu, this lbcore reads layout %u: "
                       "its workers run another version", (unsigned long long)layout, LB_SHARE_LAYOUT);
    return LB_OK;
}

/* LB_OK: new (all 0), or a segment as we want it. */
static lb_status recognise(const lb_head *head, const lb_share_size *size, lb_error *err) {
    uint64_t targets = lb_word_read(&head->max_targets), workers = lb_word_read(&head->max_workers);
    if (lb_word_read(&head->magic) == 0) return LB_OK;
    lb_status status = check_layout(head, err);
    if (status) return status;
    if (targets != size->max_targets || workers != size->max_workers)
        return lb_fail(err, LB_ERR_CONFIG, "shared", "the segment has max_targets %llu and max_workers %llu, "
                       "this worker wants %u and %u", (unsigned long long)targets, (unsigned long long)workers,
                       size->max_targets, size->max_workers);
    return LB_OK;
}

lb_status lb_share_size_of(const void *head, lb_share_size *out, lb_error *err) {
    const lb_head *h = head;
    lb_status status = check_layout(h, err);
    lb_share_size size = {.max_targets = (uint32_t)lb_word_read(&h->max_targets),
                          .max_workers = (uint32_t)lb_word_read(&h->max_workers)};
    if (!status) status = check(&size, err);
    if (!status) *out = size;
    return status;
}

static void make(lb_head *head, const lb_share_size *size, uint64_t seed) {
    lb_word_note(&head->layout, LB_SHARE_LAYOUT);
    lb_word_note(&head->max_targets, size->max_targets);
    lb_word_note(&head->max_workers, size->max_workers);
    lb_word_note(&head->seed, seed);
    lb_word_write(&head->magic, LB_SHARE_MAGIC);
}

/* This process's end, with room for its counts behind it. */
static lb_share *attach(void *memory, const lb_share_size *size, const lb_share_extent *extent,
                        const lb_share_locks *locks) {
    uint32_t n = power_of_two(size->max_targets);
    lb_share *share = lb_alloc_zero(1, sizeof *share + 3 * (size_t)n * sizeof(uint32_t));
    if (!share) return NULL;
    uint32_t *refs = (uint32_t *)(void *)(share + 1);
    char *commons = (char *)memory + LB_SHARE_PAGE, *places = commons + n * sizeof(lb_common_entry);
    share->locks = *locks;
    share->size = *size;
    share->extent = *extent;
    share->memory = memory;
    share->head = memory;
    share->commons = (lb_table){.entries = commons, .stride = sizeof(lb_common_entry), .n = n,
                                .first_bit = (n + 63) / 64, .refs = refs};
    share->places = (lb_table){.entries = places, .stride = sizeof(lb_place_entry), .n = n, .refs = refs + n};
    share->cursors = (lb_cursor *)(void *)(places + n * sizeof(lb_place_entry));
    share->n_cursors = n;
    share->cursor_refs = refs + 2 * (size_t)n;
    lb_counter_write(&share->row, LB_NONE);
    return share;
}

lb_status lb_share_open(lb_share **out, void *memory, const lb_share_size *size, uint64_t seed,
                        const lb_share_locks *locks, lb_error *err) {
    lb_share_extent extent;
    lb_status status = lb_share_measure(size, &extent, err);
    if (!status) status = recognise(memory, size, err);
    if (status) return status;
    lb_share *share = attach(memory, size, &extent, locks);
    if (!share) return lb_no_memory(err, "shared");
    if (lb_word_read(&share->head->magic) == 0) make(share->head, size, seed);
    share->backing = functions;
    share->backing.context = share;
    share->backing.seed = lb_word_read(&share->head->seed);
    lb_share_sweep(share);
    *out = share;
    return LB_OK;
}

const lb_backing *lb_share_backing(lb_share *share) { return &share->backing; }

void lb_share_forked(lb_share *share) {
    lb_counter_write(&share->row, LB_NONE);
    memset(share->commons.refs, 0, share->commons.n * sizeof(uint32_t));
    memset(share->places.refs, 0, share->places.n * sizeof(uint32_t));
    memset(share->cursor_refs, 0, share->n_cursors * sizeof(uint32_t));
}

bool lb_share_retire(lb_share *share) {
    lb_share_resign(share);
    lb_share_forked(share);
    return lb_share_alone(share);
}

bool lb_share_close(lb_share *share) {
    if (!share) return false;
    bool alone = lb_share_retire(share);
    lb_free(share);
    return alone;
}

/* ---- looking in --------------------------------------------------------------------------------------------- */

void lb_share_tell(lb_share *share, int64_t pid, uint64_t now_ns) {
    uint32_t own = lb_share_own(share);
    share->pid = pid;
    share->since_ns = now_ns;
    if (own == LB_NONE) return;
    lb_word_note(&lb_share_row(share, own)->pid, (uint64_t)pid);
    lb_word_note(&lb_share_row(share, own)->since_ns, now_ns);
}

uint32_t lb_share_workers(lb_share *share, lb_share_worker *out, uint32_t n) {
    uint32_t found = 0;
    for (uint64_t rows = lb_share_rows(share); rows && found < n; rows &= rows - 1) {
        uint32_t r = lb_lowest_bit(rows);
        lb_share_worker *worker = &out[found++];
        *worker = (lb_share_worker){.row = r, .pid = (int64_t)lb_word_glance(&lb_share_row(share, r)->pid),
                                    .since_ns = lb_word_glance(&lb_share_row(share, r)->since_ns)};
        worker->in_flight = lb_share_in_flight(share, r, &worker->n_places);
    }
    return found;
}

uint32_t lb_share_places(const lb_share *share) { return share->places.n; }

static uint64_t all_calls(const lb_share *share, uint32_t place) {
    uint64_t sum = 0;
    for (uint64_t rows = lb_share_rows(share); rows; rows &= rows - 1)
        sum += lb_counter_read(&lb_share_counters(share, lb_lowest_bit(rows))[place]);
    return sum;
}

static void read_name(const lb_place_entry *entry, char *out) {
    for (uint32_t i = 0; i < LB_SHARE_WORDS; i++) {
        uint64_t word = lb_word_read(&entry->name[i]);
        memcpy(out + 8 * i, &word, sizeof word);
    }
    out[LB_SHARE_NAME - 1] = '\0';
}

/* Without the lock: what was read is whole if its tag has not changed meanwhile. */
bool lb_share_look(lb_share *share, uint32_t place, lb_share_place *out) {
    if (place >= share->places.n) return false;
    lb_place_entry *entry = lb_place_at(share, place);
    uint64_t tag = lb_word_read(&entry->entry.tag);
    uint32_t n_workers = lb_share_users(share, &share->places, place);
    if ((tag & LB_TAG_STATE) != LB_SEATED || n_workers == 0) return false;
    lb_share_place seen = {.place = place, .generation = (uint32_t)(tag >> 2), .record = &entry->record,
                           .n_workers = n_workers};
    seen.identity = (lb_mark){lb_word_read(&entry->entry.high), lb_word_read(&entry->entry.low)};
    seen.upstream = (lb_mark){lb_word_read(&entry->upstream_high), lb_word_read(&entry->upstream_low)};
    read_name(entry, seen.name);
    uint32_t common = lb_share_find(share, &share->commons, seen.upstream);
    bool joined = common != LB_NONE && lb_share_users(share, &share->commons, common);
    seen.common = joined ? &lb_common_at(share, common)->common : NULL;
    seen.in_flight = all_calls(share, place);
    if (lb_word_read(&entry->entry.tag) != tag) return false;
    *out = seen;
    return true;
}

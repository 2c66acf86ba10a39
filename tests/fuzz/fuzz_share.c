/* fuzz_share: any sequence of what workers do with one segment, beside a naive model of who uses what.
 *
 * Five workers on four rows, 24 targets on 16 places, 24 schedules on 16 cursors: everything runs out.  Workers open,
 * close in order, die, and fork (the parent's row stays locked until the parent ends).  The model keeps a row of plain
 * facts for each row in use, and for each cursor its print, its turns and when it was left.  After each operation all
 * that a worker can see of the segment is what the model says.
 */
#include "shares.h"

enum { N_CREW = 5, N_ROWS = 4, N_PLACES = 16, N_NAMES = 24, N_UPS = 5, N_PRINTS = 24 };

/* A row in use, and what its worker holds. */
typedef struct fact {
    bool in_use, alive;
    uint32_t who;
    uint32_t seats[N_NAMES], calls[N_NAMES], joins[N_UPS], turns[N_PRINTS];
} fact;

typedef struct line_fact {
    uint32_t print;                 /* LB_NONE: never used */
    uint64_t turn, left;
} line_fact;

typedef struct world {
    const uint8_t *in;
    size_t left;
    kernel locks;
    worker crew[N_CREW];
    uint32_t row[N_CREW];           /* LB_NONE: it has none */
    uint32_t n_born;
    fact fact[N_ROWS];
    uint32_t place[N_NAMES];        /* while used */
    uint64_t stamp[N_NAMES], n_stamps;
    uint32_t generation[N_PLACES];
    lb_common *common[N_UPS];
    uint64_t epoch[N_UPS];
    line_fact line[N_PLACES];
    uint64_t n_left;
} world;

static const lb_share_size size_of_all = {.max_targets = N_PLACES, .max_workers = N_ROWS};
static _Alignas(LB_SHARE_PAGE) char memory[1 << 16];

static uint32_t next(world *w, uint32_t n) {
    if (w->left == 0) return 0;
    w->left--;
    return *w->in++ % n;
}

/* ---- the model -------------------------------------------------------------------------------------------- */

static uint32_t seated_in(const world *w, uint32_t name) {
    uint32_t n = 0;
    for (uint32_t r = 0; r < N_ROWS; r++) n += w->fact[r].in_use && w->fact[r].seats[name];
    return n;
}

static uint32_t joined_in(const world *w, uint32_t up) {
    uint32_t n = 0;
    for (uint32_t r = 0; r < N_ROWS; r++) n += w->fact[r].in_use && w->fact[r].joins[up];
    return n;
}

/* The users of a print, a bit for each row. */
static uint64_t turning(const world *w, uint32_t print) {
    uint64_t users = 0;
    for (uint32_t r = 0; r < N_ROWS; r++) users |= (uint64_t)(w->fact[r].in_use && w->fact[r].turns[print]) << r;
    return users;
}

static uint32_t calls_of(const world *w, uint32_t name, uint32_t but) {
    uint32_t n = 0;
    for (uint32_t r = 0; r < N_ROWS; r++)
        if (r != but && w->fact[r].in_use) n += w->fact[r].calls[name];
    return n;
}

static uint32_t n_seated(const world *w) {
    uint32_t n = 0;
    for (uint32_t name = 0; name < N_NAMES; name++) n += seated_in(w, name) > 0;
    return n;
}

static uint32_t line_of(const world *w, uint32_t print) {
    for (uint32_t i = 0; i < N_PLACES; i++)
        if (w->line[i].print == print) return i;
    return LB_NONE;
}

static void clear_row(world *w, uint32_t r) {
    for (uint32_t i = 0; i < N_PLACES; i++)
        if (w->line[i].print != LB_NONE && w->fact[r].turns[w->line[i].print]) w->line[i].left = ++w->n_left;
    w->fact[r] = (fact){.in_use = false};
}

static void raise_all(world *w) {
    for (uint32_t up = 0; up < N_UPS; up++) w->epoch[up] += joined_in(w, up) > 0;
}

static bool sweep_all(world *w) {
    bool any = false;
    for (uint32_t r = 0; r < N_ROWS; r++)
        if (w->fact[r].in_use && !w->fact[r].alive) {
            clear_row(w, r);
            any = true;
        }
    if (any) raise_all(w);
    return any;
}

/* False: all rows are held by the living. */
static bool claim_row(world *w, uint32_t k) {
    for (uint32_t r = 0; r < N_ROWS && w->row[k] == LB_NONE; r++) {
        if (w->fact[r].in_use && w->fact[r].alive) continue;
        if (w->fact[r].in_use) {
            clear_row(w, r);
            raise_all(w);
        }
        w->fact[r] = (fact){.in_use = true, .alive = true, .who = w->crew[k].who};
        w->row[k] = r;
    }
    return w->row[k] != LB_NONE;
}

/* ---- workers come and go ---------------------------------------------------------------------------------- */

static void open_worker(world *w, uint32_t k) {
    bool fails = next(w, 8) == 0;
    w->row[k] = LB_NONE;
    if (fails) fail_allocation(0);
    lb_status status = hire(&w->crew[k], memory, &size_of_all, &w->locks, ++w->n_born, NULL);
    fail_allocation(-1);
    CHECK_EQ(status, fails ? LB_ERR_NOMEM : LB_OK);
    if (!fails) sweep_all(w);
}

static void close_worker(world *w, uint32_t k) {
    bool alone = true;
    if (w->row[k] != LB_NONE) clear_row(w, w->row[k]);
    for (uint32_t r = 0; r < N_ROWS; r++) alone = alone && !(w->fact[r].in_use && w->fact[r].alive);
    CHECK_EQ(dismiss(&w->crew[k]), alone);
}

static void end_worker(world *w, uint32_t k) {
    if (w->row[k] != LB_NONE) w->fact[w->row[k]].alive = false;
    kill_worker(&w->crew[k]);
}

/* It goes on as its own child; the row stays its parent's. */
static void fork_worker(world *w, uint32_t k) {
    w->crew[k].who = ++w->n_born;
    w->row[k] = LB_NONE;
    lb_share_forked(w->crew[k].share);
}

static bool has_a_worker(const world *w, uint32_t r) {
    for (uint32_t k = 0; k < N_CREW; k++)
        if (w->crew[k].share && w->row[k] == r) return true;
    return false;
}

static void end_parent(world *w, uint32_t r) {
    if (!w->fact[r].in_use || !w->fact[r].alive || has_a_worker(w, r)) return;
    let_go(&w->locks, w->fact[r].who);
    w->fact[r].alive = false;
}

/* ---- places ----------------------------------------------------------------------------------------------- */

static void check_fresh(world *w, worker *of, uint32_t name, uint32_t place) {
    lb_record *record = of->b->record(of->share, place);
    static const lb_record empty;
    lb_share_place seen;
    CHECK(memcmp(record, &empty, sizeof empty) == 0);
    CHECK(lb_share_look(of->share, place, &seen) && seen.generation > w->generation[place]);
    w->generation[place] = seen.generation;
    w->place[name] = place;
    w->stamp[name] = ++w->n_stamps;
    lb_word_note(&record->spare[0], w->stamp[name]);
}

/* What seating a name must come to; "" where it works. */
static const char *seating(world *w, uint32_t k, uint32_t name) {
    if (!claim_row(w, k)) return "shared.max_workers";
    if (seated_in(w, name) || n_seated(w) < N_PLACES) return "";
    return sweep_all(w) && n_seated(w) < N_PLACES ? "" : "shared.max_targets";
}

static void seat(world *w, uint32_t k) {
    worker *of = &w->crew[k];
    uint32_t name = next(w, N_NAMES), place = LB_NONE;
    lb_error err = {0};
    const char *field = seating(w, k, name);
    lb_status status = of->b->seat(of->share, mark(name % N_UPS), mark(name), "a name", &place, &err);
    CHECK(strcmp(err.field, field) == 0);
    CHECK_EQ(status, *field ? LB_ERR_CONFIG : LB_OK);
    CHECK_EQ(place == LB_NONE, status != LB_OK);
    if (status) return;
    if (seated_in(w, name)) CHECK_EQ(place, w->place[name]);
    else check_fresh(w, of, name, place);
    w->fact[w->row[k]].seats[name]++;
}

static void unseat(world *w, uint32_t k) {
    uint32_t name = next(w, N_NAMES), r = w->row[k];
    if (r == LB_NONE || w->fact[r].seats[name] == 0) return;
    w->crew[k].b->unseat(w->crew[k].share, w->place[name]);
    if (--w->fact[r].seats[name] == 0) w->fact[r].calls[name] = 0;
}

static void call_or_end(world *w, uint32_t k) {
    uint32_t name = next(w, N_NAMES), r = w->row[k], n = next(w, 8);
    if (r == LB_NONE || w->fact[r].seats[name] == 0) return;
    lb_counter *counter = &w->crew[k].b->row(w->crew[k].share)[w->place[name]];
    if (n > 2) {
        w->fact[r].calls[name] += n;
        lb_counter_add(counter, n);
    } else if (w->fact[r].calls[name]) {
        w->fact[r].calls[name]--;
        lb_counter_sub(counter, 1);
    }
}

/* ---- upstreams -------------------------------------------------------------------------------------------- */

static void join(world *w, uint32_t k) {
    worker *of = &w->crew[k];
    uint32_t up = next(w, N_UPS);
    lb_common *common = NULL;
    bool can = claim_row(w, k);
    CHECK_EQ(of->b->join(of->share, mark(up), &common, NULL), can ? LB_OK : LB_ERR_CONFIG);
    if (!can) return;
    if (joined_in(w, up)) CHECK(common == w->common[up]);
    else w->epoch[up] = 0;
    w->common[up] = common;
    w->fact[w->row[k]].joins[up]++;
}

static void part(world *w, uint32_t k) {
    uint32_t up = next(w, N_UPS), r = w->row[k];
    if (r == LB_NONE || w->fact[r].joins[up] == 0) return;
    w->crew[k].b->part(w->crew[k].share, w->common[up]);
    w->fact[r].joins[up]--;
}

/* ---- schedules -------------------------------------------------------------------------------------------- */

/* The line that is to be had for a new print is `i`: a never used one, or the one that was left longest ago. */
static void check_choice(const world *w, uint32_t i) {
    CHECK(w->line[i].print == LB_NONE || turning(w, w->line[i].print) == 0);
    for (uint32_t j = 0; j < N_PLACES; j++) {
        if (w->line[j].print == LB_NONE) CHECK_EQ(w->line[i].print, LB_NONE);
        else if (w->line[i].print != LB_NONE && turning(w, w->line[j].print) == 0) CHECK(w->line[i].left <= w->line[j].left);
    }
}

static uint32_t n_free_lines(const world *w) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_PLACES; i++) n += w->line[i].print == LB_NONE || turning(w, w->line[i].print) == 0;
    return n;
}

static void schedule(world *w, uint32_t k) {
    worker *of = &w->crew[k];
    uint32_t print = next(w, N_PRINTS), known = line_of(w, print);
    bool can = w->row[k] != LB_NONE && (known != LB_NONE || n_free_lines(w) > 0);
    lb_cursor *c = of->b->cursor(of->share, 4 * (uint64_t)(print + 1));
    CHECK_EQ(c != NULL, can);
    if (!c) return;
    uint32_t i = (uint32_t)(c - of->share->cursors);
    if (known != LB_NONE) CHECK_EQ(i, known);
    else {
        check_choice(w, i);
        w->line[i] = (line_fact){.print = print};
    }
    w->fact[w->row[k]].turns[print]++;
}

static void turn(world *w, uint32_t k) {
    uint32_t print = next(w, N_PRINTS), i = line_of(w, print);
    if (w->row[k] == LB_NONE || w->fact[w->row[k]].turns[print] == 0) return;
    CHECK_EQ(lb_word_add(&w->crew[k].share->cursors[i].turn, 1), w->line[i].turn);
    w->line[i].turn++;
}

static void drop(world *w, uint32_t k) {
    uint32_t print = next(w, N_PRINTS), i = line_of(w, print), r = w->row[k];
    if (r == LB_NONE || w->fact[r].turns[print] == 0) return;
    w->crew[k].b->drop(w->crew[k].share, &w->crew[k].share->cursors[i]);
    if (--w->fact[r].turns[print] == 0) w->line[i].left = ++w->n_left;
}

static void sweep(world *w, uint32_t k) { CHECK_EQ(w->crew[k].b->sweep(w->crew[k].share), sweep_all(w)); }

/* ---- what must hold after each operation ------------------------------------------------------------------ */

static void check_place(world *w, worker *of, uint32_t name) {
    lb_share_place seen = {0};
    uint32_t place = w->place[name];
    CHECK(lb_share_look(of->share, place, &seen));
    CHECK_EQ(seen.identity.low, name);
    CHECK_EQ(seen.upstream.low, name % N_UPS);
    CHECK_EQ(seen.generation, w->generation[place]);
    CHECK_EQ(seen.n_workers, seated_in(w, name));
    CHECK_EQ(seen.in_flight, calls_of(w, name, LB_NONE));
    CHECK_EQ(lb_word_glance(&seen.record->spare[0]), w->stamp[name]);
    CHECK(seen.common == (joined_in(w, name % N_UPS) ? w->common[name % N_UPS] : NULL));
    CHECK(strcmp(seen.name, "a name") == 0);
}

static void check_places(world *w, worker *of, uint32_t k) {
    uint32_t taken = 0, n_seen = 0;
    for (uint32_t name = 0; name < N_NAMES; name++) {
        if (!seated_in(w, name)) continue;
        CHECK(!(taken >> w->place[name] & 1));
        taken |= 1u << w->place[name];
        check_place(w, of, name);
        CHECK_EQ(of->b->others(of->share, w->place[name]), calls_of(w, name, w->row[k]));
    }
    lb_share_place seen;
    for (uint32_t place = 0; place < N_PLACES; place++) n_seen += lb_share_look(of->share, place, &seen);
    CHECK_EQ(n_seen, n_seated(w));
}

static void check_rows(const world *w, worker *of) {
    lb_share_worker list[N_ROWS + 1];
    uint32_t n = lb_share_workers(of->share, list, N_ROWS + 1), at = 0;
    for (uint32_t r = 0; r < N_ROWS; r++) {
        if (!w->fact[r].in_use) continue;
        uint64_t calls = 0;
        uint32_t places = 0;
        for (uint32_t name = 0; name < N_NAMES; name++) {
            calls += w->fact[r].calls[name];
            places += w->fact[r].seats[name] > 0;
        }
        CHECK(at < n && list[at].row == r && list[at].in_flight == calls && list[at].n_places == places);
        at++;
    }
    CHECK_EQ(n, at);
}

static void check_shared(const world *w, const worker *of) {
    for (uint32_t up = 0; up < N_UPS; up++)
        if (joined_in(w, up)) CHECK_EQ(lb_word_read(&w->common[up]->epoch), w->epoch[up]);
    for (uint32_t i = 0; i < N_PLACES; i++) {
        const lb_cursor *c = &of->share->cursors[i];
        bool used = w->line[i].print != LB_NONE;
        CHECK_EQ(lb_word_read(&c->users), used ? turning(w, w->line[i].print) : 0);
        if (used) CHECK_EQ(lb_word_read(&c->turn), w->line[i].turn);
    }
}

/* As one worker sees it, another one each time. */
static void check_world(world *w) {
    uint32_t k = (uint32_t)(w->left % N_CREW);
    if (!w->crew[k].share) return;
    check_places(w, &w->crew[k], k);
    check_rows(w, &w->crew[k]);
    check_shared(w, &w->crew[k]);
}

/* ---- programs --------------------------------------------------------------------------------------------- */

static void step(world *w) {
    static void (*const operations[])(world *, uint32_t) = {
        seat, seat, seat, seat, seat, seat, seat, unseat, unseat, unseat, call_or_end, call_or_end, call_or_end, join, join,
        part, schedule, schedule, schedule, schedule, schedule, turn, turn, drop, drop, sweep, close_worker, end_worker,
        fork_worker,
    };
    enum { N = sizeof operations / sizeof *operations };
    uint32_t code = next(w, 256), k = code % N_CREW, what = code / N_CREW % (N + 1);
    if (!w->crew[k].share) open_worker(w, k);
    else if (what == N) end_parent(w, next(w, N_ROWS));
    else operations[what](w, k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static world w;
    check_name = "share";
    memset(memory, 0, sizeof memory);
    w = (world){.in = data, .left = size};
    for (uint32_t i = 0; i < N_PLACES; i++) w.line[i].print = LB_NONE;
    while (w.left && !check_failed) {
        step(&w);
        check_world(&w);
    }
    for (uint32_t k = 0; k < N_CREW; k++) kill_worker(&w.crew[k]);
    if (check_failed) abort();
    return 0;
}

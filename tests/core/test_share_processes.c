/* share between processes: what only a kernel can show.  Locks, death, stops, forks, files and full places. */
#if defined(_WIN32)
#include <stdio.h>
int main(void) {
    printf("skipped: shared State is not available on Windows\n");
    return 0;
}
#else
#include "staff.h"

#include "base/rng.h"

#if defined(__linux__)
#include <sys/mount.h>
#endif

#define SEED 20240607u

char place_of_files[300];

static const lb_share_size small = {.max_targets = 16, .max_workers = 8};

/* ---- turns -------------------------------------------------------------------------------------------------- */

enum { TAKERS = 8, TURNS = 100000 };

typedef struct turn_board {
    lb_word ready, done;
    uint8_t taken[TAKERS * TURNS];  /* by turn; written by who took it */
} turn_board;

static void take_turns(void *memory, uint32_t i) {
    turn_board *board = memory;
    staff me;
    start(&me, "turns", &lb_share_default);
    lb_cursor *cursor = me.b->cursor(me.share, 4711);
    CHECK(cursor != NULL);
    lb_word_add(&board->ready, 1);
    await(&board->ready, TAKERS);
    for (uint32_t n = 0; n < TURNS && cursor; n++) {
        uint64_t turn = lb_word_add(&cursor->turn, 1);
        if (turn < TAKERS * TURNS) board->taken[turn]++;
        else CHECK_EQ(turn, i);
    }
    lb_word_add(&board->done, 1);
    await(&board->done, TAKERS);                                /* the last to leave takes the file with him */
    stop(&me);
}

static void each_turn_is_taken_once(void) {
    turn_board *board = new_board(sizeof *board);
    pid_t pid[TAKERS];
    for (uint32_t i = 0; i < TAKERS; i++) pid[i] = spawn(take_turns, board, i);
    for (uint32_t i = 0; i < TAKERS; i++) reap(pid[i]);
    uint32_t wrong = 0;
    for (uint32_t turn = 0; turn < TAKERS * TURNS; turn++) wrong += board->taken[turn] != 1;
    CHECK_EQ(wrong, 0);
    CHECK(!exists(path_of("turns")));
    munmap(board, sizeof *board);
}

/* ---- death -------------------------------------------------------------------------------------------------- */

enum { CREW = 3, NAMES = 6, KILLS = 50 };

/* What each child holds, written while it pauses. */
typedef struct death_board {
    lb_word pause;                  /* number of the pause that is wanted; odd: pause, even: go on */
    struct report {
        _Alignas(64) lb_word paused;
        uint32_t place[NAMES], calls[NAMES], n_failed;
    } of[CREW];
} death_board;

/* Identity i of child c; even ones are everybody's. */
static uint64_t identity(uint32_t c, uint32_t i) { return i % 2 ? 100 * (c + 1) + i : i; }

static void change_seat(staff *me, struct report *mine, uint32_t c, uint32_t i) {
    me->b->unseat(me->share, mine->place[i]);
    mine->calls[i] = 0;
    mine->place[i] = seat(me, identity(c, i));
}

static void call_at_random(staff *me, struct report *mine, uint32_t i, bool more) {
    if (!more && mine->calls[i] == 0) return;
    lb_counter *counter = &me->b->row(me->share)[mine->place[i]];
    if (more) lb_counter_add(counter, 1);
    else lb_counter_sub(counter, 1);
    mine->calls[i] += more ? 1 : UINT32_MAX;
}

static void work_until_killed(void *memory, uint32_t c) {
    death_board *board = memory;
    struct report *mine = &board->of[c];
    staff me;
    lb_rng rng;
    lb_rng_seed(&rng, SEED + (uint64_t)getpid());
    start(&me, "death", &small);
    for (uint32_t i = 0; i < NAMES; i++) mine->place[i] = seat(&me, identity(c, i));
    for (;;) {
        uint64_t pause = lb_word_read(&board->pause);
        if (pause % 2) {
            mine->n_failed = (uint32_t)check_failed;
            lb_word_write(&mine->paused, pause);
            await(&board->pause, pause + 1);
        }
        uint32_t i = lb_rng_below(&rng, NAMES), what = lb_rng_below(&rng, 64);
        if (what == 0) change_seat(&me, mine, c, i);
        else if (what < 4) me.b->drop(me.share, me.b->cursor(me.share, 4 + 4 * lb_rng_below(&rng, 20)));
        else call_at_random(&me, mine, i, what % 2);
    }
}

static void check_truce(staff *me, death_board *board) {
    for (uint32_t c = 0; c < CREW; c++)
        for (uint32_t i = 0; i < NAMES; i++) {
            const struct report *one = &board->of[c];
            uint32_t want = 0;
            lb_share_place seen = {0};
            for (uint32_t other = 0; other < CREW; other++)
                if (i % 2 == 0 || other == c) want += board->of[other].calls[i];
            CHECK_EQ(one->n_failed, 0);
            CHECK(lb_share_look(me->share, one->place[i], &seen));
            CHECK_EQ(seen.identity.low, identity(c, i));
            CHECK_EQ(seen.n_workers, i % 2 ? 1 : CREW);
            CHECK_EQ(me->b->others(me->share, one->place[i]), want);
        }
    lb_share_worker list[8];
    CHECK_EQ(lb_share_workers(me->share, list, 8), 1 + CREW);
}

static void a_kill_at_any_moment_is_healed(void) {
    death_board *board = new_board(sizeof *board);
    staff me;
    lb_rng rng;
    pid_t pid[CREW];
    lb_rng_seed(&rng, SEED);
    start(&me, "death", &small);
    for (uint32_t c = 0; c < CREW; c++) pid[c] = spawn(work_until_killed, board, c);
    for (uint32_t round = 0; round < KILLS && !check_failed; round++) {
        uint32_t c = lb_rng_below(&rng, CREW);
        nap_us(lb_rng_below(&rng, 3000));
        kill_and_reap(pid[c]);
        me.b->sweep(me.share);
        memset(&board->of[c], 0, sizeof board->of[c]);
        pid[c] = spawn(work_until_killed, board, c);
        uint64_t pause = lb_word_add(&board->pause, 1) + 1;
        for (uint32_t i = 0; i < CREW; i++) await(&board->of[i].paused, pause);
        check_truce(&me, board);
        lb_word_add(&board->pause, 1);
    }
    for (uint32_t c = 0; c < CREW; c++) kill_and_reap(pid[c]);
    CHECK(me.b->sweep(me.share));
    CHECK(stop(&me));
    CHECK(!exists(path_of("death")));
    munmap(board, sizeof *board);
}

/* ---- stops and forks ---------------------------------------------------------------------------------------- */

static void open_three_calls(void *memory, uint32_t i) {
    staff me;
    (void)i;
    start(&me, "stop", &small);
    lb_counter_add(&me.b->row(me.share)[seat(&me, 1)], 3);
    lb_word_write(memory, 1);
    for (;;) pause();
}

static void who_is_stopped_loses_nothing(void) {
    lb_word *board = new_board(sizeof *board);
    staff me;
    start(&me, "stop", &small);
    uint32_t place = seat(&me, 1);
    pid_t pid = spawn(open_three_calls, board, 0);
    await(board, 1);
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, WUNTRACED);
    CHECK(!me.b->sweep(me.share));
    CHECK_EQ(me.b->others(me.share, place), 3);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_EQ(me.b->others(me.share, place), 3);
    CHECK(me.b->sweep(me.share));
    CHECK_EQ(me.b->others(me.share, place), 0);
    CHECK(stop(&me));
    munmap(board, sizeof *board);
}

/* The child goes on with its parent's mapping and descriptor. */
static void go_on_as_a_child(void *memory, uint32_t place) {
    staff *me = memory;
    lb_share_forked(me->share);
    CHECK_EQ(me->b->others(me->share, place), 5);
    CHECK_EQ(seat(me, 1), place);
    lb_counter_add(&me->b->row(me->share)[place], 2);
    CHECK_EQ(me->b->others(me->share, place), 5);
    lb_share_worker list[8];
    CHECK_EQ(lb_share_workers(me->share, list, 8), 2);
}

static void a_forks_calls_are_its_own(void) {
    staff me;
    start(&me, "fork", &small);
    uint32_t place = seat(&me, 1);
    lb_counter_add(&me.b->row(me.share)[place], 5);
    reap(spawn(go_on_as_a_child, &me, place));                  /* ends without a close */
    CHECK_EQ(me.b->others(me.share, place), 2);
    CHECK(me.b->sweep(me.share));
    CHECK_EQ(me.b->others(me.share, place), 0);
    CHECK_EQ(lb_counter_read(&me.b->row(me.share)[place]), 5);
    CHECK(stop(&me));
}

/* A child that closes the descriptor takes no lock from its parent. */
static void close_what_is_inherited(void *memory, uint32_t i) {
    staff *me = memory;
    (void)i;
    lb_segment_close(&me->segment);
}

static void look_from_outside(void *memory, uint32_t want) {
    staff me;
    (void)memory;
    start(&me, "close", &small);
    lb_share_worker list[8];
    CHECK_EQ(lb_share_workers(me.share, list, 8), 1 + want);
    stop(&me);
}

static void a_childs_close_is_its_own(void) {
    staff me;
    start(&me, "close", &small);
    reap(spawn(close_what_is_inherited, &me, 0));
    reap(spawn(look_from_outside, NULL, 1));
    CHECK(stop(&me));
}

/* ---- life of the file --------------------------------------------------------------------------------------- */

enum { OPENERS = 4, OPENINGS = 60 };

/* Whoever has a row has it in the file that others find. */
static void open_and_close(void *memory, uint32_t i) {
    (void)memory, (void)i;
    for (uint32_t n = 0; n < OPENINGS; n++) {
        staff me;
        start(&me, "race", &small);
        uint32_t place = seat(&me, n % 5);
        lock(&me);
        CHECK(!lb_segment_is_gone(me.segment.fd, me.segment.path));
        me.b->unseat(me.share, place);
        lb_segment_unlock(&me.segment);
        stop(&me);
    }
}

static void openers_and_closers_agree_on_the_file(void) {
    pid_t pid[OPENERS];
    for (uint32_t i = 0; i < OPENERS; i++) pid[i] = spawn(open_and_close, NULL, i);
    for (uint32_t i = 0; i < OPENERS; i++) reap(pid[i]);
    CHECK(!exists(path_of("race")));
}

static void leave_a_mark(void *memory, uint32_t layout) {
    staff me;
    start(&me, "left", &small);
    lb_record *record = me.b->record(me.share, seat(&me, 1));
    lb_word_write(&record->marks, LB_MARK_DISABLED);
    if (layout) ((lb_word *)me.segment.memory)[1] = layout;     /* as another version would say */
    lb_word_write(memory, 1);
    for (;;) pause();
}

static void what_the_killed_leave_is_nobodys(void) {
    for (uint32_t layout = 0; layout < 2; layout++) {
        lb_word *board = new_board(sizeof *board);
        pid_t pid = spawn(leave_a_mark, board, layout * 77);
        await(board, 1);
        kill_and_reap(pid);
        CHECK(exists(path_of("left")));
        staff me;
        start(&me, "left", &small);                             /* whatever its layout was */
        CHECK_EQ(lb_word_read(&me.b->record(me.share, seat(&me, 1))->marks), 0);
        CHECK(stop(&me));
        munmap(board, sizeof *board);
    }
}

static void another_version_is_refused_while_it_lives(void) {
    lb_word *board = new_board(sizeof *board);
    staff me;
    lb_error err = {0};
    pid_t pid = spawn(leave_a_mark, board, 77);
    await(board, 1);
    CHECK_EQ(begin_shift(&me, "left", &small, &err), LB_ERR_CONFIG);
    CHECK(strstr(err.reason, "layout 77") != NULL);
    CHECK(exists(path_of("left")));
    kill_and_reap(pid);
    CHECK_EQ(unlink(path_of("left")), 0);
    munmap(board, sizeof *board);
}

static void another_size_is_refused_while_it_lives(void) {
    lb_word *board = new_board(sizeof *board);
    staff me;
    lb_error err = {0};
    pid_t pid = spawn(leave_a_mark, board, 0);
    await(board, 1);
    CHECK_EQ(begin_shift(&me, "left", &(lb_share_size){4096, 8}, &err), LB_ERR_CONFIG);
    CHECK(strstr(err.reason, "max_targets 16 and max_workers 8, this worker wants 4096 and 8") != NULL);
    kill_and_reap(pid);
    CHECK_EQ(unlink(path_of("left")), 0);
    munmap(board, sizeof *board);
}

static void most_of_a_segment_is_never_touched(void) {
    staff me;
    struct stat s;
    start(&me, "sparse", &lb_share_default);
    CHECK_EQ(fstat(me.segment.fd, &s), 0);
    CHECK_EQ(s.st_size, me.segment.shape.whole);
    CHECK((size_t)s.st_blocks * 512 <= me.segment.shape.head + 2 * me.segment.shape.row);
    CHECK(stop(&me));
}

/* ---- locks -------------------------------------------------------------------------------------------------- */

static void hold_the_load_lock(void *memory, uint32_t i) {
    staff me;
    (void)i;
    CHECK_EQ(begin_shift(&me, "held", &small, NULL), LB_OK);
    CHECK(lb_segment_take_job(&me.segment, 7));
    lb_word_write(memory, 1);
    for (;;) pause();
}

static void a_load_lock_that_is_held_is_a_time_out(void) {
    lb_word *board = new_board(sizeof *board);
    lb_segment_fault fault = {0};
    lb_segment segment;
    char pid_text[32];
    pid_t pid = spawn(hold_the_load_lock, board, 0);
    await(board, 1);
    CHECK_EQ(lb_segment_open(&segment, place_of_files, "held", shape_of(&small), 5, &fault), ETIMEDOUT);
    snprintf(pid_text, sizeof pid_text, "process %ld ", (long)pid);
    CHECK(strstr(fault.reason, pid_text) && strstr(fault.reason, "5 ms"));
    kill_and_reap(pid);
    CHECK_EQ(unlink(path_of("held")), 0);
    munmap(board, sizeof *board);
}

static void try_the_job(void *memory, uint32_t want) {
    staff me;
    (void)memory;
    start(&me, "jobs", &small);
    CHECK_EQ(lb_segment_take_job(&me.segment, 3), want);
    CHECK(lb_segment_take_job(&me.segment, 4));
    stop(&me);
}

static void a_job_has_one_doer(void) {
    staff me;
    start(&me, "jobs", &small);
    CHECK(lb_segment_take_job(&me.segment, 3));
    CHECK(lb_segment_take_job(&me.segment, 3));
    reap(spawn(try_the_job, NULL, false));
    lb_segment_give_job(&me.segment, 3);
    reap(spawn(try_the_job, NULL, true));
    CHECK(stop(&me));
}

static void a_removed_file_is_told(void) {
    staff me;
    lb_segment_fault fault = {0};
    start(&me, "gone", &small);
    CHECK_EQ(unlink(path_of("gone")), 0);
    CHECK_EQ(lb_segment_lock(&me.segment, PATIENCE_MS, &fault), ESTALE);
    CHECK(strstr(fault.reason, "was removed") != NULL);
    lb_segment_remove(&me.segment);                             /* nothing */
    lb_share_close(me.share);
    lb_segment_close(&me.segment);
}

/* ---- what is refused ---------------------------------------------------------------------------------------- */

static void refused(const char *dir, const char *name, int error, const char *said) {
    lb_segment_fault fault = {0};
    lb_segment segment = {.fd = 77};
    int got = lb_segment_open(&segment, dir, name, shape_of(&small), 100, &fault);
    CHECK_EQ(got, error);
    CHECK_EQ(fault.error, error);
    CHECK_EQ(segment.fd, 77);
    if (!strstr(fault.reason, said)) {
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", fault.reason, said);
        CHECK(false);
    }
}

static void names_are_plain(void) {
    char large[500];
    memset(large, 'x', sizeof large);
    large[499] = 0;
    refused(place_of_files, "", EINVAL, "not 1 to 64");
    refused(place_of_files, "a/b", EINVAL, "\"a/b\" is not");
    refused(place_of_files, large, EINVAL, "not 1 to 64");
    refused(large, "a", ENAMETOOLONG, "longer than");
    refused("no such directory", "a", ENOENT, "cannot be made");
}

static void make_file(const char *path, mode_t mode) {
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && fchmod(fd, mode) == 0);
    close(fd);
}

static void only_a_plain_file_of_ours_will_do(void) {
    const char *path = path_of("odd");
    char target[420];
    make_file(path, 0644);
    refused(place_of_files, "odd", EPERM, "has mode 644, wanted 600");
    CHECK_EQ(chmod(path, 0600), 0);
    snprintf(target, sizeof target, "%s-2", path);
    CHECK_EQ(link(path, target), 0);
    refused(place_of_files, "odd", EPERM, "hard link");
    unlink(path);
    CHECK_EQ(symlink(target, path), 0);
    refused(place_of_files, "odd", ELOOP, "a symbolic link of user");
    unlink(path);
    unlink(target);
    CHECK_EQ(mkfifo(path, 0600), 0);
    refused(place_of_files, "odd", EINVAL, "not a regular file");
    unlink(path);
    CHECK_EQ(mkdir(path, 0700), 0);
    refused(place_of_files, "odd", EISDIR, "not a regular file");
    rmdir(path);
}

static void another_users_file_is_refused(void) {
    if (geteuid() != 0) {
        printf("skipped: only root can give a file away\n");
        return;
    }
    make_file(path_of("given"), 0600);
    CHECK_EQ(chown(path_of("given"), 4242, 4242), 0);
    refused(place_of_files, "given", EPERM, "belongs to user 4242, this process runs as user 0");
    unlink(path_of("given"));
}

static void write_where_one_may_not(void *memory, uint32_t i) {
    (void)memory, (void)i;
    if (geteuid() == 0) CHECK_EQ(setuid(65534), 0);
    refused(place_of_files, "a", EACCES, "cannot be made");
}

static void a_directory_without_write_is_refused(void) {
    CHECK_EQ(chmod(place_of_files, 0555), 0);
    reap(spawn(write_where_one_may_not, NULL, 0));
    CHECK_EQ(chmod(place_of_files, 0700), 0);
}

#if defined(__linux__)
static void use_a_small_place(const char *dir) {
    lb_segment_fault fault = {0};
    lb_segment segment;
    staff me;
    CHECK_EQ(lb_segment_open(&segment, dir, "full", shape_of(&lb_share_default), 100, &fault), ENOSPC);
    CHECK(strstr(fault.reason, "no room for") != NULL);
    char path[500];
    snprintf(path, sizeof path, "%s/lbcore-%lu-full", dir, (unsigned long)geteuid());
    CHECK(!exists(path));
    lb_share_size tight = {.max_targets = 1024, .max_workers = 64};         /* a head of 450 KiB, rows of 8 KiB */
    CHECK_EQ(lb_segment_open(&me.segment, dir, "full", shape_of(&tight), 100, &fault), 0);
    lb_share_locks locks = {.context = &me.segment, .take = lb_segment_take_row, .give = lb_segment_give_row};
    CHECK_EQ(lb_share_open(&me.share, me.segment.memory, &tight, 1, &locks, NULL), LB_OK);
    me.b = lb_share_backing(me.share);
    snprintf(path, sizeof path, "%s/filler", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    for (size_t step = 1 << 16; step >= 4096; step /= 2)
        for (off_t at = lseek(fd, 0, SEEK_END); fallocate(fd, 0, at, (off_t)step) == 0; at += (off_t)step) continue;
    CHECK(me.b->row(me.share) == NULL);                         /* an answer, not a SIGBUS */
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK(me.b->row(me.share) != NULL);
    close(fd);
    unlink(path);
    lb_share_close(me.share);
    lb_segment_remove(&me.segment);
    lb_segment_close(&me.segment);
}
#endif

static void a_full_place_is_an_error(void) {
#if defined(__linux__)
    char dir[400];
    snprintf(dir, sizeof dir, "%s/small", place_of_files);
    CHECK_EQ(mkdir(dir, 0700), 0);
    if (mount("lbcore-test", dir, "tmpfs", 0, "size=1m,mode=0700")) {
        printf("skipped: a small tmpfs cannot be mounted: %s\n", strerror(errno));
    } else {
        use_a_small_place(dir);
        CHECK_EQ(umount(dir), 0);
    }
    rmdir(dir);
#else
    printf("skipped: room is reserved on Linux only\n");
#endif
}

/* ---- main --------------------------------------------------------------------------------------------------- */

int main(void) {
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(place_of_files, sizeof place_of_files, "%.200s/lbcore-test-XXXXXX", dir ? dir : "/tmp");
    if (!mkdtemp(place_of_files)) {
        perror(place_of_files);
        return 2;
    }
    alarm(LIFE_S);
    printf("seed %u\n", SEED);
    RUN(each_turn_is_taken_once);
    RUN(a_kill_at_any_moment_is_healed);
    RUN(who_is_stopped_loses_nothing);
    RUN(a_forks_calls_are_its_own);
    RUN(a_childs_close_is_its_own);
    RUN(openers_and_closers_agree_on_the_file);
    RUN(what_the_killed_leave_is_nobodys);
    RUN(another_version_is_refused_while_it_lives);
    RUN(another_size_is_refused_while_it_lives);
    RUN(most_of_a_segment_is_never_touched);
    RUN(a_load_lock_that_is_held_is_a_time_out);
    RUN(a_job_has_one_doer);
    RUN(a_removed_file_is_told);
    RUN(names_are_plain);
    RUN(only_a_plain_file_of_ours_will_do);
    RUN(another_users_file_is_refused);
    RUN(a_directory_without_write_is_refused);
    RUN(a_full_place_is_an_error);
    CHECK_EQ(rmdir(place_of_files), 0);
    return check_result();
}
#endif

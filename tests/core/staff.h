/* staff: real processes on one segment, for test_share_processes.c.
 *
 * A child tells its parent by a board, memory that both see, and by its exit status: how many checks failed.  Every
 * process has an alarm: nothing hangs.
 */
#ifndef STAFF_H
#define STAFF_H

#include "bind/segment.h"

#include "bare.h"
#include "share/share.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define PATIENCE_MS 5000u
#define LIFE_S 60u

extern char place_of_files[];       /* a new directory */

typedef struct staff {
    lb_segment segment;
    lb_share *share;
    const lb_backing *b;
} staff;

static inline lb_segment_shape shape_of(const lb_share_size *size) {
    lb_share_extent extent = {0};
    CHECK_EQ(lb_share_measure(size, &extent, NULL), LB_OK);
    return (lb_segment_shape){extent.whole, extent.head, extent.row};
}

/* Open a segment; on success the load lock is held and a row is ours. */
static inline lb_status begin_shift(staff *s, const char *name, const lb_share_size *size, lb_error *err) {
    lb_segment_fault fault = {0};
    int error = lb_segment_open(&s->segment, place_of_files, name, shape_of(size), PATIENCE_MS, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.reason);
        check_fail(__FILE__, __LINE__, "lb_segment_open", error, 0);
        _exit(1);
    }
    lb_share_locks locks = {.context = &s->segment, .take = lb_segment_take_row, .give = lb_segment_give_row};
    lb_status status = lb_share_open(&s->share, s->segment.memory, size, 42, &locks, err);
    if (status) {
        lb_segment_close(&s->segment);
        return status;
    }
    s->b = lb_share_backing(s->share);
    CHECK(s->b->row(s->share) != NULL);
    return LB_OK;
}

static inline void start(staff *s, const char *name, const lb_share_size *size) {
    CHECK_EQ(begin_shift(s, name, size, NULL), LB_OK);
    lb_segment_unlock(&s->segment);
}

static inline void lock(staff *s) {
    lb_segment_fault fault = {0};
    CHECK_EQ(lb_segment_lock(&s->segment, PATIENCE_MS, &fault), 0);
}

/* True if the file was removed. */
static inline bool stop(staff *s) {
    lock(s);
    bool alone = lb_share_close(s->share);
    if (alone) lb_segment_remove(&s->segment);
    lb_segment_close(&s->segment);
    return alone;
}

static inline uint32_t seat(staff *s, uint64_t identity) {
    uint32_t place = LB_NONE;
    lock(s);
    CHECK_EQ(s->b->seat(s->share, (lb_mark){1, 1}, (lb_mark){2, identity}, "up target", &place, NULL), LB_OK);
    lb_segment_unlock(&s->segment);
    return place;
}

static inline void *new_board(size_t bytes) {
    void *board = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) abort();
    return board;
}

static inline void nap_us(long us) { nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL); }

/* Wait until a word of a board has reached a value.  A check fails, and all is over, where that takes too long. */
static inline void await(lb_word *word, uint64_t value) {
    uint64_t end_ms = lb_segment_now_ms() + LIFE_S * 500;
    while (lb_word_read(word) < value) {
        nap_us(50);
        if (lb_segment_now_ms() < end_ms) continue;
        check_fail(__FILE__, __LINE__, "somebody does not come", (long long)lb_word_read(word), (long long)value);
        exit(1);
    }
}

static inline pid_t spawn(void (*work)(void *board, uint32_t i), void *board, uint32_t i) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid) return pid;
    alarm(LIFE_S);
    check_failed = 0;
    work(board, i);
    _exit(check_failed != 0);
}

static inline void reap(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) check_fail(__FILE__, __LINE__, "a child's status", status, 0);
}

static inline void kill_and_reap(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The path of a segment. */
static inline const char *path_of(const char *name) {
    static char path[400];
    lb_segment_fault fault;
    CHECK_EQ(lb_segment_name(path, sizeof path, place_of_files, name, &fault), 0);
    return path;
}

static inline bool exists(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0;
}

#endif

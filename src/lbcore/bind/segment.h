/* segment: the file behind a shared State, and its locks: what share/ asks of the operating system.
 *
 *   <dir>/lbcore-<uid>-<name>     0600, sparse; its size is the whole extent of share/share.h
 *
 *   bytes of the file             0 .. whole              mapped; never read or written otherwise
 *   record locks, far behind it   LB_SEGMENT_LOCKS + 0                load: who opens, seats, closes
 *                                 LB_SEGMENT_LOCKS + 1 + row          held for life by the worker of that row
 *                                 LB_SEGMENT_LOCKS + 4096 + job       who does a job for all, such as probing an upstream
 *
 * POSIX record locks belong to (process, file).  The kernel lets go of them when the process ends, however it ends, and
 * also when the process closes ANY descriptor of the file.  So: one lb_segment a process and name, closed only at the
 * end.  A child of a fork inherits descriptor and mapping but no lock; if it closes the descriptor, its parent's locks
 * stay.  It may go on with the same lb_segment: lb_share_forked(), lb_segment_lock(), and a row of its own.
 *
 * Life     made by the first opener, removed under the load lock by the last worker that closes in order.  A segment in
 *          which no row is locked belongs to nobody (its workers were killed): the next opener removes it and makes a new
 *          one, whatever layout it has.  Hence: claim a row before the first lb_segment_unlock().  Who waited for the
 *          load lock of a file that was removed meanwhile gets ESTALE, closes, and opens anew.
 * Memory   a write to a page that a full file system cannot give is a SIGBUS.  On Linux the head is reserved at open, a
 *          row when its lock is taken, and a lack of room is an error there.  Where the file system cannot reserve
 *          (EOPNOTSUPP) and on other systems this is left to luck.
 * Errors   an errno and a sentence; the caller knows that shared_dir= names another place.
 *
 * Plain C, no Python.  Include it first: it asks the system's headers for more than C11.
 */
#ifndef LBCORE_BIND_SEGMENT_H
#define LBCORE_BIND_SEGMENT_H

#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct lb_segment_fault {
    int error;                      /* an errno */
    char reason[400];
} lb_segment_fault;

typedef struct lb_segment_shape {   /* as lb_share_extent says */
    size_t whole, head, row;
} lb_segment_shape;

typedef struct lb_segment {
    int fd;                         /* kept for life, see above */
    void *memory;
    lb_segment_shape shape;
    char path[400];
} lb_segment;

#if defined(_WIN32)

static inline int lb_segment_open(lb_segment *out, const char *dir, const char *name, lb_segment_shape shape,
                                  uint32_t wait_ms, lb_segment_fault *fault) {
    (void)out, (void)dir, (void)name, (void)shape, (void)wait_ms;
    fault->error = ENOSYS;
    snprintf(fault->reason, sizeof fault->reason, "shared State is not available on Windows");
    return ENOSYS;
}
static inline int lb_segment_lock(lb_segment *segment, uint32_t wait_ms, lb_segment_fault *fault) {
    return lb_segment_open(segment, "", "", segment->shape, wait_ms, fault);
}
/* What the binding says where a thread of this very process loads for too long. */
static inline int lb_segment_busy(const lb_segment *segment, lb_segment_fault *fault) {
    return lb_segment_fail(fault, ETIMEDOUT, "%s is being loaded by another thread of this process", segment->path);
}

/* Is this what lb_segment_lock() says of a file that others cannot find any more? */
static inline bool lb_segment_was_removed(int error) { return error == ESTALE; }

static inline void lb_segment_unlock(lb_segment *segment) { (void)segment; }
static inline bool lb_segment_take_row(void *segment, uint32_t row) { return (void)segment, (void)row, false; }
static inline void lb_segment_give_row(void *segment, uint32_t row) { (void)segment, (void)row; }
static inline bool lb_segment_take_job(lb_segment *segment, uint32_t job) { return (void)segment, (void)job, false; }
static inline void lb_segment_give_job(lb_segment *segment, uint32_t job) { (void)segment, (void)job; }
static inline void lb_segment_remove(lb_segment *segment) { (void)segment; }
static inline void lb_segment_close(lb_segment *segment) { (void)segment; }
static inline int lb_segment_find(lb_segment *out, const char *dir, const char *name, void *head, size_t bytes,
                                  uint32_t wait_ms, lb_segment_fault *fault) {
    (void)head, (void)bytes;
    return lb_segment_open(out, dir, name, (lb_segment_shape){0}, wait_ms, fault);
}
static inline int lb_segment_map(lb_segment *segment, lb_segment_fault *fault) {
    return lb_segment_open(segment, "", "", segment->shape, 0, fault);
}
static inline int lb_segment_busy(const lb_segment *segment, lb_segment_fault *fault) {
    return lb_segment_open(NULL, "", "", segment->shape, 0, fault);
}
static inline bool lb_segment_was_removed(int error) { return (void)error, false; }

#else

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LB_SEGMENT_LOCKS ((off_t)1 << 40)
#define LB_SEGMENT_ROWS 64          /* as LB_SHARE_MAX_WORKERS */
#define LB_SEGMENT_JOBS 4096
#define LB_SEGMENT_TRIES 16         /* openers that meet a file which is removed under their hands */

__attribute__((format(printf, 3, 4)))
static inline int lb_segment_fail(lb_segment_fault *fault, int error, const char *reason, ...) {
    va_list values;
    va_start(values, reason);
    vsnprintf(fault->reason, sizeof fault->reason, reason, values);
    va_end(values);
    fault->error = error;
    return error;
}

/* ---- record locks ------------------------------------------------------------------------------------------- */

/* 0, or the errno; EAGAIN: another process has it. */
static inline int lb_segment_flock(int fd, short type, off_t first, off_t n) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LB_SEGMENT_LOCKS + first, .l_len = n};
    while (fcntl(fd, F_SETLK, &lock))
        if (errno != EINTR) return errno == EACCES ? EAGAIN : errno;
    return 0;
}

/* The process that has one of these locks; 0: none (but perhaps this one), -1: it cannot be told. */
static inline pid_t lb_segment_holder(int fd, off_t first, off_t n) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LB_SEGMENT_LOCKS + first, .l_len = n};
    if (fcntl(fd, F_GETLK, &lock)) return -1;
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid ? lock.l_pid : -1;
}

static inline uint64_t lb_segment_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline int lb_segment_wait(int fd, const char *path, uint32_t wait_ms, lb_segment_fault *fault) {
    const struct timespec nap = {.tv_nsec = 500000};
    uint64_t end_ms = lb_segment_now_ms() + wait_ms;
    for (;;) {
        int error = lb_segment_flock(fd, F_WRLCK, 0, 1);
        if (error == 0) return 0;
        if (error != EAGAIN) return lb_segment_fail(fault, error, "%s cannot be locked: %s", path, strerror(error));
        if (lb_segment_now_ms() >= end_ms) break;
        nanosleep(&nap, NULL);
    }
    return lb_segment_fail(fault, ETIMEDOUT, "%s is being loaded by process %ld for more than %u ms", path,
                           (long)lb_segment_holder(fd, 0, 1), wait_ms);
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static inline int lb_segment_name(char *path, size_t size, const char *dir, const char *name, lb_segment_fault *fault) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    if (n < 1 || n > 64 || strspn(name, allowed) != n)
        return lb_segment_fail(fault, EINVAL, "the name \"%.70s\" is not 1 to 64 of A-Z a-z 0-9 . _ -", name);
    int written = snprintf(path, size, "%s/lbcore-%lu-%s", dir, (unsigned long)geteuid(), name);
    if (written < 0 || (size_t)written >= size)
        return lb_segment_fail(fault, ENAMETOOLONG, "the path %.40s.../lbcore-%lu-%s is longer than %zu bytes", dir,
                               (unsigned long)geteuid(), name, size - 1);
    return 0;
}

/* Ours alone: a plain file of this user that nobody else may open. */
static inline int lb_segment_vet(int fd, const char *path, lb_segment_fault *fault) {
    struct stat s;
    if (fstat(fd, &s)) return lb_segment_fail(fault, errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode)) return lb_segment_fail(fault, EINVAL, "%s is not a regular file", path);
    if (s.st_uid != geteuid())
        return lb_segment_fail(fault, EPERM, "%s belongs to user %lu, this process runs as user %lu", path,
                               (unsigned long)s.st_uid, (unsigned long)geteuid());
    if ((s.st_mode & 0777) != 0600)
        return lb_segment_fail(fault, EPERM, "%s of user %lu has mode %03o, wanted 600", path, (unsigned long)s.st_uid,
                               (unsigned)s.st_mode & 0777u);
    if (s.st_nlink > 1) return lb_segment_fail(fault, EPERM, "%s of user %lu has another name too (a hard link)", path,
                                               (unsigned long)s.st_uid);
    return 0;
}

/* Whoever owns what stands there, for the message: we may not open it. */
static inline int lb_segment_refused(const char *path, int error, lb_segment_fault *fault) {
    struct stat s;
    if (lstat(path, &s)) return lb_segment_fail(fault, error, "%s cannot be made: %s", path, strerror(error));
    return lb_segment_fail(fault, error, "%s, %s of user %lu, cannot be opened: %s", path,
                           S_ISLNK(s.st_mode) ? "a symbolic link" : S_ISREG(s.st_mode) ? "a file" : "not a regular file",
                           (unsigned long)s.st_uid, strerror(error));
}

/* The path names another file now, or none. */
static inline bool lb_segment_is_gone(int fd, const char *path) {
    struct stat mine, there;
    if (fstat(fd, &mine) || lstat(path, &there)) return true;
    return mine.st_ino != there.st_ino || mine.st_dev != there.st_dev;
}

/* Memory for a part of the file, before it is touched. */
static inline int lb_segment_reserve(int fd, size_t from, size_t bytes) {
#if defined(__linux__)
    while (fallocate(fd, 0, (off_t)from, (off_t)bytes))
        if (errno != EINTR) return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
#else
    (void)fd, (void)from, (void)bytes;
#endif
    return 0;
}

/* The size it must have, its head reserved, and a mapping.  Under the load lock.  A file of another size is mapped as it is:
 * it has living workers, and share/ says by its head what is wrong with it. */
static inline int lb_segment_map(lb_segment *s, lb_segment_fault *fault) {
    struct stat is;
    int error = fstat(s->fd, &is) ? errno : 0;
    bool other = !error && is.st_size > 0 && (size_t)is.st_size != s->shape.whole;
    if (!error && is.st_size == 0 && ftruncate(s->fd, (off_t)s->shape.whole)) error = errno;
    if (!error && !other) error = lb_segment_reserve(s->fd, 0, s->shape.head);
    if (error) return lb_segment_fail(fault, error, "%s: no room for %zu bytes: %s", s->path, s->shape.head, strerror(error));
    void *memory = mmap(NULL, s->shape.whole, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (memory == MAP_FAILED)
        return lb_segment_fail(fault, errno, "%s: %zu bytes cannot be mapped: %s", s->path, s->shape.whole, strerror(errno));
    if (other && *(const uint64_t *)memory == 0) {              /* share/ would take it for a new one */
        munmap(memory, s->shape.whole);
        return lb_segment_fail(fault, EINVAL, "%s is not a segment: it has %lld bytes", s->path, (long long)is.st_size);
    }
    s->memory = memory;
    return 0;
}

/* ---- what the binding calls --------------------------------------------------------------------------------- */

/* Take the load lock, within wait_ms.  0; ETIMEDOUT; ESTALE: the file was removed, close and open anew. */
static inline int lb_segment_lock(lb_segment *segment, uint32_t wait_ms, lb_segment_fault *fault) {
    int error = lb_segment_wait(segment->fd, segment->path, wait_ms, fault);
    if (error) return error;
    if (!lb_segment_is_gone(segment->fd, segment->path)) return 0;
    lb_segment_flock(segment->fd, F_UNLCK, 0, 1);
    return lb_segment_fail(fault, ESTALE, "%s was removed", segment->path);
}

/* What the binding says where a thread of this very process loads for too long. */
static inline int lb_segment_busy(const lb_segment *segment, lb_segment_fault *fault) {
    return lb_segment_fail(fault, ETIMEDOUT, "%s is being loaded by another thread of this process", segment->path);
}

/* Is this what lb_segment_lock() says of a file that others cannot find any more? */
static inline bool lb_segment_was_removed(int error) { return error == ESTALE; }

static inline void lb_segment_unlock(lb_segment *segment) { lb_segment_flock(segment->fd, F_UNLCK, 0, 1); }

/* For lb_share_locks; the context is the segment. */
static inline void lb_segment_give_row(void *segment, uint32_t row) {
    lb_segment_flock(((lb_segment *)segment)->fd, F_UNLCK, 1 + (off_t)row, 1);
}

static inline bool lb_segment_take_row(void *segment, uint32_t row) {
    lb_segment *s = (lb_segment *)segment;
    if (lb_segment_flock(s->fd, F_WRLCK, 1 + (off_t)row, 1)) return false;
    if (lb_segment_reserve(s->fd, s->shape.head + row * s->shape.row, s->shape.row) == 0) return true;
    lb_segment_give_row(segment, row);
    return false;
}

/* True if this process does the job from now on, or did already; never waits. */
static inline bool lb_segment_take_job(lb_segment *segment, uint32_t job) {
    return lb_segment_flock(segment->fd, F_WRLCK, LB_SEGMENT_JOBS + (off_t)job, 1) == 0;
}

static inline void lb_segment_give_job(lb_segment *segment, uint32_t job) {
    lb_segment_flock(segment->fd, F_UNLCK, LB_SEGMENT_JOBS + (off_t)job, 1);
}

/* Under the load lock, where lb_share_close() says that nobody is left. */
static inline void lb_segment_remove(lb_segment *segment) {
    if (!lb_segment_is_gone(segment->fd, segment->path)) unlink(segment->path);
}

/* Lets go of every lock that this process has on the file. */
static inline void lb_segment_close(lb_segment *segment) {
    if (segment->memory) munmap(segment->memory, segment->shape.whole);
    segment->memory = NULL;
    close(segment->fd);
    segment->fd = -1;
}

/* One try, the load lock not yet ours.  EAGAIN: the file was removed meanwhile, or was nobody's and is removed now. */
static inline int lb_segment_settle(lb_segment *s, uint32_t wait_ms, lb_segment_fault *fault) {
    struct stat is;
    int error = lb_segment_vet(s->fd, s->path, fault);
    if (!error) error = lb_segment_wait(s->fd, s->path, wait_ms, fault);
    if (error) return error;
    if (fstat(s->fd, &is) || lb_segment_is_gone(s->fd, s->path)) return EAGAIN;
    bool nobodys = lb_segment_holder(s->fd, 1, LB_SEGMENT_ROWS) == 0;
    if (nobodys && is.st_size > 0) {
        unlink(s->path);
        return EAGAIN;
    }
    error = lb_segment_map(s, fault);
    if (error && nobodys) unlink(s->path);
    return error;
}

/* Open the segment `name` in `dir`, or make it; the load lock is ours then.  0 or an errno, and nothing has changed. */
static inline int lb_segment_open(lb_segment *out, const char *dir, const char *name, lb_segment_shape shape,
                                  uint32_t wait_ms, lb_segment_fault *fault) {
    lb_segment s = {.fd = -1, .shape = shape};
    int error = lb_segment_name(s.path, sizeof s.path, dir, name, fault);
    if (error) return error;
    for (int i = 0; i < LB_SEGMENT_TRIES; i++) {
        s.fd = open(s.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (s.fd < 0) return lb_segment_refused(s.path, errno, fault);
        error = lb_segment_settle(&s, wait_ms, fault);
        if (error == 0) {
            *out = s;
            return 0;
        }
        close(s.fd);
        if (error != EAGAIN) return error;
    }
    return lb_segment_fail(fault, EAGAIN, "%s is removed again and again", s.path);
}

/* ---- for tools: what is there, and never anything new ------------------------------------------------------- */

static inline int lb_segment_nobody(const char *dir, const char *name, lb_segment_fault *fault) {
    return lb_segment_fail(fault, ENOENT, "nobody shares under %s in %s", name, dir);
}

/* The load lock, and the first bytes of a segment that has living workers. */
static inline int lb_segment_read(lb_segment *s, void *head, size_t bytes, uint32_t wait_ms, lb_segment_fault *fault) {
    int error = lb_segment_vet(s->fd, s->path, fault);
    if (!error) error = lb_segment_wait(s->fd, s->path, wait_ms, fault);
    if (error) return error;
    if (lb_segment_is_gone(s->fd, s->path) || lb_segment_holder(s->fd, 1, LB_SEGMENT_ROWS) == 0) return ENOENT;
    if (pread(s->fd, head, bytes, 0) == (ssize_t)bytes) return 0;
    return lb_segment_fail(fault, EINVAL, "%s is not a segment: it has less than %zu bytes", s->path, bytes);
}

/* The segment that workers share as `name` in `dir`: its first bytes in head; the load lock is ours then.  Fill in the shape
 * and lb_segment_map() it.  ENOENT where nobody does, or another errno: nothing has changed.
 * Not in a process that has it open already: see above. */
static inline int lb_segment_find(lb_segment *out, const char *dir, const char *name, void *head, size_t bytes,
                                  uint32_t wait_ms, lb_segment_fault *fault) {
    lb_segment s = {.fd = -1};
    int error = lb_segment_name(s.path, sizeof s.path, dir, name, fault);
    if (error) return error;
    s.fd = open(s.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (s.fd < 0 && errno == ENOENT) return lb_segment_nobody(dir, name, fault);
    if (s.fd < 0) return lb_segment_refused(s.path, errno, fault);
    error = lb_segment_read(&s, head, bytes, wait_ms, fault);
    if (error) close(s.fd);
    else *out = s;
    return error == ENOENT ? lb_segment_nobody(dir, name, fault) : error;
}

#endif
#endif

/* A disk that fails when it is told to, for the files below one directory.
 *
 * Preloaded below a program, it stands in for the calls that change files. It counts them, and by
 * its rules lets the n-th fail, tears it on a sector's border, kills the process before or after
 * it, or drops a sync without a word. With a journal it also records what no sync has made durable
 * (shim_journal.h). And it can move the wall clock.
 *
 *   CRASH_SHIM_DIR      the directory, absolute and without links; what is elsewhere passes by
 *   CRASH_SHIM_CONTROL  a file of struct control, mapped: rules are read there and counts written,
 *                         so that a test sets and reads them while the program runs, and after
 *   CRASH_SHIM_JOURNAL  and CRASH_SHIM_KEPT: the journal's file and its folder, if there is to
 *                         be one
 *
 * The program has an fdatasync of its own, which passes on to the next one by name: this one. The
 * counts go on in the children of the process, and a rule that kills means the whole. */
#include "shim_journal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Numbers and layout are written by shim.py. */
enum call { CALL_WRITE = 1, CALL_SYNC = 2, CALL_META = 4 }; /* meta: a write that syncs */

enum action {
    ACT_NONE = 0,
    ACT_FAIL = 1,        /* with error, nothing done */
    ACT_TEAR_FAIL = 2,   /* a write leaves some sectors, then fails with error */
    ACT_TEAR_KILL = 3,   /* … then the process is gone */
    ACT_SHORT = 4,       /* … and says how many bytes */
    ACT_KILL_BEFORE = 5, /* nothing done, and the process is gone */
    ACT_KILL_AFTER = 6,  /* done, and the process is gone */
    ACT_DROP = 7,        /* a sync does nothing and says that it did */
    ACT_FAIL_ON = 8,     /* as ACT_FAIL, and every such call after it, until the rule is cleared */
    ACT_PAUSE = 9,       /* stopped before it, until somebody sends SIGCONT */
};

struct rule {
    _Atomic uint64_t calls;     /* the kinds of enum call that it counts; 0: no rule */
    _Atomic uint64_t countdown; /* 1: the next one; 0: over */
    uint64_t action, error;
    uint64_t sectors; /* that a torn write leaves */
    _Atomic uint64_t fired;
    uint64_t fired_call, fired_len;
};

#define RULES_MAX 4

struct control {
    _Atomic uint64_t writes, syncs, metas;
    _Atomic int64_t clock_ms; /* added to the wall clock */
    struct rule rules[RULES_MAX];
};

static struct {
    struct control *control; /* NULL: everything passes by */
    char dir[PATH_MAX];
    size_t dir_len;
    pid_t pid;
} shim;

static void __attribute__((constructor)) shim_start(void)
{
    const char *dir = getenv("CRASH_SHIM_DIR");
    const char *path = getenv("CRASH_SHIM_CONTROL");
    int fd;

    if (!dir || !path)
        return;
    shim.dir_len = strlen(dir);
    if (shim.dir_len == 0 || shim.dir_len >= sizeof(shim.dir))
        abort();
    memcpy(shim.dir, dir, shim.dir_len + 1);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    shim.control = mmap(NULL, sizeof(*shim.control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || shim.control == MAP_FAILED)
        abort();
    (void)close(fd);
    shim.pid = getpid();
    journal_open(getenv("CRASH_SHIM_JOURNAL"), getenv("CRASH_SHIM_KEPT"));
}

/* ---- which files ---------------------------------------------------------------- */

static bool is_below(const char *path)
{
    return strncmp(path, shim.dir, shim.dir_len) == 0 &&
           (path[shim.dir_len] == '/' || path[shim.dir_len] == 0);
}

static bool is_ours(int fd)
{
    char link[64], path[PATH_MAX];
    struct stat st;
    ssize_t n;

    /* Sockets and pipes are most of what is written; they cost one call. */
    if (!shim.control || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return false;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    return is_below(path);
}

/* True if the name, as such a call gives it, is of an entry of the directory itself. */
static bool is_ours_at(int dir, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');

    if (!shim.control || !journal_is_open())
        return false;
    *name = slash ? slash + 1 : path;
    if (path[0] == '/')
        return is_below(path) && (size_t)(slash - path) == shim.dir_len;
    return !slash && dir != AT_FDCWD && is_ours(dir);
}

/* The directory as a descriptor, for names that were given with their whole path. */
static int dir_open(int dir, const char *path)
{
    if (path[0] != '/')
        return dir;
    return (int)syscall(SYS_openat, AT_FDCWD, shim.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

static void dir_close(int dir, const char *path)
{
    if (path[0] == '/')
        (void)close(dir);
}

static bool is_synced_by_itself(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

/* ---- rules ---------------------------------------------------------------------- */

static _Noreturn void die(void)
{
    (void)kill(shim.pid, SIGKILL);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Takes one off; true for the caller that takes the last. */
static bool counts_down(struct rule *r)
{
    uint64_t n = atomic_load(&r->countdown);

    while (n > 0) {
        if (n == 1 && r->action == ACT_FAIL_ON)
            return true;
        if (atomic_compare_exchange_weak(&r->countdown, &n, n - 1))
            return n == 1;
    }
    return false;
}

/* Counts the call; the rule that it meets, or NULL. */
static struct rule *meet(enum call call, size_t len)
{
    struct control *c = shim.control;
    struct rule *met = NULL;

    atomic_fetch_add(call == CALL_SYNC ? &c->syncs : call == CALL_META ? &c->metas : &c->writes, 1);
    for (unsigned i = 0; i < RULES_MAX; i++) {
        struct rule *r = &c->rules[i];

        if (!(atomic_load(&r->calls) & call) || !counts_down(r) || met)
            continue;
        r->fired_call = call;
        r->fired_len = len;
        atomic_fetch_add(&r->fired, 1);
        met = r;
    }
    if (met && met->action == ACT_KILL_BEFORE)
        die();
    if (met && met->action == ACT_PAUSE)
        (void)kill(getpid(), SIGSTOP);
    return met;
}

static int fail(const struct rule *r)
{
    errno = (int)r->error;
    return -1;
}

/* ---- writes --------------------------------------------------------------------- */

static size_t len_of(const struct iovec *v, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += v[i].iov_len;
    return len;
}

static ssize_t do_write(int fd, const struct iovec *v, int n, off_t at, bool moves)
{
    if (moves)
        return syscall(SYS_writev, fd, v, n);
    return syscall(SYS_pwritev, fd, v, n, (unsigned long)at, (unsigned long)0);
}

/* Leaves the first sectors of the write, as a disk that stops in between would. */
static size_t tear(int fd, const struct iovec *v, int n, off_t at, const struct rule *r)
{
    size_t whole = len_of(v, n);
    size_t left = r->sectors * SECTOR_BYTES;
    size_t done = 0;

    if (left >= whole)
        left = (whole - 1) / SECTOR_BYTES * SECTOR_BYTES;
    for (int i = 0; i < n && done < left; i++) {
        size_t part = v[i].iov_len < left - done ? v[i].iov_len : left - done;

        if (syscall(SYS_pwrite64, fd, v[i].iov_base, part, at + (off_t)done) != (long)part)
            abort();
        done += part;
    }
    return done;
}

static ssize_t write_by_rule(int fd, const struct iovec *v, int n, off_t at, bool moves,
                             const struct rule *r)
{
    ssize_t done;

    switch (r->action) {
    case ACT_FAIL:
    case ACT_FAIL_ON:
        return fail(r);
    case ACT_TEAR_FAIL:
        (void)tear(fd, v, n, at, r);
        return fail(r);
    case ACT_TEAR_KILL:
        (void)tear(fd, v, n, at, r);
        die();
    case ACT_SHORT:
        done = (ssize_t)tear(fd, v, n, at, r);
        if (moves)
            (void)lseek(fd, at + done, SEEK_SET);
        return done;
    case ACT_KILL_AFTER:
        (void)do_write(fd, v, n, at, moves);
        die();
    default:
        return do_write(fd, v, n, at, moves);
    }
}

static ssize_t shim_write(int fd, const struct iovec *v, int n, off_t at, bool moves)
{
    bool syncs = is_synced_by_itself(fd);
    size_t len = len_of(v, n);
    struct rule *r;
    ssize_t done;

    if (moves)
        at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    r = len > 0 ? meet(syncs ? CALL_META : CALL_WRITE, len) : NULL;
    if (journal_is_open())
        journal_before_write(fd, at, len);
    done = r ? write_by_rule(fd, v, n, at, moves, r) : do_write(fd, v, n, at, moves);
    if (done > 0 && syncs && journal_is_open())
        journal_after_synced_write(fd, at, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *p, size_t n)
{
    struct iovec v = { (void *)p, n };

    return is_ours(fd) ? shim_write(fd, &v, 1, 0, true) : syscall(SYS_write, fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    return is_ours(fd) ? shim_write(fd, v, n, 0, true) : syscall(SYS_writev, fd, v, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    struct iovec v = { (void *)p, n };

    return is_ours(fd) ? shim_write(fd, &v, 1, at, false) : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    return is_ours(fd) ? shim_write(fd, v, n, at, false) : do_write(fd, v, n, at, false);
}

int ftruncate(int fd, off_t size)
{
    if (is_ours(fd) && journal_is_open())
        journal_before_truncate(fd, size);
    return (int)syscall(SYS_ftruncate, fd, size);
}

/* ---- syncs ---------------------------------------------------------------------- */

static int shim_sync(int fd, long number)
{
    struct rule *r = meet(CALL_SYNC, 0);
    int rc;

    if (r && (r->action == ACT_FAIL || r->action == ACT_FAIL_ON))
        return fail(r);
    if (r && r->action == ACT_DROP)
        return 0;
    rc = (int)syscall(number, fd);
    if (rc == 0 && journal_is_open())
        journal_after_sync(fd);
    if (r && r->action == ACT_KILL_AFTER)
        die();
    return rc;
}

int fsync(int fd)
{
    return is_ours(fd) ? shim_sync(fd, SYS_fsync) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_ours(fd) ? shim_sync(fd, SYS_fdatasync) : (int)syscall(SYS_fdatasync, fd);
}

/* ---- names ---------------------------------------------------------------------- */

static int shim_openat(int dir, const char *path, int flags, mode_t mode)
{
    const char *name;
    bool may_create = (flags & O_CREAT) != 0 && is_ours_at(dir, path, &name);
    bool is_new = may_create && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);

    if (fd >= 0 && is_new) {
        int at = dir_open(dir, path);

        journal_after_create(at, name);
        dir_close(at, path);
    }
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return shim_openat(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return shim_openat(dir, path, flags, mode);
}

int unlinkat(int dir, const char *path, int flags)
{
    const char *name;

    if (is_ours_at(dir, path, &name)) {
        int at = dir_open(dir, path);

        journal_before_unlink(at, name);
        dir_close(at, path);
    }
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int dir, const char *from, int dir_to, const char *to)
{
    const char *name, *name_to;

    if (is_ours_at(dir, from, &name) && is_ours_at(dir_to, to, &name_to)) {
        int at = dir_open(dir, from);

        journal_before_rename(at, name, name_to);
        dir_close(at, from);
    }
    return (int)syscall(SYS_renameat2, dir, from, dir_to, to, 0U);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* ---- the wall clock ------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);

    if (rc == 0 && clock == CLOCK_REALTIME && shim.control) {
        int64_t ms = atomic_load(&shim.control->clock_ms);

        out->tv_sec += (time_t)(ms / 1000);
        out->tv_nsec += (long)(ms % 1000) * 1000000;
        if (out->tv_nsec >= 1000000000 || out->tv_nsec < 0) {
            long carry = out->tv_nsec < 0 ? -1 : 1;

            out->tv_sec += carry;
            out->tv_nsec -= carry * 1000000000;
        }
    }
    return rc;
}

#include "store_dir.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROBE_BYTES (1u << 20)

void store_say(char *out, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(out, LMDB_TEXT_MAX, fmt, args);
    va_end(args);
}

const char *store_dir_file(const struct store_dir *d, const char *name, char *out)
{
    int n = snprintf(out, STORE_FILE_PATH_MAX, "%s/%s", d->path, name);

    REQUIRE(n > 0 && n < STORE_FILE_PATH_MAX);
    return out;
}

bool store_dir_has(const struct store_dir *d, const char *name)
{
    return faccessat(d->fd, name, F_OK, 0) == 0;
}

enum err store_dir_remove(const struct store_dir *d, const char *name)
{
    return unlinkat(d->fd, name, 0) == 0 || errno == ENOENT ? ERR_OK : ERR_IO;
}

/* ---- opening -------------------------------------------------------------------- */

static enum err dir_say(struct lmdb_report *report, const struct store_dir *d, const char *what,
                        int error)
{
    store_say(report->why, "%s %s: %s", d->path, what, strerror(error));
    return error == ENOSPC || error == EDQUOT ? ERR_FULL : ERR_IO;
}

/* The entry of a new directory is durable only when the parent is. */
static int dir_sync_parent(const struct store_dir *d)
{
    int fd = openat(d->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return errno;
    rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc;
}

static enum err dir_enter(struct store_dir *d, bool is_reader, struct lmdb_report *report)
{
    bool is_new = !is_reader && mkdir(d->path, 0700) == 0;
    struct stat st;
    int rc;

    if (!is_reader && !is_new && errno != EEXIST)
        return dir_say(report, d, "can't be made", errno);
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        rc = errno;
        (void)dir_say(report, d, "can't be opened", rc);
        return rc == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    if (is_new) {
        rc = dir_sync_parent(d);
        if (rc != 0)
            return dir_say(report, d, "can't be made", rc);
    }
    if (fstat(d->fd, &st) != 0)
        return dir_say(report, d, "can't be opened", errno);
    if (!is_reader && (st.st_mode & (S_IRWXG | S_IRWXO)))
        store_say(report->warning, "others than its owner may enter %s (mode %03o, should be 700)",
                  d->path, (unsigned)st.st_mode & 0777);
    return ERR_OK;
}

static void dir_say_busy(const struct store_dir *d, struct lmdb_report *report)
{
    char who[24] = "";
    ssize_t n = pread(d->lock_fd, who, sizeof(who) - 1, 0);

    who[n > 0 ? (size_t)n : 0] = '\0';
    who[strcspn(who, "\n")] = '\0';
    store_say(report->why, "%s is in use by another server (process %s)", d->path,
              who[0] ? who : "unknown");
}

static enum err dir_lock(struct store_dir *d, struct lmdb_report *report)
{
    char who[24];
    int n;

    d->lock_fd = openat(d->fd, STORE_FILE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return dir_say(report, d, "can't be written", errno);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return dir_say(report, d, "can't be locked", errno);
        dir_say_busy(d, report);
        return ERR_BUSY;
    }
    /* For people only, so it does no harm if the disk is full. */
    n = snprintf(who, sizeof(who), "%ld\n", (long)getpid());
    if (ftruncate(d->lock_fd, 0) == 0 && pwrite(d->lock_fd, who, (size_t)n, 0) != n)
        snprintf(report->note, sizeof(report->note), "the lock file does not hold our process id");
    return ERR_OK;
}

enum err store_dir_open(struct store_dir *d, const char *path, bool is_reader,
                        struct lmdb_report *report)
{
    size_t n = strlen(path);
    enum err err;

    d->fd = d->lock_fd = -1;
    if (n == 0 || n >= sizeof(d->path)) {
        store_say(report->why, "the path of the data directory is %s", n ? "too long" : "empty");
        return ERR_IO;
    }
    memcpy(d->path, path, n + 1);
    err = dir_enter(d, is_reader, report);
    if (err == ERR_OK && !is_reader)
        err = dir_lock(d, report);
    if (err != ERR_OK)
        store_dir_close(d);
    return err;
}

void store_dir_close(struct store_dir *d)
{
    if (d->lock_fd >= 0)
        (void)close(d->lock_fd);
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = d->lock_fd = -1;
}

/* ---- changing files ------------------------------------------------------------- */

static int file_sync(const struct store_dir *d, const char *name)
{
    int fd = openat(d->fd, name, O_RDWR | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return errno;
    rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc;
}

int store_dir_adopt(const struct store_dir *d, const char *from, const char *to)
{
    int rc = file_sync(d, from);

    if (rc != 0)
        return rc;
    if (renameat(d->fd, from, d->fd, to) != 0)
        return errno;
    return fsync(d->fd) == 0 ? 0 : errno;
}

enum err store_dir_mark(const struct store_dir *d, const char *why)
{
    int fd = openat(d->fd, STORE_FILE_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return ERR_IO;
    /* That it is there is what counts; the text is for people. */
    ok = write(fd, why, strlen(why)) >= 0 && write(fd, "\n", 1) >= 0;
    ok = fsync(fd) == 0 && ok;
    (void)close(fd);
    return fsync(d->fd) == 0 && ok ? ERR_OK : ERR_IO;
}

/* ---- room ----------------------------------------------------------------------- */

/* Writes, because free blocks are not the whole story: quotas, reserves, file systems that count
 * in their own way. */
bool store_dir_is_full(const struct store_dir *d)
{
    int fd = openat(d->fd, STORE_FILE_PROBE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_full = false;
    char *zeros;

    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT;
    zeros = mem_zalloc(PROBE_BYTES);
    for (size_t done = 0; done < PROBE_BYTES && !is_full;) {
        ssize_t n = write(fd, zeros, PROBE_BYTES - done);

        if (n > 0) {
            done += (size_t)n;
        } else {
            is_full = n < 0 && (errno == ENOSPC || errno == EDQUOT);
            if (!is_full && errno != EINTR)
                break;
        }
    }
    mem_free(zeros);
    (void)close(fd);
    (void)unlinkat(d->fd, STORE_FILE_PROBE, 0);
    return is_full;
}

int store_dir_reserve(const struct store_dir *d, const char *name, unsigned bytes)
{
    int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return errno;
    rc = posix_fallocate(fd, 0, bytes);
    (void)close(fd);
    return rc;
}

uint32_t store_dir_free_ppm(const struct store_dir *d)
{
    struct statvfs fs;

    if (fstatvfs(d->fd, &fs) != 0 || fs.f_blocks == 0)
        return 1000000;
    return (uint32_t)((double)fs.f_bavail * 1e6 / (double)fs.f_blocks);
}

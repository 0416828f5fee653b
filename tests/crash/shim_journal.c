#include "shim_journal.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FD_LEAST 900 /* out of the way of what the program counts on */
#define NAMES_MAX 512

struct record {
    uint32_t kind, name_len;
    uint64_t inode, offset, len, size_before;
};

static struct {
    int fd, kept_fd;
    pthread_mutex_t lock;
} journal = { .fd = -1, .kept_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

void journal_open(const char *path, const char *kept)
{
    int fd;

    if (!path || !kept)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    journal.fd = fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);
    (void)close(fd);
    fd = (int)syscall(SYS_openat, AT_FDCWD, kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    journal.kept_fd = fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);
    (void)close(fd);
    if (journal.fd < 0 || journal.kept_fd < 0)
        abort();
}

bool journal_is_open(void)
{
    return journal.fd >= 0;
}

/* One call for a record, so that processes that share the file do not mix theirs. */
static void put(struct record r, const char *name, const void *data, size_t data_len)
{
    struct iovec v[3] = {
        { &r, sizeof(r) },
        { (void *)name, r.name_len },
        { (void *)data, data_len },
    };
    size_t whole = sizeof(r) + r.name_len + data_len;

    if (syscall(SYS_writev, journal.fd, v, 3) != (long)whole)
        abort();
}

static struct record about(enum journal_kind kind, int fd)
{
    struct record r = { .kind = kind };
    struct stat st;

    if (fstat(fd, &st) != 0)
        abort();
    r.inode = st.st_ino;
    r.size_before = (uint64_t)st.st_size;
    return r;
}

/* A descriptor for reading, as the one that is written by may not allow it. */
static ssize_t read_before(int fd, void *out, size_t n, off_t offset)
{
    char path[64];
    int again;
    ssize_t got;

    got = pread(fd, out, n, offset);
    if (got >= 0)
        return got;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (again < 0)
        return 0;
    got = pread(again, out, n, offset);
    (void)close(again);
    return got < 0 ? 0 : got;
}

void journal_before_write(int fd, off_t offset, size_t len)
{
    struct record r = about(JOURNAL_WRITE, fd);
    uint64_t first = (uint64_t)offset / SECTOR_BYTES * SECTOR_BYTES;
    uint64_t end = ((uint64_t)offset + len + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    char *before;

    if (len == 0)
        return;
    r.offset = first;
    r.len = end - first;
    before = calloc(1, r.len);
    if (!before)
        abort();
    (void)read_before(fd, before, r.len, (off_t)first);
    (void)pthread_mutex_lock(&journal.lock);
    put(r, NULL, before, r.len);
    (void)pthread_mutex_unlock(&journal.lock);
    free(before);
}

static void put_locked(struct record r, const char *name)
{
    (void)pthread_mutex_lock(&journal.lock);
    put(r, name, NULL, 0);
    (void)pthread_mutex_unlock(&journal.lock);
}

void journal_after_synced_write(int fd, off_t offset, size_t len)
{
    struct record r = about(JOURNAL_DURABLE, fd);

    r.offset = (uint64_t)offset;
    r.len = len;
    put_locked(r, NULL);
}

void journal_before_truncate(int fd, off_t size)
{
    struct record r = about(JOURNAL_TRUNCATE, fd);

    r.len = (uint64_t)size;
    put_locked(r, NULL);
}

void journal_after_sync(int fd)
{
    struct stat st;
    struct record r = about(JOURNAL_SYNC, fd);

    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        r.kind = JOURNAL_DIR_SYNC;
    put_locked(r, NULL);
}

/* The inode of a name, 0: there is none. */
static uint64_t inode_of(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void keep(int dir, const char *name, uint64_t inode)
{
    char kept[32];

    (void)snprintf(kept, sizeof(kept), "%llu", (unsigned long long)inode);
    (void)!linkat(dir, name, journal.kept_fd, kept, 0);
}

void journal_after_create(int dir, const char *name)
{
    struct record r = { .kind = JOURNAL_CREATE, .name_len = (uint32_t)strlen(name) };

    r.inode = inode_of(dir, name);
    put_locked(r, name);
}

void journal_before_unlink(int dir, const char *name)
{
    struct record r = { .kind = JOURNAL_UNLINK, .name_len = (uint32_t)strlen(name) };

    r.inode = inode_of(dir, name);
    if (r.inode == 0)
        return;
    keep(dir, name, r.inode);
    put_locked(r, name);
}

void journal_before_rename(int dir, const char *from, const char *to)
{
    struct record r = { .kind = JOURNAL_RENAME };
    char names[NAMES_MAX];
    int n = snprintf(names, sizeof(names), "%s%c%s", from, 0, to);

    if (n <= 0 || n >= NAMES_MAX)
        abort();
    r.name_len = (uint32_t)n;
    r.inode = inode_of(dir, to);
    if (r.inode != 0)
        keep(dir, to, r.inode);
    put_locked(r, names);
}

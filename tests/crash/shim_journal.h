/* What a disk would have forgotten: a journal of every change to the files below one directory that
 * no sync has made durable yet, with what stood there before.
 *
 * The journal is a file of records, in the order of the calls, each written before the change that
 * it is about. Whoever wants a power cut kills the process and lets powercut.py undo what was not
 * synced. Names are those of the directory itself, without a path: it has no folders. */
#ifndef TESTS_CRASH_SHIM_JOURNAL_H
#define TESTS_CRASH_SHIM_JOURNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECTOR_BYTES 512

/* Numbers and layout are read by powercut.py. */
enum journal_kind {
    JOURNAL_WRITE = 1,    /* offset, len: sectors; the data are what stood there */
    JOURNAL_SYNC = 2,     /* everything of the file */
    JOURNAL_DURABLE = 3,  /* offset, len: a write that came with its own sync */
    JOURNAL_TRUNCATE = 4, /* len: the new size */
    JOURNAL_CREATE = 5,   /* name */
    JOURNAL_UNLINK = 6,   /* name; the file is kept beside the journal, by its inode */
    JOURNAL_RENAME = 7,   /* from, zero byte, to; inode and keeping are those of what `to` was */
    JOURNAL_DIR_SYNC = 8,
};

/* Records go to `path`, files that lose their name into the folder `kept`. NULL: no journal. */
void journal_open(const char *path, const char *kept);
bool journal_is_open(void);

void journal_before_write(int fd, off_t offset, size_t len);
void journal_after_synced_write(int fd, off_t offset, size_t len);
void journal_before_truncate(int fd, off_t size);
void journal_after_sync(int fd);
void journal_after_create(int dir, const char *name);
void journal_before_unlink(int dir, const char *name);
void journal_before_rename(int dir, const char *from, const char *to);
#endif

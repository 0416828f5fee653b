/* The directory of a store: its lock, the mark that it needs a check, and changing one file for
 * another so that a power cut leaves the old one or the new one. */
#ifndef SRC_INFRA_STORE_STORE_DIR_H
#define SRC_INFRA_STORE_STORE_DIR_H
#include "orderly/base/err.h"
#include "orderly/infra/store/lmdb_engine.h"
#include <limits.h>

#define STORE_FILE_DATA "data.mdb"
#define STORE_FILE_LMDB_LOCK "lock.mdb"
#define STORE_FILE_NEW "new.mdb"                  /* a log that is being made */
#define STORE_FILE_COPY "copy.mdb"                /* one that is being copied */
#define STORE_FILE_BACKUP "unfinished-backup.mdb" /* until it is whole and verified */
#define STORE_FILE_LOCK "server.lock"
#define STORE_FILE_MARK "needs-check"
#define STORE_FILE_PROBE "probe"

struct store_dir {
    char path[PATH_MAX];
    int fd;
    int lock_fd; /* -1: a reader's */
};

/* Prints one line for people into LMDB_TEXT_MAX bytes, cut where it does not fit. */
void store_say(char *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes the directory where it is missing (not for a reader) and takes the lock. Says in *report
 * what is wrong, and warns where others could read. */
MUST_CHECK enum err store_dir_open(struct store_dir *d, const char *path, bool is_reader,
                                   struct lmdb_report *report);
void store_dir_close(struct store_dir *d);

/* The path of a file in it. out holds PATH_MAX + NAME_MAX bytes. */
const char *store_dir_file(const struct store_dir *d, const char *name, char *out);
#define STORE_FILE_PATH_MAX (PATH_MAX + NAME_MAX)

bool store_dir_has(const struct store_dir *d, const char *name);
/* Removes a file that may be there. */
MUST_CHECK enum err store_dir_remove(const struct store_dir *d, const char *name);
/* Leaves the mark; durable as far as the disk lets. */
MUST_CHECK enum err store_dir_mark(const struct store_dir *d, const char *why);
/* fsyncs the file `from` and lets it take the place of `to`, durably. 0 or an errno. */
MUST_CHECK int store_dir_adopt(const struct store_dir *d, const char *from, const char *to);

/* Makes the file at least so long, with room on the disk for all of it. 0 or an errno. */
MUST_CHECK int store_dir_reserve(const struct store_dir *d, const char *name, unsigned bytes);
/* True if there is no room for a megabyte more, be it by the disk or by a quota. */
bool store_dir_is_full(const struct store_dir *d);
/* Free part of the disk, in millionths. */
uint32_t store_dir_free_ppm(const struct store_dir *d);
#endif

/* Engine on disk: one LMDB environment in a directory of its own.
 *
 * Every batch is one transaction, fsynced before apply returns. Everything that could not be made
 * again from the events carries a BLAKE2b sum over database, key and value, which is checked by
 * whoever reads it (ERR_DAMAGED, never served) and is not part of the value that the app sees; the
 * sums of the events are chained, each over the one before it. Rows of lists carry a short sum, and
 * LMDB's pages are looked at before they are believed: where one of these is wrong, a list would
 * lack something without a word, so on_broken ends the server.
 *
 * The directory holds
 *   data.mdb, lock.mdb   LMDB's
 *   server.lock          held (flock) by the one server for its life; the number of its process
 *   needs-check          left where a write or an fsync failed: what the disk has is not known
 *
 * Failure modes
 *   The map, the disk or a quota is full: ERR_FULL, the transaction is rolled back, the engine goes
 *   on. Any other failure of a write, and every failure of an fsync or of the meta page: ERR_IO, and
 *   the mark needs-check is left. After that nothing may be answered, because the page cache may
 *   show what the disk does not have. The next lmdb_engine_open copies the environment into a fresh
 *   file, verifies it and goes on with the copy; that start takes time by history and the space
 *   twice.
 *   LMDB's own pages, or a row of a list, turn out broken: on_broken, which does not return. */
#ifndef ORDERLY_INFRA_STORE_LMDB_ENGINE_H
#define ORDERLY_INFRA_STORE_LMDB_ENGINE_H
#include "orderly/infra/store/engine.h"
#include <stdbool.h>
#include <stdint.h>

#define LMDB_SCHEMA                                                                                \
    1 /* of the rows; a directory of an older one is brought forward at its opening */
#define LMDB_EPOCH_LEN 16
#define LMDB_TEXT_MAX 600

/* Address space, not disk; sanitizers keep books about all of it. */
#define LMDB_MAP_BYTES_DEFAULT (UINT64_C(1) << 40)
#define LMDB_MAP_BYTES_DEFAULT_SANITIZED (UINT64_C(4) << 30)

/* Called on any thread when pages or lists are broken; must not return. */
typedef void (*lmdb_broken_cb)(void *ctx, const char *why);

struct lmdb_config {
    const char *dir;     /* made if it is not there; its parent must be */
    uint64_t map_bytes;  /* 0: the default, or less where the machine gives no more */
    uint64_t events_max; /* 0: no bound but map and disk */
    /* For the commands of an operator: opens without the server's lock and writes nothing, so it
     * works beside a live server and on a stopped directory. */
    bool is_reader;
    lmdb_broken_cb on_broken; /* NULL: one line to stderr, then abort */
    void *broken_ctx;
};

/* What there is to say about an opening, each one line for people without a final dot; "" if
 * nothing. */
struct lmdb_report {
    char why[LMDB_TEXT_MAX];     /* why it did not open */
    char warning[LMDB_TEXT_MAX]; /* it opened, but somebody should know */
    char note[LMDB_TEXT_MAX];    /* it opened, and did something about it */
};

/* ERR_BUSY: another server has it. ERR_INVALID: written by a newer version, or a
 * backup that was not finished. ERR_DAMAGED: restore
 * from a backup. ERR_FULL: no room to open or to check it. ERR_NOT_FOUND: a reader found nothing.
 * ERR_IO: the rest, such as a directory that can't be written. Says why in *report.
 * Thread: before there are others in the process, as it may fork to look at what may be broken. */
MUST_CHECK enum err lmdb_engine_open(const struct lmdb_config *config, struct engine **out,
                                     struct lmdb_report *report);
/* When nobody uses it any more. */
void lmdb_engine_close(struct engine *e);

/* Where the log stands. */
struct lmdb_state {
    uint32_t schema;
    uint64_t last_position; /* 0: none */
    uint8_t last_sum[16];   /* the end of the chain: two logs with the same end are the same */
    uint8_t epoch[LMDB_EPOCH_LEN];  /* chance; a new one where a backup was restored */
    uint8_t origin[LMDB_EPOCH_LEN]; /* of the log for ever: the first epoch's, restored or not */
    uint32_t epochs;                /* how many there were */
    uint64_t epoch_first_position;  /* the first position that this epoch gave, or will give */
};
/* After the opening, or between two calls of apply. */
void lmdb_engine_state(struct engine *e, struct lmdb_state *out);

/* Why the last apply did not return, for the last line. Thread: writer, or after its end. */
const char *lmdb_engine_failure(struct engine *e);
#endif

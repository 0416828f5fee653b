/* The LMDB engine in a directory of a test's own, with a history that a test can count on: event n
 * comes with an order snapshot, a stored answer and two index rows. */
#ifndef TESTS_SUPPORT_LMDB_STORE_H
#define TESTS_SUPPORT_LMDB_STORE_H
#include "orderly/infra/store/lmdb_engine.h"
#include "orderly/infra/store/lmdb_walk.h"
#include "support/temp_dir.h"

struct lmdb_store {
    struct temp_dir dir;
    struct lmdb_config config; /* .dir is set; a test may set the rest before it opens */
    struct lmdb_report report; /* of the last opening */
    struct engine *engine;     /* NULL: closed */
    struct arena arena;        /* what reads found */
};

/* Makes the directory; closed. The map has 64 MiB. */
void lmdb_store_init(struct lmdb_store *s);
void lmdb_store_deinit(struct lmdb_store *s); /* closes */
enum err lmdb_store_open(struct lmdb_store *s);
void lmdb_store_must_open(struct lmdb_store *s);
void lmdb_store_close(struct lmdb_store *s);

#define LMDB_STORE_VALUE_LEN 100
/* The value of every row of event n. */
struct str lmdb_store_value(uint64_t n, char out[LMDB_STORE_VALUE_LEN]);
/* Writes events first..last, `batch` of them per commit; stops at the first error. Returns how many
 * were acknowledged. */
uint64_t lmdb_store_write(struct lmdb_store *s, uint64_t first, uint64_t last, unsigned batch,
                          enum err *status);
/* One row of its own. */
enum err lmdb_store_put(struct lmdb_store *s, enum store_db db, struct str key, struct str value);
enum err lmdb_store_get(struct lmdb_store *s, enum store_db db, struct str key, struct str *value);
/* Event n and what came with it are there, and right. */
void lmdb_store_must_have(struct lmdb_store *s, uint64_t n);
/* Walks it; all must be well. */
void lmdb_store_must_be_sound(struct lmdb_store *s);

/* ---- behind the engine's back; the store must be closed ---- */

/* Where the stored value of a row lies in the file, and how long it is, its sum included. False:
 * there is no such row. */
bool lmdb_store_find(struct lmdb_store *s, enum store_db db, struct str key, long *offset,
                     size_t *len);
void lmdb_store_flip(struct lmdb_store *s, long offset);
long lmdb_store_size(struct lmdb_store *s); /* of the file; may be open */
void lmdb_store_cut(struct lmdb_store *s, long size);
/* Writes a row as it is, without a sum. */
void lmdb_store_put_raw(struct lmdb_store *s, enum store_db db, struct str key, struct str value);
/* The same, with a right sum; no event. value: at most 200 bytes. */
void lmdb_store_put_sealed(struct lmdb_store *s, enum store_db db, struct str key,
                           struct str value);
/* Deletes a row that is there. */
void lmdb_store_delete_raw(struct lmdb_store *s, enum store_db db, struct str key);
/* Takes the whole database away; with flags, LMDB's, an empty one comes in its place. */
void lmdb_store_drop(struct lmdb_store *s, enum store_db db, unsigned flags);
/* Bytes of the file. */
void lmdb_store_read_at(struct lmdb_store *s, long offset, void *out, size_t n);
void lmdb_store_write_at(struct lmdb_store *s, long offset, const void *p, size_t n);
#endif

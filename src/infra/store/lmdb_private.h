/* What the files of the LMDB engine share. The engine's page is in lmdb_engine.h. */
#ifndef SRC_INFRA_STORE_LMDB_PRIVATE_H
#define SRC_INFRA_STORE_LMDB_PRIVATE_H
#include "lmdb_env.h"
#include "lmdb_schema.h"
#include "orderly/infra/store/lmdb_engine.h"
#include "row_sort.h"
#include "store_dir.h"
#include <pthread.h>
#include <stdatomic.h>

/* Idle read transactions that are kept for the next view; more may be in use. As many are made at the
 * opening, which is more than the pool has threads. */
#define LMDB_VIEWS_KEPT_MAX 8
/* Readers of other processes (operator's commands) included. */
#define LMDB_READERS_MAX 256
#define LMDB_READER_CHECK_MS 60000
#define LMDB_READER_CHECK_GROWN_MS 1000 /* where the file grew: a dead reader may be why */
#define LMDB_FREE_LOOK_MS 1000

struct lmdb_view;

struct lmdb_engine {
    struct engine engine;
    struct store_dir dir;
    struct lmdb_env db;
    bool is_reader;
    bool sees_syncs; /* LMDB's fsyncs come by lmdb_sync.h, so it is known whether one failed */
    uint64_t events_max;
    uint64_t map_bytes;
    lmdb_broken_cb on_broken;
    void *broken_ctx;
    struct lmdb_epoch first_epoch, epoch;
    uint32_t n_epochs;

    /* Writer only. */
    struct lmdb_tip tip;
    uint64_t file_bytes; /* at least this long */
    int64_t readers_checked_ms;
    bool has_grown; /* the file, since then */
    char failure[LMDB_TEXT_MAX];
    struct row_sort rows; /* of a batch */

    /* Changed by the writer, read by anybody; each stands for itself. */
    _Atomic uint64_t events, bytes;

    /* Anybody; a look too many does no harm. */
    _Atomic int64_t free_looked_ms;
    _Atomic uint32_t free_ppm;

    /* Changed by readers; who asks may see the database of one row with the key of another. */
    _Atomic uint64_t n_damaged, damaged_key[2]; /* as in store_stats */
    _Atomic enum store_db damaged_db;

    /* Guarded by views_lock. */
    pthread_mutex_t views_lock;
    struct lmdb_view *views_idle;
    unsigned n_views_idle;
};

struct lmdb_engine *lmdb_of(struct engine *e);

/* lmdb_write.c */
enum err lmdb_apply(struct engine *e, const struct list *writes);
void lmdb_stats(struct engine *e, struct store_stats *out);
/* Takes the sizes that the last commit left. Thread: writer. */
void lmdb_note_sizes(struct lmdb_engine *le);

/* lmdb_read.c */
enum err lmdb_view_begin(struct engine *e, void **txn);
void lmdb_view_end(struct engine *e, void *txn);
enum err lmdb_get(struct engine *e, void *txn, enum store_db db, struct str key, struct arena *a,
                  struct str *value);
enum err lmdb_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                   struct str key, struct arena *a, struct str *found_key, struct str *value);
void lmdb_contradicts(struct engine *e, enum store_db list);
/* Takes the places in LMDB's table of readers that the server needs, so that no number of operators
 * can use them up. Fewer, if so many are there already. */
void lmdb_reserve_views(struct lmdb_engine *le);
void lmdb_close_views(struct lmdb_engine *le);

/* LMDB has found its pages broken. */
_Noreturn void lmdb_broken(struct lmdb_engine *le, const char *why);
#endif

/* An opening, step by step
 *
 *   directory, lock -> marked? copy and verify -> none? make a new log -> peek (a child) ->
 *   environment -> schema forward -> restored? new epoch -> end of the chain
 *
 * Nothing of the old log is written before it is known that this program can read all of it. */
#include "lmdb_check.h"
#include "lmdb_private.h"
#include "lmdb_sync.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <sodium.h>

struct lmdb_engine *lmdb_of(struct engine *e)
{
    return container_of(e, struct lmdb_engine, engine);
}

static const struct engine_ops lmdb_ops = {
    .apply = lmdb_apply,
    .view_begin = lmdb_view_begin,
    .view_end = lmdb_view_end,
    .get = lmdb_get,
    .seek = lmdb_seek,
    .contradicts = lmdb_contradicts,
    .stats = lmdb_stats,
};

static enum err say(const struct lmdb_engine *le, struct lmdb_report *report, const char *what,
                    int rc)
{
    enum err err = lmdb_err(rc);

    if (lmdb_is_broken(rc))
        store_say(report->why, "%s/%s is damaged: %s; restore from backup", le->dir.path,
                  STORE_FILE_DATA, mdb_strerror(rc));
    else
        store_say(report->why, "%s/%s %s: %s", le->dir.path, STORE_FILE_DATA, what,
                  mdb_strerror(rc));
    return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

/* ---- a new log ------------------------------------------------------------------ */

static int new_log_write(struct lmdb_env *db)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = lmdb_env_open_all(db, txn, true);
    if (rc == 0)
        rc = lmdb_schema_begin(db, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* Beside its place first, so that a power cut leaves a whole log or none. */
static int new_log(const struct store_dir *d)
{
    char file[STORE_FILE_PATH_MAX];
    struct lmdb_env db;
    int rc =
        lmdb_env_open(&db, store_dir_file(d, STORE_FILE_NEW, file), MDB_NOSUBDIR | MDB_NOLOCK, 0);

    if (rc != 0)
        return rc;
    rc = new_log_write(&db);
    lmdb_env_close(&db);
    return rc == 0 ? store_dir_adopt(d, STORE_FILE_NEW, STORE_FILE_DATA) : rc;
}

/* ---- what is there -------------------------------------------------------------- */

/* Whoever starts a server on half a backup wants what was in it, not a new log. */
static bool is_unfinished_backup(const struct store_dir *d, struct lmdb_report *report)
{
    if (store_dir_has(d, STORE_FILE_DATA) || !store_dir_has(d, STORE_FILE_BACKUP))
        return false;
    store_say(report->why, "%s holds a backup that was not finished, and no store", d->path);
    return true;
}

/* Leaves a file in place that lmdb_check_peek has seen. */
static enum err prepare_files(struct lmdb_engine *le, struct lmdb_report *report)
{
    const struct store_dir *d = &le->dir;
    int rc;

    if (is_unfinished_backup(d, report))
        return ERR_INVALID;
    if (store_dir_remove(d, STORE_FILE_NEW) != ERR_OK ||
        store_dir_remove(d, STORE_FILE_COPY) != ERR_OK ||
        store_dir_remove(d, STORE_FILE_PROBE) != ERR_OK)
        return say(le, report, "can't be opened, as a file beside it can't be removed", errno);
    if (!store_dir_has(d, STORE_FILE_DATA)) {
        rc = new_log(d);
        if (rc != 0)
            return say(le, report, "can't be made", rc);
        /* A mark beside no data is of a log that somebody took away. */
        if (store_dir_remove(d, STORE_FILE_MARK) != ERR_OK)
            return say(le, report, "can't be made", errno);
    } else if (store_dir_has(d, STORE_FILE_MARK)) {
        enum err err = lmdb_check_copy(d, report->why);

        if (err != ERR_OK)
            return err;
        store_say(report->note, "a write had failed: %s/%s was copied and verified", d->path,
                  STORE_FILE_DATA);
    }
    return lmdb_check_peek(d, report->why);
}

/* ---- going on with it ----------------------------------------------------------- */

/* Of a restored backup: what was given out behind its last position may be given out again. */
static int begin_epoch_if_copied(struct lmdb_engine *le, MDB_txn *txn, struct lmdb_report *report)
{
    bool is_copied;
    int rc = lmdb_copied_get(&le->db, txn, &is_copied);

    if (rc != 0 || !is_copied)
        return rc;
    rc = lmdb_epoch_begin(&le->db, txn, le->n_epochs, &le->tip);
    if (rc == 0)
        rc = lmdb_copied_clear(&le->db, txn);
    if (rc == 0)
        rc = lmdb_epoch_get(&le->db, txn, le->n_epochs++, &le->epoch);
    store_say(report->note, "restored from a backup: a new epoch begins behind position %llu",
              (unsigned long long)le->tip.position);
    return rc;
}

/* The last one. */
static int load_epoch(struct lmdb_engine *le, MDB_txn *txn)
{
    int rc = 0;

    while (rc == 0) {
        rc = lmdb_epoch_get(&le->db, txn, le->n_epochs, &le->epoch);
        if (rc == 0 && le->n_epochs++ == 0)
            le->first_epoch = le->epoch;
    }
    if (rc == MDB_NOTFOUND)
        return le->n_epochs > 0 ? 0 : MDB_CORRUPTED;
    return rc;
}

static int load(struct lmdb_engine *le, MDB_txn *txn)
{
    MDB_stat stat;
    int rc = lmdb_tip_get(&le->db, txn, &le->tip);

    if (rc == 0)
        rc = load_epoch(le, txn);
    if (rc == 0)
        rc = mdb_stat(txn, le->db.dbis[DB_EVENTS], &stat);
    if (rc == 0)
        atomic_store_explicit(&le->events, stat.ms_entries, memory_order_relaxed);
    return rc;
}

/* As a server: brings what is there forward. Writes at least the tip, so that it is known before the
 * first order whether this directory can be written and whether fsyncs are seen. */
static int take_over(struct lmdb_engine *le, struct lmdb_report *report)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(le->db.env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = lmdb_env_open_one(&le->db, txn, DB_META, false);
    if (rc == 0)
        rc = lmdb_schema_forward(&le->db, txn, LMDB_SCHEMA, lmdb_steps, lmdb_steps_len);
    if (rc == 0)
        rc = lmdb_env_open_all(&le->db, txn, true);
    if (rc == 0)
        rc = load(le, txn);
    if (rc == 0)
        rc = begin_epoch_if_copied(le, txn, report);
    if (rc == 0)
        rc = lmdb_tip_put(&le->db, txn, &le->tip);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    lmdb_sync_begin();
    rc = mdb_txn_commit(txn);
    le->sees_syncs = lmdb_sync_count() > 0;
    /* As in a server's life: what the disk has is not known. */
    if (rc != 0 && le->sees_syncs)
        (void)!store_dir_mark(&le->dir, mdb_strerror(rc));
    return rc;
}

/* As a reader: takes what is there, if it is of this version. */
static enum err look_in(struct lmdb_engine *le, struct lmdb_report *report)
{
    uint32_t version = 0;
    MDB_txn *txn;
    char what[LMDB_TEXT_MAX] = "";
    enum err err;
    int rc;

    if (!lmdb_check_env_metas(le->db.env)) {
        store_say(report->why, "%s/%s can't be used: its meta pages do not belong together",
                  le->dir.path, STORE_FILE_DATA);
        return ERR_DAMAGED;
    }
    rc = mdb_txn_begin(le->db.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return say(le, report, "can't be read", rc);
    err = lmdb_check_schema(&le->db, txn, &version, what);
    if (err == ERR_OK && version < LMDB_SCHEMA) {
        store_say(what, "it is of an older version: start the server once");
        err = ERR_INVALID;
    }
    if (err != ERR_OK) {
        mdb_txn_abort(txn);
        store_say(report->why, "%s/%s can't be used: %s", le->dir.path, STORE_FILE_DATA, what);
        return err;
    }
    rc = lmdb_env_open_all(&le->db, txn, false);
    if (rc == 0)
        rc = load(le, txn);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    } else {
        mdb_txn_abort(txn);
    }
    return rc == 0 ? ERR_OK : say(le, report, "can't be read", rc);
}

/* LMDB writes to its lock file through a map, where a full disk is a SIGBUS; this is more than the
 * table of readers takes. */
#define LOCK_BYTES (20u << 10)

/* ---- life ----------------------------------------------------------------------- */

static void on_assert(MDB_env *env, const char *what)
{
    lmdb_broken(mdb_env_get_userctx(env), what);
}

static int open_files(struct lmdb_engine *le, const struct lmdb_config *config)
{
    int rc = config->is_reader ? 0 : store_dir_reserve(&le->dir, STORE_FILE_LMDB_LOCK, LOCK_BYTES);

    return rc == 0 ? lmdb_env_open(&le->db, le->dir.path, config->is_reader ? MDB_RDONLY : 0,
                                   config->map_bytes)
                   : rc;
}

/* LMDB goes by the transaction that its lock file names, as long as anybody holds that file. Where
 * another data file has come into its place meanwhile, that names the wrong one of the two meta
 * pages, and the last commit is gone without a word. Nobody else writes, so the two must agree; a
 * write transaction first, which mends the number after a server that was killed. */
static int check_lock(const struct lmdb_env *db, bool *is_ours)
{
    MDB_envinfo info;
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    mdb_txn_abort(txn);
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    (void)mdb_env_info(db->env, &info);
    *is_ours = mdb_txn_id(txn) == info.me_last_txnid;
    mdb_txn_abort(txn);
    return 0;
}

/* Whoever holds a lock file of another data file looks at that one, and is no concern of ours. */
static int open_ours(struct lmdb_engine *le, const struct lmdb_config *config)
{
    bool is_ours = true;
    int rc = open_files(le, config);

    if (rc != 0 || config->is_reader)
        return rc;
    rc = check_lock(&le->db, &is_ours);
    if (rc != 0 || is_ours)
        return rc;
    lmdb_env_close(&le->db);
    if (store_dir_remove(&le->dir, STORE_FILE_LMDB_LOCK) != ERR_OK)
        return errno;
    return open_files(le, config);
}

static enum err open_env(struct lmdb_engine *le, const struct lmdb_config *config,
                         struct lmdb_report *report)
{
    MDB_envinfo info;
    int rc = open_ours(le, config);

    if (rc != 0)
        return say(le, report, "can't be opened", rc);
    (void)mdb_env_set_userctx(le->db.env, le);
    (void)mdb_env_set_assert(le->db.env, on_assert);
    (void)mdb_env_info(le->db.env, &info);
    le->map_bytes = info.me_mapsize;
    if (config->is_reader)
        return look_in(le, report);
    rc = take_over(le, report);
    if (rc != 0)
        return say(le, report, "can't be taken over", rc);
    (void)mdb_reader_check(le->db.env, NULL);
    lmdb_reserve_views(le);
    return ERR_OK;
}

static enum err open_all(struct lmdb_engine *le, const struct lmdb_config *config,
                         struct lmdb_report *report)
{
    enum err err = store_dir_open(&le->dir, config->dir, config->is_reader, report);

    if (err != ERR_OK)
        return err;
    if (!config->is_reader) {
        err = prepare_files(le, report);
    } else if (!store_dir_has(&le->dir, STORE_FILE_DATA)) {
        if (!is_unfinished_backup(&le->dir, report))
            store_say(report->why, "%s holds no store", le->dir.path);
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK)
        err = open_env(le, config, report);
    if (err == ERR_OK && config->is_reader && store_dir_has(&le->dir, STORE_FILE_MARK))
        store_say(
            report->warning,
            "%s: a write failed, so what it shows may not be on the disk; the next start of a "
            "server checks it",
            le->dir.path);
    return err;
}

enum err lmdb_engine_open(const struct lmdb_config *config, struct engine **out,
                          struct lmdb_report *report)
{
    struct lmdb_engine *le = mem_zalloc(sizeof(*le));
    enum err err;
    int rc;

    memset(report, 0, sizeof(*report));
    *out = NULL;
    /* Only then does it choose the way to make sums that is best for this processor. */
    rc = sodium_init();
    ENSURE(rc >= 0);
    le->engine.ops = &lmdb_ops;
    le->is_reader = config->is_reader;
    le->events_max = config->events_max;
    le->on_broken = config->on_broken;
    le->broken_ctx = config->broken_ctx;
    le->dir.fd = le->dir.lock_fd = -1;
    rc = pthread_mutex_init(&le->views_lock, NULL);
    ENSURE(rc == 0);
    err = open_all(le, config, report);
    if (err != ERR_OK) {
        lmdb_engine_close(&le->engine);
        return err;
    }
    lmdb_note_sizes(le);
    atomic_store_explicit(&le->free_ppm, store_dir_free_ppm(&le->dir), memory_order_relaxed);
    *out = &le->engine;
    return ERR_OK;
}

void lmdb_engine_close(struct engine *e)
{
    struct lmdb_engine *le = lmdb_of(e);

    lmdb_close_views(le);
    lmdb_env_close(&le->db);
    store_dir_close(&le->dir);
    (void)pthread_mutex_destroy(&le->views_lock);
    row_sort_deinit(&le->rows);
    mem_free(le);
}

void lmdb_engine_state(struct engine *e, struct lmdb_state *out)
{
    const struct lmdb_engine *le = lmdb_of(e);

    *out = (struct lmdb_state){
        .schema = LMDB_SCHEMA,
        .last_position = le->tip.position,
        .epochs = le->n_epochs,
        .epoch_first_position = le->epoch.first_position ? le->epoch.first_position : 1,
    };
    memcpy(out->last_sum, le->tip.sum.b, sizeof(out->last_sum));
    memcpy(out->epoch, le->epoch.id, sizeof(out->epoch));
    memcpy(out->origin, le->first_epoch.id, sizeof(out->origin));
}

const char *lmdb_engine_failure(struct engine *e)
{
    return lmdb_of(e)->failure;
}

#include "orderly/infra/store/lmdb_backup.h"
#include "lmdb_check.h"
#include "lmdb_private.h"
#include "orderly/base/check.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum err say(const struct store_dir *d, struct lmdb_report *report, const char *what, int rc)
{
    enum err err = lmdb_err(rc);

    store_say(report->why, "%s: %s: %s", d->path, what, mdb_strerror(rc));
    return err == ERR_NOT_FOUND ? ERR_IO : err;
}

static int write_copy(struct lmdb_engine *le, const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return errno;
    rc = lmdb_copy_to(le->db.env, fd);
    (void)close(fd);
    return rc;
}

/* Leaves the word in the copy that it is one, and takes its end of the chain. */
static int mark_copy(const char *file, struct lmdb_backup *out)
{
    struct lmdb_tip tip = { 0 };
    struct lmdb_env db;
    MDB_txn *txn;
    int rc = lmdb_env_open(&db, file, MDB_NOSUBDIR | MDB_NOLOCK, 0);

    if (rc != 0)
        return rc;
    rc = mdb_txn_begin(db.env, NULL, 0, &txn);
    if (rc == 0) {
        rc = lmdb_env_open_one(&db, txn, DB_META, false);
        if (rc == 0)
            rc = lmdb_tip_get(&db, txn, &tip);
        if (rc == 0)
            rc = lmdb_copied_mark(&db, txn);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    if (rc == 0)
        rc = lmdb_env_file_bytes(&db, &out->bytes);
    lmdb_env_close(&db);
    out->last_position = tip.position;
    memcpy(out->last_sum, tip.sum.b, sizeof(out->last_sum));
    return rc;
}

static enum err back_up(struct lmdb_engine *le, const struct store_dir *d, struct lmdb_backup *out,
                        struct lmdb_report *report)
{
    struct lmdb_walk walk = { 0 };
    char file[STORE_FILE_PATH_MAX];
    char why[LMDB_TEXT_MAX];
    enum err err;
    int rc;

    if (store_dir_has(d, STORE_FILE_DATA)) {
        store_say(report->why, "%s holds a store already", d->path);
        return ERR_BUSY;
    }
    (void)store_dir_file(d, STORE_FILE_BACKUP, file);
    rc = write_copy(le, file);
    if (rc == 0)
        rc = mark_copy(file, out);
    if (rc != 0)
        return say(d, report, "can't be copied to", rc);
    err = lmdb_check_copied(file, &walk, why);
    out->rows = walk.rows;
    if (err != ERR_OK) {
        store_say(report->why, "%s is damaged: %s", le->dir.path, why);
        return err;
    }
    rc = store_dir_adopt(d, STORE_FILE_BACKUP, STORE_FILE_DATA);
    return rc == 0 ? ERR_OK : say(d, report, "can't be copied to", rc);
}

enum err lmdb_engine_backup(struct engine *e, const char *dest, struct lmdb_backup *out,
                            struct lmdb_report *report)
{
    struct store_dir d;
    enum err err;

    memset(report, 0, sizeof(*report));
    memset(out, 0, sizeof(*out));
    /* As a server does, so that none starts on half a copy. */
    err = store_dir_open(&d, dest, false, report);
    if (err != ERR_OK)
        return err;
    err = back_up(lmdb_of(e), &d, out, report);
    (void)!store_dir_remove(&d, STORE_FILE_BACKUP);
    store_dir_close(&d);
    return err;
}

void lmdb_backup_tidy(const char *dest)
{
    struct lmdb_report report = { 0 };
    struct store_dir d;

    /* With the lock, as it could be another's backup. */
    if (store_dir_open(&d, dest, false, &report) != ERR_OK) {
        store_dir_close(&d);
        return;
    }
    (void)!store_dir_remove(&d, STORE_FILE_BACKUP);
    if (!store_dir_has(&d, STORE_FILE_DATA))
        (void)!store_dir_remove(&d, STORE_FILE_LOCK);
    store_dir_close(&d);
}

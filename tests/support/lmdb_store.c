#include "support/lmdb_store.h"
#include "../../src/infra/store/lmdb_sum.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <unistd.h>

#define ROWS_PER_EVENT 5

void lmdb_store_init(struct lmdb_store *s)
{
    memset(s, 0, sizeof(*s));
    temp_dir_init(&s->dir);
    s->config = (struct lmdb_config){ .dir = s->dir.path, .map_bytes = 64u << 20 };
    arena_init(&s->arena, NULL, 0);
}

void lmdb_store_deinit(struct lmdb_store *s)
{
    lmdb_store_close(s);
    arena_deinit(&s->arena);
    temp_dir_deinit(&s->dir);
}

enum err lmdb_store_open(struct lmdb_store *s)
{
    REQUIRE(s->engine == NULL);
    return lmdb_engine_open(&s->config, &s->engine, &s->report);
}

void lmdb_store_must_open(struct lmdb_store *s)
{
    if (lmdb_store_open(s) != ERR_OK)
        check_failed("store", s->report.why, __FILE__, __LINE__);
}

void lmdb_store_close(struct lmdb_store *s)
{
    if (s->engine)
        lmdb_engine_close(s->engine);
    s->engine = NULL;
}

/* ---- writing -------------------------------------------------------------------- */

struct str lmdb_store_value(uint64_t n, char out[LMDB_STORE_VALUE_LEN])
{
    (void)snprintf(out, LMDB_STORE_VALUE_LEN, "value %llu ", (unsigned long long)n);
    memset(out + strlen(out), 'v', LMDB_STORE_VALUE_LEN - strlen(out));
    return (struct str){ out, LMDB_STORE_VALUE_LEN };
}

struct event_write {
    struct store_write write;
    struct store_row rows[ROWS_PER_EVENT];
    char position[8], by_lane[24], by_type[10], id[16], value[LMDB_STORE_VALUE_LEN];
};

static void event_write_init(struct event_write *w, uint64_t n)
{
    struct str value = lmdb_store_value(n, w->value);

    memset(w->by_lane, 'l', sizeof(w->by_lane));
    memset(w->by_type, 't', sizeof(w->by_type));
    memset(w->id, 'i', sizeof(w->id));
    bytes_put_u64(w->position, n);
    bytes_put_u64(w->by_lane + 16, n);
    bytes_put_u64(w->by_type + 2, n);
    bytes_put_u64(w->id + 8, n);
    w->rows[0] = (struct store_row){ DB_EVENTS, false, { w->position, 8 }, value };
    w->rows[1] = (struct store_row){ DB_BY_LANE, false, { w->by_lane, 24 }, STR_NONE };
    w->rows[2] = (struct store_row){ DB_BY_TYPE, false, { w->by_type, 10 }, STR_NONE };
    w->rows[3] = (struct store_row){ DB_ORDERS, false, { w->id, 16 }, value };
    w->rows[4] = (struct store_row){ DB_IDEMPOTENCY, false, { w->id, 16 }, value };
    w->write = (struct store_write){ .rows = w->rows, .n_rows = ROWS_PER_EVENT, .n_events = 1 };
}

uint64_t lmdb_store_write(struct lmdb_store *s, uint64_t first, uint64_t last, unsigned batch,
                          enum err *status)
{
    struct event_write *writes = mem_zalloc(batch * sizeof(*writes));
    uint64_t done = 0;

    *status = ERR_OK;
    for (uint64_t n = first; n <= last && *status == ERR_OK;) {
        struct list list;
        unsigned k = 0;

        list_init(&list);
        while (k < batch && n <= last) {
            event_write_init(&writes[k], n++);
            list_push_back(&list, &writes[k++].write.link);
        }
        *status = s->engine->ops->apply(s->engine, &list);
        if (*status == ERR_OK)
            done += k;
    }
    mem_free(writes);
    return done;
}

enum err lmdb_store_put(struct lmdb_store *s, enum store_db db, struct str key, struct str value)
{
    struct store_row row = { .db = db, .key = key, .value = value };
    struct store_write w = { .rows = &row, .n_rows = 1, .n_events = db == DB_EVENTS };
    struct list list;

    list_init(&list);
    list_push_back(&list, &w.link);
    return s->engine->ops->apply(s->engine, &list);
}

/* ---- looking -------------------------------------------------------------------- */

enum err lmdb_store_get(struct lmdb_store *s, enum store_db db, struct str key, struct str *value)
{
    void *txn;
    enum err err = s->engine->ops->view_begin(s->engine, &txn);

    if (err != ERR_OK)
        return err;
    err = s->engine->ops->get(s->engine, txn, db, key, &s->arena, value);
    s->engine->ops->view_end(s->engine, txn);
    return err;
}

void lmdb_store_must_have(struct lmdb_store *s, uint64_t n)
{
    struct event_write w;

    event_write_init(&w, n);
    for (unsigned i = 0; i < ROWS_PER_EVENT; i++) {
        struct str value;
        enum err err = lmdb_store_get(s, w.rows[i].db, w.rows[i].key, &value);

        ENSURE(err == ERR_OK);
        ENSURE(str_eq(value, w.rows[i].value));
    }
    arena_reset(&s->arena);
}

void lmdb_store_must_be_sound(struct lmdb_store *s)
{
    struct lmdb_walk walk = { 0 };

    if (lmdb_engine_walk(s->engine, &walk) != ERR_OK)
        check_failed("store", walk.first_damage, __FILE__, __LINE__);
}

/* ---- behind its back ------------------------------------------------------------ */

static MDB_env *raw_open(struct lmdb_store *s, unsigned flags, enum store_db db, MDB_txn **txn,
                         MDB_dbi *dbi)
{
    MDB_env *env;

    REQUIRE(s->engine == NULL);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, STORE_DB_COUNT) != 0 ||
        mdb_env_open(env, s->dir.path, flags | MDB_NOLOCK, 0600) != 0 ||
        mdb_txn_begin(env, NULL, flags, txn) != 0 ||
        mdb_dbi_open(*txn, store_db_name(db), 0, dbi) != 0)
        UNREACHABLE("the file of the test opens");
    return env;
}

/* LMDB does not say where its map is; the process knows. */
static long offset_in_file(const void *p)
{
    unsigned long at = (unsigned long)(uintptr_t)p;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    long found = -1;

    REQUIRE(maps != NULL);
    while (found < 0 && fgets(line, sizeof(line), maps)) {
        char *end;
        unsigned long from = strtoul(line, &end, 16);
        unsigned long to = strtoul(end + 1, &end, 16);
        unsigned long offset = strtoul(end + strlen(" r--s "), NULL, 16);

        if (at >= from && at < to)
            found = (long)(offset + (at - from));
    }
    (void)fclose(maps);
    REQUIRE(found >= 0);
    return found;
}

bool lmdb_store_find(struct lmdb_store *s, enum store_db db, struct str key, long *offset,
                     size_t *len)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = raw_open(s, MDB_RDONLY, db, &txn, &dbi);
    MDB_val k = { key.n, (void *)key.p };
    MDB_val v;
    bool is_there = mdb_get(txn, dbi, &k, &v) == 0;

    if (is_there) {
        *offset = offset_in_file(v.mv_data);
        *len = v.mv_size;
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return is_there;
}

static int open_data(const struct lmdb_store *s)
{
    char path[sizeof(s->dir.path) + 16];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", s->dir.path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

void lmdb_store_flip(struct lmdb_store *s, long offset)
{
    int fd = open_data(s);
    char byte = 0;
    ssize_t n = pread(fd, &byte, 1, offset);

    REQUIRE(n == 1);
    byte ^= 0x10;
    n = pwrite(fd, &byte, 1, offset);
    REQUIRE(n == 1);
    (void)close(fd);
}

long lmdb_store_size(struct lmdb_store *s)
{
    int fd = open_data(s);
    long size = (long)lseek(fd, 0, SEEK_END);

    (void)close(fd);
    return size;
}

void lmdb_store_cut(struct lmdb_store *s, long size)
{
    int fd = open_data(s);
    int rc = ftruncate(fd, size);

    REQUIRE(rc == 0);
    (void)close(fd);
}

void lmdb_store_put_raw(struct lmdb_store *s, enum store_db db, struct str key, struct str value)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = raw_open(s, 0, db, &txn, &dbi);
    MDB_val k = { key.n, (void *)key.p };
    MDB_val v = { value.n, (void *)value.p };

    if (mdb_put(txn, dbi, &k, &v, 0) != 0 || mdb_txn_commit(txn) != 0)
        UNREACHABLE("the file of the test can be written");
    mdb_env_close(env);
}

#define SEALED_MAX 200

void lmdb_store_put_sealed(struct lmdb_store *s, enum store_db db, struct str key, struct str value)
{
    char stored[SEALED_MAX + 2 * sizeof(struct digest16)];

    REQUIRE(db != DB_EVENTS);
    REQUIRE(value.n <= SEALED_MAX);
    lmdb_seal_write(db, key, value, NULL, stored, NULL);
    lmdb_store_put_raw(s, db, key, (struct str){ stored, value.n + lmdb_seal_len(db) });
}

void lmdb_store_delete_raw(struct lmdb_store *s, enum store_db db, struct str key)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = raw_open(s, 0, db, &txn, &dbi);
    MDB_val k = { key.n, (void *)key.p };

    if (mdb_del(txn, dbi, &k, NULL) != 0 || mdb_txn_commit(txn) != 0)
        UNREACHABLE("the row of the test is there");
    mdb_env_close(env);
}

void lmdb_store_drop(struct lmdb_store *s, enum store_db db, unsigned flags)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_env *env = raw_open(s, 0, db, &txn, &dbi);

    if (mdb_drop(txn, dbi, 1) != 0 ||
        (flags && mdb_dbi_open(txn, store_db_name(db), MDB_CREATE | flags, &dbi) != 0) ||
        mdb_txn_commit(txn) != 0)
        UNREACHABLE("the database of the test is there");
    mdb_env_close(env);
}

void lmdb_store_read_at(struct lmdb_store *s, long offset, void *out, size_t n)
{
    int fd = open_data(s);
    ssize_t done = pread(fd, out, n, offset);

    REQUIRE(done == (ssize_t)n);
    (void)close(fd);
}

void lmdb_store_write_at(struct lmdb_store *s, long offset, const void *p, size_t n)
{
    int fd = open_data(s);
    ssize_t done = pwrite(fd, p, n, offset);

    REQUIRE(done == (ssize_t)n);
    (void)close(fd);
}

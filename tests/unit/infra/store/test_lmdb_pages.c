/* Reading LMDB's pages with a doubt: whatever was written is read as it was, and after a byte was
 * flipped anywhere in the file, no read is answered wrongly.
 *
 * ORDERLY_FLIPS=20000 tries more bytes. */
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/in_child.h"
#include "support/lmdb_store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/chance.h"

#define KEYS 900
#define BATCH_MAX 60
#define ROUNDS 60
#define VALUE_MAX 6000
#define FLIPS_DEFAULT 250

/* Rows that stand for themselves, events, and lists. */
static const enum store_db dbs[] = { DB_ORDERS, DB_BY_LANE, DB_ORDERS_BY_CUSTOMER, DB_EVENTS };
#define DBS ARRAY_LEN(dbs)

struct model {
    struct lmdb_store store;
    /* 0: the key is not there; its value is made from the number. */
    uint32_t version[DBS][KEYS];
    uint64_t n_events;
};

/* ---- rows ----------------------------------------------------------------------- */

/* In the order of n. */
static struct str key_of(enum store_db db, unsigned n, char out[STORE_KEY_MAX])
{
    size_t len = db == DB_EVENTS ? 8 : 8 + n * 37 % 48;

    memset(out, 'k', len);
    bytes_put_u64(out, db == DB_EVENTS ? n + 1 : n);
    return (struct str){ out, len };
}

static struct str value_of(enum store_db db, unsigned n, uint32_t version, char out[VALUE_MAX])
{
    uint64_t mixed =
        (n + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ version * UINT64_C(0x94D049BB133111EB);
    size_t len = 0;

    if (db == DB_EVENTS || db == DB_ORDERS)
        len = mixed % 16 == 0 ? mixed / 16 % VALUE_MAX : mixed / 16 % 300;
    memset(out, (int)('a' + mixed % 26), len);
    if (len >= 8)
        bytes_put_u64(out, mixed);
    return (struct str){ out, len };
}

struct batch {
    struct store_write write;
    struct store_row rows[BATCH_MAX];
    char keys[BATCH_MAX][STORE_KEY_MAX];
    char values[BATCH_MAX][VALUE_MAX];
};

static void batch_add(struct model *m, struct batch *b, unsigned at, unsigned n, bool is_delete,
                      uint32_t version)
{
    unsigned i = b->write.n_rows++;
    enum store_db db = dbs[at];

    b->rows[i] = (struct store_row){
        .db = db,
        .is_delete = is_delete,
        .key = key_of(db, n, b->keys[i]),
        .value = is_delete ? STR_NONE : value_of(db, n, version, b->values[i]),
    };
    b->write.n_events += db == DB_EVENTS;
    m->version[at][n] = is_delete ? 0 : version;
}

static void write_round(struct model *m, struct chance *c, uint32_t version, bool shrinks)
{
    struct batch *b = mem_zalloc(sizeof(*b));
    size_t n = 1 + chance_below(c, BATCH_MAX);
    struct list list;

    b->write.rows = b->rows;
    while (b->write.n_rows < n) {
        unsigned at = (unsigned)chance_below(c, DBS);
        unsigned key = (unsigned)chance_below(c, KEYS);

        if (dbs[at] == DB_EVENTS) {
            if (m->n_events < KEYS)
                batch_add(m, b, at, (unsigned)m->n_events++, false, version);
        } else {
            batch_add(m, b, at, key, chance_below(c, 10) < (shrinks ? 9 : 2), version);
        }
    }
    list_init(&list);
    list_push_back(&list, &b->write.link);
    assert_int_equal(m->store.engine->ops->apply(m->store.engine, &list), ERR_OK);
    mem_free(b);
}

/* ---- reads ---------------------------------------------------------------------- */

/* What a read answered, against what it should; false where that is neither right nor refused. */
static bool is_right(const struct model *m, unsigned at, enum err err, const struct str *found,
                     struct str value, unsigned n)
{
    char key[STORE_KEY_MAX];
    char should[VALUE_MAX];

    if (err == ERR_DAMAGED)
        return true;
    if (n >= KEYS)
        return err == ERR_NOT_FOUND;
    return err == ERR_OK && (!found || str_eq(*found, key_of(dbs[at], n, key))) &&
           str_eq(value, value_of(dbs[at], n, m->version[at][n], should));
}

/* Along the whole database, up or down. Stops where a read is refused. */
static bool walks_right(struct model *m, void *txn, unsigned at, bool is_up)
{
    struct engine *e = m->store.engine;
    char last[STORE_KEY_MAX];
    struct str from = STR_NONE;
    enum store_seek how = is_up ? STORE_GE : STORE_LE;
    struct str found;
    struct str value;
    enum err err = ERR_OK;

    if (!is_up) {
        memset(last, 0xff, sizeof(last));
        from = (struct str){ last, sizeof(last) };
    }
    for (unsigned i = 0; i <= KEYS && err == ERR_OK; i++) {
        unsigned n = is_up ? i : KEYS - 1 - i; /* wraps to beyond KEYS at the end */

        if (i < KEYS && m->version[at][n] == 0)
            continue;
        arena_reset(&m->store.arena);
        err = e->ops->seek(e, txn, dbs[at], how, from, &m->store.arena, &found, &value);
        if (!is_right(m, at, err, &found, value, n))
            return false;
        if (err != ERR_OK)
            break;
        memcpy(last, found.p, found.n);
        from = (struct str){ last, found.n };
        how = is_up ? STORE_GT : STORE_LT;
    }
    return true;
}

static unsigned neighbour(const struct model *m, unsigned at, unsigned n, bool is_up)
{
    while (n < KEYS && m->version[at][n] == 0)
        n += is_up ? 1 : -1U;
    return n < KEYS ? n : KEYS;
}

/* Each key by itself, there or not, and from there to either side. */
static bool finds_right(struct model *m, void *txn, unsigned at, unsigned n)
{
    struct engine *e = m->store.engine;
    char bytes[STORE_KEY_MAX];
    struct str key = key_of(dbs[at], n, bytes);
    struct str found;
    struct str value;
    enum err err;

    arena_reset(&m->store.arena);
    err = e->ops->get(e, txn, dbs[at], key, &m->store.arena, &value);
    if (!is_right(m, at, err, NULL, value, m->version[at][n] ? n : KEYS))
        return false;
    for (int how = STORE_GE; how <= STORE_LT; how++) {
        bool is_up = how == STORE_GE || how == STORE_GT;
        unsigned first = how == STORE_GE || how == STORE_LE ? n : is_up ? n + 1 : n - 1;

        err = e->ops->seek(e, txn, dbs[at], (enum store_seek)how, key, &m->store.arena, &found,
                           &value);
        if (!is_right(m, at, err, &found, value, neighbour(m, at, first, is_up)))
            return false;
    }
    return true;
}

/* False: something was answered wrongly. */
static bool reads_right(struct model *m, unsigned step)
{
    struct engine *e = m->store.engine;
    bool ok = true;
    void *txn;

    if (e->ops->view_begin(e, &txn) != ERR_OK)
        return true;
    for (unsigned at = 0; at < DBS && ok; at++) {
        ok = walks_right(m, txn, at, true) && walks_right(m, txn, at, false);
        for (unsigned n = 0; n < KEYS && ok; n += step)
            ok = finds_right(m, txn, at, n);
    }
    e->ops->view_end(e, txn);
    return ok;
}

/* The trees grow narrow, and then empty. */
static void delete_all(struct model *m)
{
    struct batch *b = mem_zalloc(sizeof(*b));

    for (unsigned at = 0; at < DBS; at++)
        for (unsigned n = 0; n < KEYS; n++) {
            struct list list;

            if (m->version[at][n] != 0 && dbs[at] != DB_EVENTS)
                batch_add(m, b, at, n, true, 0);
            if (b->write.n_rows < BATCH_MAX && (n + 1 < KEYS || b->write.n_rows == 0))
                continue;
            b->write.rows = b->rows;
            list_init(&list);
            list_push_back(&list, &b->write.link);
            assert_int_equal(m->store.engine->ops->apply(m->store.engine, &list), ERR_OK);
            assert_true(reads_right(m, 31));
            memset(&b->write, 0, sizeof(b->write));
        }
    mem_free(b);
}

/* ---- the tests ------------------------------------------------------------------ */

static void rows__are_read_as_they_were_written(void **state)
{
    struct chance c = chance_init(__func__);
    struct model *m = mem_zalloc(sizeof(*m));

    (void)state;
    lmdb_store_init(&m->store);
    lmdb_store_must_open(&m->store);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        write_round(m, &c, round, round % 20 > 12);
        assert_true(reads_right(m, 7));
    }
    delete_all(m);
    assert_true(reads_right(m, 1));
    lmdb_store_must_be_sound(&m->store);
    lmdb_store_deinit(&m->store);
    mem_free(m);
}

static void on_broken(void *ctx, const char *why)
{
    (void)ctx;
    in_child_leave(ERR_CANCELED, why);
}

/* ERR_OK: all was right. ERR_DAMAGED: it did not open, or a signal ended it. ERR_CANCELED: it ended
 * by itself. ERR_INVALID: something wrong was answered. */
static enum err open_and_read(void *ctx, char *text, size_t text_size)
{
    struct model *m = ctx;
    enum err err;

    m->store.config.is_reader = true;
    m->store.config.on_broken = on_broken;
    err = lmdb_store_open(&m->store);
    (void)snprintf(text, text_size, "%s", m->store.report.why);
    if (err != ERR_OK)
        return ERR_DAMAGED;
    return reads_right(m, 13) ? ERR_OK : ERR_INVALID;
}

static void flip(const struct lmdb_store *s, long offset, unsigned char mask)
{
    char path[600];
    int byte;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", s->dir.path);
    f = fopen(path, "r+e");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    byte = fgetc(f);
    assert_true(byte != EOF);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ mask, f), byte ^ mask);
    assert_int_equal(fclose(f), 0);
}

static void flipped_byte__is_never_served(void **state)
{
    const char *asked = getenv("ORDERLY_FLIPS");
    unsigned flips = asked ? (unsigned)strtoul(asked, NULL, 10) : FLIPS_DEFAULT;
    struct chance c = chance_init(__func__);
    struct model *m = mem_zalloc(sizeof(*m));
    unsigned unseen = 0, ended = 0, refused = 0;
    long size;

    (void)state;
    lmdb_store_init(&m->store);
    lmdb_store_must_open(&m->store);
    for (uint32_t round = 1; round <= ROUNDS; round++)
        write_round(m, &c, round, round % 20 > 12);
    lmdb_store_close(&m->store);
    size = lmdb_store_size(&m->store);
    for (unsigned i = 0; i < flips; i++) {
        long offset = (long)chance_below(&c, (size_t)size);
        unsigned char mask = (unsigned char)(1u << chance_below(&c, 8));
        char text[LMDB_TEXT_MAX];
        enum err err;

        if (i % 8 == 0) /* where a page says what it is and what it holds */
            offset = offset / 4096 * 4096 + (long)chance_below(&c, 64);
        if (i % 3 == 0)
            mask = (unsigned char)(1 + chance_below(&c, 255));
        if (i <
            2) { /* of each meta page the number of its transaction, by which the newer one is told */
            offset = 4096 * (long)i + 144;
            mask = 8;
        }
        flip(&m->store, offset, mask);
        err = in_child_run(open_and_read, m, text, sizeof(text));
        flip(&m->store, offset, mask);
        if (err == ERR_INVALID)
            fail_msg("a wrong row was served with byte %ld ^ %02x", offset, mask);
        unseen += err == ERR_OK;
        ended += err == ERR_CANCELED;
        refused += err == ERR_DAMAGED;
        if (strstr(text, "signal"))
            printf("byte %ld ^ %02x: %s\n", offset, mask, text);
    }
    printf("%u bytes of %ld: %u harmless or refused by the row, %u ended the reader, %u did not "
           "open\n",
           flips, size, unseen, ended, refused);
    assert_true(ended > 0);
    lmdb_store_deinit(&m->store);
    mem_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows__are_read_as_they_were_written),
        cmocka_unit_test(flipped_byte__is_never_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

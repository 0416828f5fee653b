/* A rebuild changes nothing where nothing is wrong, makes good what the events can make, and leaves
 * alone what they can't. */
#include "../../../../src/infra/operate/rebuild.h"
#include "orderly/base/bytes.h"
#include "orderly/infra/store/in_child.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "verify_rig.h"

#define STORIES 6
#define STEPS 100
#define FLIPS 120

/* ---- all rows of a store --------------------------------------------------------------------- */

/* Of a closed one: each row as it is stored; of the database `keys_only` the keys. */
static uint64_t sum_of_rows_but(const struct lmdb_store *s, enum store_db keys_only)
{
    static const struct map_key key = { { 1 } };
    char file[600];
    char why[LMDB_TEXT_MAX];
    struct lmdb_look *look;
    uint64_t sum = 0;

    (void)snprintf(file, sizeof(file), "%s/data.mdb", s->dir.path);
    if (lmdb_look_open_file(file, &look, why) != ERR_OK)
        fail_msg("%s", why);
    assert_int_equal(lmdb_look_renew(look), ERR_OK);
    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        struct lmdb_scan scan;

        lmdb_scan_begin(&scan, look, (enum store_db)db, STR_NONE);
        for (; lmdb_scan_has_key(&scan); lmdb_scan_next(&scan))
            sum = sum * 31 + siphash(&key, scan.row.key) * 7 +
                  (db == keys_only ? 0 : siphash(&key, scan.row.stored));
        assert_int_equal(scan.status, ERR_NOT_FOUND);
        lmdb_scan_end(&scan);
        sum = sum * 31 + db;
    }
    lmdb_look_destroy(look);
    return sum;
}

static uint64_t sum_of_rows(const struct lmdb_store *s)
{
    return sum_of_rows_but(s, STORE_DB_COUNT);
}

/* ---- running --------------------------------------------------------------------------------- */

struct rebuild_run {
    struct rebuild r;
    struct buf lines;
    struct lmdb_report report;
    enum err err;
};

static void on_fault(void *ctx, const char *line)
{
    struct rebuild_run *run = ctx;

    buf_printf(&run->lines, "%s\n", line);
}

static void rebuild(struct rebuild_run *run, struct lmdb_store *s)
{
    struct lmdb_build *b;

    *run = (struct rebuild_run){ .r = { .on_fault = on_fault } };
    run->r.ctx = run;
    run->err = lmdb_build_begin(s->dir.path, &b, &run->report);
    if (run->err == ERR_OK) {
        run->err = rebuild_store(b, &run->r);
        if (run->err == ERR_OK)
            run->err = lmdb_build_adopt(b);
        lmdb_build_end(b);
    }
    *buf_reserve(&run->lines, 1) = '\0';
}

static uint64_t differences(const struct rebuild *r)
{
    uint64_t n = 0;

    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        n += r->differences[db].missing + r->differences[db].wrong + r->differences[db].too_many;
    return n;
}

/* It is made good, and found to have differed in so many rows of this database and in no other. */
static void assert_made_good(struct lmdb_store *s, uint64_t sum, enum store_db db,
                             struct rebuild_difference is)
{
    struct rebuild_run run;

    rebuild(&run, s);
    if (run.err != ERR_OK)
        fail_msg("%s: %s\n%s", store_db_name(db), err_name(run.err), run.lines.p);
    assert_true(run.r.is_compared);
    assert_memory_equal(&run.r.differences[db], &is, sizeof(is));
    assert_int_equal(differences(&run.r), is.missing + is.wrong + is.too_many);
    buf_deinit(&run.lines);
    if (sum_of_rows(s) != sum)
        fail_msg("%s: is not what it was", store_db_name(db));
    lmdb_store_must_open(s);
    assert_all_is_well(s->engine);
    lmdb_store_close(s);
}

static void assert_nothing_differs(struct lmdb_store *s, uint64_t sum)
{
    assert_made_good(s, sum, DB_ORDERS, (struct rebuild_difference){ 0 });
}

/* ---- sound stores ---------------------------------------------------------------------------- */

static void sound_store__comes_out_as_it_was(void **state)
{
    struct lmdb_store s;
    struct lmdb_state before;
    struct lmdb_state after;
    uint64_t sum;

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    lmdb_engine_state(s.engine, &before);
    lmdb_store_close(&s);
    sum = sum_of_rows(&s);
    assert_nothing_differs(&s, sum);
    assert_nothing_differs(&s, sum);
    lmdb_store_must_open(&s); /* the same log, in the same epoch */
    lmdb_engine_state(s.engine, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    lmdb_store_deinit(&s);
}

static void random_histories__come_out_as_they_were(void **state)
{
    struct chance seeds = chance_init("rebuild");

    (void)state;
    for (unsigned i = 0; i < STORIES; i++) {
        struct app_config config = app_fixture_config();
        struct chance c = { seeds.state + i };
        struct app_fixture f;
        struct lmdb_store s;

        app_fixture_init(&f, &config);
        for (unsigned n = 0; n < STEPS; n++)
            history_step(&f, &c, n);
        lmdb_store_init(&s);
        history_to_disk(f.engine, &s);
        app_fixture_deinit(&f);
        assert_nothing_differs(&s, sum_of_rows(&s));
        lmdb_store_deinit(&s);
    }
}

static void empty_store__comes_out_empty(void **state)
{
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    lmdb_store_close(&s);
    assert_nothing_differs(&s, sum_of_rows(&s));
    lmdb_store_deinit(&s);
}

/* ---- what the events can make ---------------------------------------------------------------- */

/* All that follows from the events, and more than one row of each at a time. */
static const enum store_db made[] = {
    DB_BY_LANE,
    DB_BY_TYPE,
    DB_ORDERS,
    DB_PARTS,
    DB_OWNERS,
    DB_CARTS,
    DB_PRODUCTS,
    DB_STOCK,
    DB_ORDERS_BY_STATUS,
    DB_ORDERS_BY_CUSTOMER,
    DB_UNSETTLED,
    DB_REFUNDS_DUE,
    DB_DEADLINES,
    DB_IDEMPOTENCY_EXPIRY,
    DB_DEAD_LETTERS_BY_LANE,
};

/* Takes every row away; returns how many. */
static uint64_t empty_database(struct lmdb_store *s, enum store_db db)
{
    uint64_t n = 0;

    lmdb_store_must_open(s);
    for (;;) {
        struct store_row row = { .db = db, .is_delete = true };
        struct store_write w = { .rows = &row, .n_rows = 1 };
        struct list list;
        struct str value;
        void *txn;
        enum err err;

        assert_int_equal(s->engine->ops->view_begin(s->engine, &txn), ERR_OK);
        err = s->engine->ops->seek(s->engine, txn, db, STORE_GE, STR_NONE, &s->arena, &row.key,
                                   &value);
        s->engine->ops->view_end(s->engine, txn);
        if (err != ERR_OK)
            break;
        list_init(&list);
        list_push_back(&list, &w.link);
        assert_int_equal(s->engine->ops->apply(s->engine, &list), ERR_OK);
        n++;
    }
    lmdb_store_close(s);
    arena_reset(&s->arena);
    return n;
}

static void emptied_database__is_filled_again(void **state)
{
    struct lmdb_store s;
    uint64_t sum;

    (void)state;
    store_of_all(&s);
    sum = sum_of_rows(&s);
    for (unsigned i = 0; i < ARRAY_LEN(made); i++) {
        uint64_t n = empty_database(&s, made[i]);

        assert_true(n > 0);
        assert_made_good(&s, sum, made[i], (struct rebuild_difference){ .missing = n });
    }
    lmdb_store_deinit(&s);
}

static void strange_rows__are_left_out(void **state)
{
    struct lmdb_store s;
    uint64_t sum;

    (void)state;
    store_of_all(&s);
    sum = sum_of_rows(&s);
    for (unsigned i = 0; i < ARRAY_LEN(made); i++) {
        char key[40];

        memset(key, 0x55, sizeof(key));
        lmdb_store_must_open(&s);
        assert_int_equal(lmdb_store_put(&s, made[i], (struct str){ key, 24 }, STR("x")), ERR_OK);
        lmdb_store_close(&s);
        assert_made_good(&s, sum, made[i], (struct rebuild_difference){ .too_many = 1 });
    }
    lmdb_store_deinit(&s);
}

/* Their times are said by no event, the rest is. */
static void dead_letters_that_are_gone__are_made_again(void **state)
{
    struct rebuild_run run;
    struct lmdb_store s;
    uint64_t n;

    (void)state;
    store_of_all(&s);
    n = empty_database(&s, DB_DEAD_LETTERS);
    assert_true(n > 3);
    rebuild(&run, &s);
    assert_int_equal(run.err, ERR_OK);
    assert_int_equal(run.r.differences[DB_DEAD_LETTERS].missing, n);
    buf_deinit(&run.lines);
    lmdb_store_must_open(&s);
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

/* ---- what they can't ------------------------------------------------------------------------- */

static char *file_bytes(const struct lmdb_store *s, size_t *n)
{
    char file[600];
    struct stat st;
    char *bytes;
    int fd;

    (void)snprintf(file, sizeof(file), "%s/data.mdb", s->dir.path);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *n = (size_t)st.st_size;
    bytes = malloc(*n);
    assert_int_equal(read(fd, bytes, *n), (ssize_t)*n);
    (void)close(fd);
    return bytes;
}

static bool has_copy(const struct lmdb_store *s)
{
    char file[600];

    (void)snprintf(file, sizeof(file), "%s/copy.mdb", s->dir.path);
    return access(file, F_OK) == 0;
}

static void assert_refuses(struct lmdb_store *s, const char *says)
{
    struct rebuild_run run;
    size_t n;
    size_t n_after;
    char *before = file_bytes(s, &n);
    char *after;

    rebuild(&run, s);
    assert_int_equal(run.err, ERR_DAMAGED);
    if (!strstr(run.lines.p, says))
        fail_msg("'%s' is not said:\n%s", says, run.lines.p);
    buf_deinit(&run.lines);
    after = file_bytes(s, &n_after);
    assert_int_equal(n, n_after);
    assert_memory_equal(before, after, n);
    assert_false(has_copy(s));
    free(before);
    free(after);
}

static void find_any(struct lmdb_store *s, enum store_db db, char *key, size_t *key_len)
{
    struct str found;
    struct str value;
    void *txn;

    lmdb_store_must_open(s);
    assert_int_equal(s->engine->ops->view_begin(s->engine, &txn), ERR_OK);
    assert_int_equal(
        s->engine->ops->seek(s->engine, txn, db, STORE_GE, STR_NONE, &s->arena, &found, &value),
        ERR_OK);
    s->engine->ops->view_end(s->engine, txn);
    memcpy(key, found.p, found.n);
    *key_len = found.n;
    lmdb_store_close(s);
}

static void damage_that_no_event_mends__is_refused(void **state)
{
    static const struct {
        enum store_db db;
        const char *says;
    } rows[] = {
        { DB_EVENTS, "EVENTS 1: the sum of position 1 is wrong" },
        { DB_IDEMPOTENCY, "its sum is wrong, and no event makes it" },
        { DB_LANES, "LANES " },
        { DB_IGNORED, "IGNORED " },
        { DB_CURSORS, "CURSORS orders: its sum is wrong" },
        { DB_SETTINGS, "SETTINGS " },
    };
    struct lmdb_store s;
    uint64_t sum;

    (void)state;
    store_of_all(&s);
    sum = sum_of_rows(&s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char key[STORE_KEY_MAX];
        size_t key_len;
        long offset;
        size_t len;

        find_any(&s, rows[i].db, key, &key_len);
        assert_true(lmdb_store_find(&s, rows[i].db, (struct str){ key, key_len }, &offset, &len));
        lmdb_store_flip(&s, offset + (long)(len / 2));
        assert_refuses(&s, rows[i].says);
        lmdb_store_flip(&s, offset + (long)(len / 2));
    }
    assert_nothing_differs(&s, sum);
    lmdb_store_deinit(&s);
}

static void store_in_use__is_left_alone(void **state)
{
    struct rebuild_run run;
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    rebuild(&run, &s);
    assert_int_equal(run.err, ERR_BUSY);
    assert_non_null(strstr(run.report.why, "is in use by another server"));
    buf_deinit(&run.lines);
    lmdb_store_deinit(&s);
}

static void directory_without_a_store__is_left_without(void **state)
{
    struct lmdb_build *b;
    struct lmdb_report report;
    struct rebuild_run run;
    struct lmdb_store s;
    char file[600];

    (void)state;
    lmdb_store_init(&s);
    rebuild(&run, &s);
    assert_int_equal(run.err, ERR_NOT_FOUND);
    assert_non_null(strstr(run.report.why, "holds no store"));
    buf_deinit(&run.lines);
    (void)snprintf(file, sizeof(file), "%s/server.lock", s.dir.path);
    assert_int_equal(access(file, F_OK), -1);
    (void)snprintf(file, sizeof(file), "%s/none", s.dir.path);
    assert_int_equal(lmdb_build_begin(file, &b, &report), ERR_NOT_FOUND);
    assert_int_equal(access(file, F_OK), -1);
    lmdb_store_deinit(&s);
}

/* ---- any byte -------------------------------------------------------------------------------- */

static enum err rebuild_in_child(void *ctx, char *text, size_t text_size)
{
    struct rebuild_run run;
    struct lmdb_store *s = ctx;

    (void)!freopen("/dev/null", "w", stderr);
    rebuild(&run, s);
    (void)snprintf(text, text_size, "%s", run.lines.p);
    return run.err;
}

static void write_file(const struct lmdb_store *s, const char *bytes, size_t n)
{
    char file[600];
    int fd;

    (void)snprintf(file, sizeof(file), "%s/data.mdb", s->dir.path);
    fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    (void)close(fd);
}

/* It is made good or it is left as it is; nothing comes out that is neither. But no event says when a
 * letter failed: where the letter itself is damaged, another time comes out. */
static void flipped_byte__is_made_good_or_refused(void **state)
{
    struct chance c = chance_init(__func__);
    unsigned n_good = 0;
    unsigned n_refused = 0;
    struct lmdb_store s;
    uint64_t sum;
    char *bytes;
    size_t n;

    (void)state;
    store_of_all(&s);
    sum = sum_of_rows_but(&s, DB_DEAD_LETTERS);
    bytes = file_bytes(&s, &n);
    for (unsigned i = 0; i < FLIPS; i++) {
        char text[LMDB_TEXT_MAX] = "";
        long at = (long)chance_below(&c, n);
        enum err err;

        lmdb_store_flip(&s, at);
        err = in_child_run(rebuild_in_child, &s, text, sizeof(text));
        if (err == ERR_OK) {
            n_good++;
            if (sum_of_rows_but(&s, DB_DEAD_LETTERS) != sum)
                fail_msg("the byte at %ld: what came out is not what was", at);
        } else {
            size_t n_after;
            char *after = file_bytes(&s, &n_after);

            n_refused++;
            assert_int_equal(n, n_after);
            assert_true((after[at] ^ bytes[at]) == 0x10);
            after[at] ^= 0x10;
            assert_memory_equal(bytes, after, n);
            free(after);
        }
        write_file(&s, bytes, n);
    }
    print_message("%u made good or as it was, %u refused\n", n_good, n_refused);
    assert_true(n_good > 0);
    assert_true(n_refused > 0);
    free(bytes);
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_store__comes_out_as_it_was),
        cmocka_unit_test(random_histories__come_out_as_they_were),
        cmocka_unit_test(empty_store__comes_out_empty),
        cmocka_unit_test(emptied_database__is_filled_again),
        cmocka_unit_test(strange_rows__are_left_out),
        cmocka_unit_test(dead_letters_that_are_gone__are_made_again),
        cmocka_unit_test(damage_that_no_event_mends__is_refused),
        cmocka_unit_test(store_in_use__is_left_alone),
        cmocka_unit_test(directory_without_a_store__is_left_without),
        cmocka_unit_test(flipped_byte__is_made_good_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

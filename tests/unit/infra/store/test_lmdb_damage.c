/* What was changed behind the store's back is found by the read that meets it and by the walk, and
 * is never served. */
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/in_child.h"
#include "orderly/infra/store/lmdb_backup.h"
#include "support/chance.h"
#include "support/lmdb_store.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 300

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static void store_with_events(struct lmdb_store *s, uint64_t n)
{
    enum err status;

    lmdb_store_init(s);
    lmdb_store_must_open(s);
    assert_int_equal(lmdb_store_write(s, 1, n, 50, &status), n);
}

static struct str position_key(uint64_t n, char out[8])
{
    bytes_put_u64(out, n);
    return (struct str){ out, 8 };
}

static struct str id_key(uint64_t n, char out[16])
{
    memset(out, 'i', 8);
    bytes_put_u64(out + 8, n);
    return (struct str){ out, 16 };
}

static enum err walk(struct lmdb_store *s, struct lmdb_walk *w)
{
    memset(w, 0, sizeof(*w));
    return lmdb_engine_walk(s->engine, w);
}

/* ---- rows ----------------------------------------------------------------------- */

static void assert_found(struct lmdb_store *s, enum store_db db, struct str key, uint64_t n,
                         const char *what)
{
    struct lmdb_walk w;
    struct str value;

    lmdb_store_must_open(s);
    assert_int_equal(lmdb_store_get(s, db, key, &value), ERR_DAMAGED);
    assert_int_equal(walk(s, &w), ERR_DAMAGED);
    assert_int_equal(w.n_damaged, 1);
    assert_says(w.first_damage, what);
    assert_int_equal(w.last_position, EVENTS);
    /* Its neighbours are served. */
    lmdb_store_must_have(s, n - 1);
    lmdb_store_must_have(s, n + 1);
    lmdb_store_close(s);
}

/* Every byte of one row of each kind, value and sums. */
static void flipped_byte__is_found_by_the_read_and_by_the_walk(void **state)
{
    static const struct {
        enum store_db db;
        bool is_event;
        const char *says;
    } rows[] = {
        { DB_EVENTS, true, "position 150" },
        { DB_ORDERS, false, "ORDERS, row 69696969-6969-6969-" },
        { DB_IDEMPOTENCY, false, "IDEMPOTENCY, row 69696969-6969-6969-" },
    };
    struct lmdb_store s;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_store_close(&s);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bytes[16];
        struct str key = rows[i].is_event ? position_key(150, bytes) : id_key(150, bytes);
        long offset;
        size_t len;

        assert_true(lmdb_store_find(&s, rows[i].db, key, &offset, &len));
        assert_int_equal(len, LMDB_STORE_VALUE_LEN + (rows[i].is_event ? 32 : 16));
        for (size_t k = 0; k < len; k += 1 + k % 7) {
            lmdb_store_flip(&s, offset + (long)k);
            /* An event's sum is what the next one is chained to, so the walk misses it twice. */
            if (rows[i].is_event && k >= len - 16) {
                struct lmdb_walk w;

                lmdb_store_must_open(&s);
                assert_int_equal(walk(&s, &w), ERR_DAMAGED);
                assert_says(w.first_damage, rows[i].says);
                assert_int_equal(lmdb_store_get(&s, rows[i].db, key, NULL), ERR_DAMAGED);
                lmdb_store_close(&s);
            } else {
                assert_found(&s, rows[i].db, key, 150, rows[i].says);
            }
            lmdb_store_flip(&s, offset + (long)k);
        }
    }
    lmdb_store_must_open(&s);
    lmdb_store_must_be_sound(&s);
    lmdb_store_deinit(&s);
}

/* A whole row with a right sum, but of another place, is no better. */
static void row_of_another_key__is_found(void **state)
{
    struct lmdb_store s;
    struct lmdb_walk w;
    char from[16];
    char to[16];
    struct str stored;
    long offset;
    size_t len;
    char bytes[200];
    char path[600];
    FILE *f;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_store_close(&s);
    assert_true(lmdb_store_find(&s, DB_ORDERS, id_key(10, from), &offset, &len));
    (void)snprintf(path, sizeof(path), "%s/data.mdb", s.dir.path);
    f = fopen(path, "re");
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fread(bytes, 1, len, f), len);
    (void)fclose(f);
    stored = (struct str){ bytes, len };
    lmdb_store_put_raw(&s, DB_ORDERS, id_key(11, to), stored);
    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_get(&s, DB_ORDERS, id_key(11, to), &stored), ERR_DAMAGED);
    assert_int_equal(walk(&s, &w), ERR_DAMAGED);
    lmdb_store_close(&s);
    /* The same key in another database. */
    lmdb_store_put_raw(&s, DB_IDEMPOTENCY, id_key(10, from), (struct str){ bytes, len });
    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_get(&s, DB_IDEMPOTENCY, id_key(10, from), &stored), ERR_DAMAGED);
    assert_int_equal(walk(&s, &w), ERR_DAMAGED);
    assert_int_equal(w.n_damaged, 2);
    lmdb_store_deinit(&s);
}

/* An event that was written anew, with a sum that is right by itself, breaks the chain. */
static void replaced_history__is_found_by_the_walk(void **state)
{
    struct lmdb_store a;
    struct lmdb_store b;
    struct lmdb_walk w;
    char key[8];
    char bytes[200];
    char path[600];
    long offset;
    size_t len;
    FILE *f;

    (void)state;
    store_with_events(&a, EVENTS);
    store_with_events(&b, EVENTS);
    lmdb_store_close(&a);
    lmdb_store_close(&b);
    assert_true(lmdb_store_find(&b, DB_EVENTS, position_key(77, key), &offset, &len));
    (void)snprintf(path, sizeof(path), "%s/data.mdb", b.dir.path);
    f = fopen(path, "re");
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fread(bytes, 1, len, f), len);
    (void)fclose(f);
    lmdb_store_put_raw(&a, DB_EVENTS, position_key(77, key), (struct str){ bytes, len });
    lmdb_store_must_open(&a);
    assert_int_equal(walk(&a, &w), ERR_DAMAGED);
    assert_says(w.first_damage, "position 77 is not chained");
    lmdb_store_deinit(&a);
    lmdb_store_deinit(&b);
}

static void last_event__is_looked_at_by_every_opening(void **state)
{
    struct lmdb_store s;
    char key[8];
    long offset;
    size_t len;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_store_close(&s);
    assert_true(lmdb_store_find(&s, DB_EVENTS, position_key(EVENTS, key), &offset, &len));
    lmdb_store_flip(&s, offset);
    assert_int_equal(lmdb_store_open(&s), ERR_DAMAGED);
    assert_says(s.report.why, "damaged");
    assert_says(s.report.why, "position 300");
    assert_says(s.report.why, "restore from backup");
    lmdb_store_deinit(&s);
}

/* ---- pages and files ------------------------------------------------------------ */

static void copy_of(const struct lmdb_store *s, struct lmdb_store *copy)
{
    char command[1300];

    lmdb_store_init(copy);
    (void)snprintf(command, sizeof(command), "cp '%s/data.mdb' '%s'", s->dir.path, copy->dir.path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
}

/* The numbers by which LMDB chooses between its two meta pages, and the end of what is in use. */
static void flipped_meta_page__does_not_lose_the_last_commit(void **state)
{
    unsigned n_refused = 0;
    struct lmdb_store s;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_store_close(&s);
    for (long page = 0; page < 2; page++)
        for (long byte = 136; byte < 152; byte++) { /* last page, transaction */
            struct lmdb_store flipped;
            enum err err;

            copy_of(&s, &flipped);
            lmdb_store_flip(&flipped, page * 4096 + byte);
            err = lmdb_store_open(&flipped);
            if (err == ERR_OK) { /* more room than there is, or the page that does not count */
                assert_true(byte < 144);
                lmdb_store_must_be_sound(&flipped);
                lmdb_store_must_have(&flipped, EVENTS);
            } else {
                assert_int_equal(err, ERR_DAMAGED);
                assert_says(flipped.report.why, "restore from backup");
                n_refused++;
            }
            lmdb_store_deinit(&flipped);
        }
    assert_true(n_refused >= 16);
    lmdb_store_deinit(&s);
}

static void truncated_file__is_found_by_the_opening(void **state)
{
    struct lmdb_store s;
    long size;

    (void)state;
    store_with_events(&s, 5000);
    lmdb_store_close(&s);
    size = lmdb_store_size(&s);
    for (long left = size - 4096; left > 0; left -= size / 9) {
        struct lmdb_store cut;

        copy_of(&s, &cut);
        lmdb_store_cut(&cut, left);
        assert_int_equal(lmdb_store_open(&cut), ERR_DAMAGED);
        assert_says(cut.report.why, "is damaged");
        assert_says(cut.report.why, "restore from backup");
        lmdb_store_deinit(&cut);
    }
    lmdb_store_must_open(&s);
    lmdb_store_must_be_sound(&s);
    lmdb_store_deinit(&s);
}

/* LMDB may give back its highest page in the transaction that took it, without writing it. */
static void file_short_by_unused_pages__opens(void **state)
{
    struct lmdb_store s;
    char big[200000];
    long size;

    (void)state;
    store_with_events(&s, EVENTS);
    memset(big, 'b', sizeof(big));
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("big"), (struct str){ big, sizeof(big) }),
                     ERR_OK);
    size = lmdb_store_size(&s);
    for (unsigned i = 0; i < 4; i++) /* the place of the big one becomes free for good */
        assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("big"), STR("small")), ERR_OK);
    lmdb_store_close(&s);
    assert_true(lmdb_store_size(&s) <= size);
    lmdb_store_cut(&s, size - 60000);
    lmdb_store_must_open(&s);
    lmdb_store_must_be_sound(&s);
    assert_true(lmdb_store_size(&s) >= size - 4096); /* and is whole again */
    lmdb_store_deinit(&s);
}

struct broken_page {
    struct lmdb_store *store;
    bool as_reader;
};

/* Any byte of any page of LMDB's may be wrong: whoever opens and walks it ends, or finds it, or it
 * was in a part that is not used. Nothing wrong is handed out, which on_row checks. */
static bool row_is_right(void *ctx, enum store_db db, struct str key, struct str value)
{
    char should[LMDB_STORE_VALUE_LEN];
    uint64_t n;

    (void)ctx;
    if (db != DB_EVENTS && db != DB_ORDERS && db != DB_IDEMPOTENCY)
        return true;
    n = bytes_get_u64(key.p + key.n - 8);
    if (!str_eq(value, lmdb_store_value(n, should)))
        in_child_leave(ERR_INVALID, "a wrong value was served");
    return true;
}

static enum err open_and_check(void *ctx, char *text, size_t text_size)
{
    struct broken_page *b = ctx;
    struct lmdb_walk w = { .on_row = row_is_right };
    enum err err;

    b->store->config.is_reader = b->as_reader;
    err = lmdb_store_open(b->store);
    if (err == ERR_OK)
        err = lmdb_engine_walk(b->store->engine, &w);
    (void)snprintf(text, text_size, "%s", w.first_damage);
    return err;
}

static void broken_pages__never_show_a_wrong_row(void **state)
{
    struct chance c = chance_init(__func__);
    struct lmdb_store s;
    unsigned ends[ERR_SHUTTING_DOWN + 1] = { 0 };
    char text[LMDB_TEXT_MAX];
    long size;

    (void)state;
    store_with_events(&s, 1000);
    lmdb_store_close(&s);
    size = lmdb_store_size(&s);
    for (unsigned i = 0; i < 150; i++) {
        struct broken_page b = { &s, true };
        long offset = (long)chance_below(&c, (size_t)size);
        enum err err;

        lmdb_store_flip(&s, offset);
        err = in_child_run(open_and_check, &b, text, sizeof(text));
        assert_int_not_equal(err, ERR_INVALID);
        ends[err]++;
        lmdb_store_flip(&s, offset);
    }
    print_message("sound %u, damaged %u, other %u\n", ends[ERR_OK], ends[ERR_DAMAGED],
                  150 - ends[ERR_OK] - ends[ERR_DAMAGED]);
    assert_true(ends[ERR_DAMAGED] > 0);
    lmdb_store_deinit(&s);
}

/* ---- copies --------------------------------------------------------------------- */

static void backup__is_the_same_log_and_begins_a_new_epoch(void **state)
{
    struct lmdb_store s;
    struct lmdb_store copy;
    struct lmdb_backup backup;
    struct lmdb_report report;
    struct lmdb_state a;
    struct lmdb_state b;
    struct lmdb_walk w;
    enum err status;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_engine_state(s.engine, &a);
    assert_memory_equal(a.origin, a.epoch, sizeof(a.origin));
    lmdb_store_init(&copy);
    assert_int_equal(lmdb_engine_backup(s.engine, copy.dir.path, &backup, &report), ERR_OK);
    assert_int_equal(backup.last_position, EVENTS);
    assert_memory_equal(backup.last_sum, a.last_sum, sizeof(a.last_sum));
    assert_true(backup.rows >= 5 * EVENTS);
    assert_true(backup.bytes > 0);
    assert_int_equal(lmdb_engine_backup(s.engine, copy.dir.path, &backup, &report), ERR_BUSY);
    assert_says(report.why, "holds a store already");
    /* The original goes on. */
    assert_int_equal(lmdb_store_write(&s, EVENTS + 1, EVENTS + 5, 1, &status), 5);

    for (uint64_t i = 1; i <= 3; i++) { /* again and again: restored, backed up, restored */
        struct lmdb_store next;

        lmdb_store_must_open(&copy);
        assert_says(copy.report.note, "a new epoch begins");
        lmdb_engine_state(copy.engine, &b);
        assert_int_equal(b.epochs, i + 1);
        assert_int_equal(b.epoch_first_position, b.last_position + 1);
        assert_memory_not_equal(a.epoch, b.epoch, sizeof(a.epoch));
        assert_memory_equal(a.origin, b.origin, sizeof(a.origin));
        lmdb_store_close(&copy);
        lmdb_store_must_open(&copy); /* once only */
        lmdb_engine_state(copy.engine, &b);
        assert_memory_equal(a.origin, b.origin, sizeof(a.origin));
        assert_string_equal(copy.report.note, "");
        if (i != 2) /* one epoch without an event */
            assert_int_equal(
                lmdb_store_write(&copy, b.last_position + 1, b.last_position + 5, 2, &status), 5);
        assert_int_equal(walk(&copy, &w), ERR_OK);
        assert_int_equal(w.epochs, i + 1);
        lmdb_store_init(&next);
        assert_int_equal(lmdb_engine_backup(copy.engine, next.dir.path, &backup, &report), ERR_OK);
        lmdb_store_deinit(&copy);
        copy = next;
        copy.config.dir = copy.dir.path;
    }
    lmdb_store_deinit(&copy);
    lmdb_store_deinit(&s);
}

static void backup__of_a_damaged_store_is_not_kept(void **state)
{
    struct lmdb_store s;
    struct temp_dir dest;
    struct lmdb_backup backup;
    struct lmdb_report report;
    char path[600];
    char key[16];
    long offset;
    size_t len;

    (void)state;
    store_with_events(&s, EVENTS);
    lmdb_store_close(&s);
    assert_true(lmdb_store_find(&s, DB_ORDERS, id_key(9, key), &offset, &len));
    lmdb_store_flip(&s, offset);
    lmdb_store_must_open(&s);
    temp_dir_init(&dest);
    assert_int_equal(lmdb_engine_backup(s.engine, dest.path, &backup, &report), ERR_DAMAGED);
    assert_says(report.why, "ORDERS, row 69");
    (void)snprintf(path, sizeof(path), "%s/data.mdb", dest.path);
    assert_int_equal(access(path, F_OK), -1);
    temp_dir_deinit(&dest);
    lmdb_store_deinit(&s);
}

static void make_file(const char *dir, const char *name)
{
    char path[600];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void backup__that_was_cut_short_is_no_empty_directory(void **state)
{
    struct lmdb_store s;
    struct lmdb_store copy;
    struct lmdb_backup backup;
    struct lmdb_report report;

    (void)state;
    lmdb_store_init(&copy);
    make_file(copy.dir.path, "unfinished-backup.mdb");
    assert_int_equal(lmdb_store_open(&copy), ERR_INVALID);
    assert_says(copy.report.why, "holds a backup that was not finished, and no store");
    copy.config.is_reader = true;
    assert_int_equal(lmdb_store_open(&copy), ERR_NOT_FOUND);
    assert_says(copy.report.why, "holds a backup that was not finished, and no store");

    /* The next one takes its place. */
    store_with_events(&s, EVENTS);
    assert_int_equal(lmdb_engine_backup(s.engine, copy.dir.path, &backup, &report), ERR_OK);
    copy.config.is_reader = false;
    lmdb_store_must_open(&copy);
    lmdb_store_close(&copy);
    lmdb_store_deinit(&copy);

    /* Or it is tidied away. */
    lmdb_store_init(&copy);
    make_file(copy.dir.path, "unfinished-backup.mdb");
    lmdb_backup_tidy(copy.dir.path);
    lmdb_store_must_open(&copy);
    lmdb_backup_tidy(copy.dir.path); /* leaves a server alone */
    lmdb_store_must_be_sound(&copy);
    lmdb_store_deinit(&copy);
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_byte__is_found_by_the_read_and_by_the_walk),
        cmocka_unit_test(row_of_another_key__is_found),
        cmocka_unit_test(replaced_history__is_found_by_the_walk),
        cmocka_unit_test(last_event__is_looked_at_by_every_opening),
        cmocka_unit_test(flipped_meta_page__does_not_lose_the_last_commit),
        cmocka_unit_test(truncated_file__is_found_by_the_opening),
        cmocka_unit_test(file_short_by_unused_pages__opens),
        cmocka_unit_test(broken_pages__never_show_a_wrong_row),
        cmocka_unit_test(backup__is_the_same_log_and_begins_a_new_epoch),
        cmocka_unit_test(backup__of_a_damaged_store_is_not_kept),
        cmocka_unit_test(backup__that_was_cut_short_is_no_empty_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

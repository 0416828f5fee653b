/* Opening and reopening the LMDB engine: what it keeps, and what it refuses. The suite of
 * test_store_conformance says the rest of what an engine does. */
#include "../../../../src/infra/store/lmdb_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/in_child.h"
#include "orderly/infra/store/memory.h"
#include "support/chance.h"
#include "support/lmdb_store.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static void write_events(struct lmdb_store *s, uint64_t first, uint64_t last)
{
    enum err status;

    assert_int_equal(lmdb_store_write(s, first, last, 7, &status), last - first + 1);
    assert_int_equal(status, ERR_OK);
}

static struct lmdb_state state_of(struct lmdb_store *s)
{
    struct lmdb_state state;

    lmdb_engine_state(s->engine, &state);
    return state;
}

static void touch(const struct lmdb_store *s, const char *name)
{
    char path[1024];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", s->dir.path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static bool has_file(const struct lmdb_store *s, const char *name)
{
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/%s", s->dir.path, name);
    return access(path, F_OK) == 0;
}

/* ---- keeping -------------------------------------------------------------------- */

static void reopening__keeps_every_row_and_the_end_of_the_chain(void **state)
{
    struct lmdb_store s;
    struct lmdb_state before;
    struct lmdb_state after;
    struct store_stats stats = { 0 };

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    assert_int_equal(state_of(&s).last_position, 0);
    assert_int_equal(state_of(&s).epoch_first_position, 1);
    for (uint64_t n = 1; n <= 500; n += 100) {
        write_events(&s, n, n + 99);
        before = state_of(&s);
        assert_int_equal(before.last_position, n + 99);
        lmdb_store_close(&s);
        lmdb_store_must_open(&s);
        after = state_of(&s);
        assert_int_equal(after.last_position, before.last_position);
        assert_int_equal(after.epochs, 1);
        assert_memory_equal(before.last_sum, after.last_sum, sizeof(before.last_sum));
        assert_memory_equal(before.epoch, after.epoch, sizeof(before.epoch));
    }
    for (uint64_t n = 1; n <= 500; n++)
        lmdb_store_must_have(&s, n);
    lmdb_store_must_be_sound(&s);
    s.engine->ops->stats(s.engine, &stats);
    assert_int_equal(stats.events, 500);
    assert_int_equal(stats.events_max, 0);
    assert_true(stats.bytes > 500 * 3 * LMDB_STORE_VALUE_LEN);
    assert_true(stats.bytes <= (uint64_t)lmdb_store_size(&s));
    assert_true(stats.free_ratio > 0 && stats.free_ratio <= 1);
    lmdb_store_deinit(&s);
}

static void directory__is_made_and_is_the_owners_alone(void **state)
{
    struct lmdb_store s;
    char path[600];
    struct stat st;

    (void)state;
    lmdb_store_init(&s);
    (void)snprintf(path, sizeof(path), "%s/made", s.dir.path);
    s.config.dir = path;
    lmdb_store_must_open(&s);
    assert_string_equal(s.report.warning, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    lmdb_store_close(&s);

    assert_int_equal(chmod(path, 0750), 0);
    lmdb_store_must_open(&s);
    assert_says(s.report.warning, "others than its owner may enter");
    assert_says(s.report.warning, "mode 750");
    lmdb_store_close(&s);

    struct temp_dir made;
    memcpy(made.path, path, sizeof(made.path));
    temp_dir_deinit(&made);
    lmdb_store_deinit(&s);
}

static void opening__removes_what_an_interrupted_one_left(void **state)
{
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    touch(&s, STORE_FILE_NEW); /* cut off before it was whole: it is not the log */
    touch(&s, STORE_FILE_COPY);
    lmdb_store_must_open(&s);
    assert_false(has_file(&s, STORE_FILE_NEW));
    assert_false(has_file(&s, STORE_FILE_COPY));
    write_events(&s, 1, 3);
    lmdb_store_deinit(&s);
}

/* ---- refusing ------------------------------------------------------------------- */

static enum err open_again(void *ctx, char *text, size_t text_size)
{
    const struct lmdb_config *config = ctx;
    struct lmdb_report report;
    struct engine *e;
    enum err err = lmdb_engine_open(config, &e, &report);

    (void)snprintf(text, text_size, "%s", report.why);
    if (err == ERR_OK)
        lmdb_engine_close(e);
    return err;
}

static void opening__is_refused_to_a_second_server(void **state)
{
    struct lmdb_store s;
    char why[LMDB_TEXT_MAX];
    char who[32];

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    assert_int_equal(in_child_run(open_again, &s.config, why, sizeof(why)), ERR_BUSY);
    assert_says(why, s.dir.path);
    assert_says(why, "in use by another server");
    (void)snprintf(who, sizeof(who), "(process %ld)", (long)getpid());
    assert_says(why, who);
    write_events(&s, 1, 3);
    lmdb_store_close(&s);
    assert_int_equal(in_child_run(open_again, &s.config, why, sizeof(why)), ERR_OK);
    lmdb_store_deinit(&s);
}

static void opening__is_refused_to_an_older_program(void **state)
{
    struct lmdb_store s;
    char row[4];

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    write_events(&s, 1, 3);
    lmdb_store_close(&s);
    bytes_put_u32(row, LMDB_SCHEMA + 1);
    lmdb_store_put_raw(&s, DB_META, STR("store:schema"), (struct str){ row, sizeof(row) });
    assert_int_equal(lmdb_store_open(&s), ERR_INVALID);
    assert_says(s.report.why, "newer version");
    assert_says(s.report.why, "schema 2, here 1");
    touch(&s, STORE_FILE_MARK); /* nor does a check of it go ahead */
    assert_int_equal(lmdb_store_open(&s), ERR_INVALID);
    assert_says(s.report.why, "newer version");
    s.config.is_reader = true;
    assert_int_equal(lmdb_store_open(&s), ERR_INVALID);
    lmdb_store_deinit(&s);
}

static void opening__is_refused_where_it_cannot_write(void **state)
{
    struct lmdb_store s;
    char path[600];

    (void)state;
    lmdb_store_init(&s);
    touch(&s, "file");
    (void)snprintf(path, sizeof(path), "%s/file/below", s.dir.path);
    s.config.dir = path;
    assert_int_equal(lmdb_store_open(&s), ERR_IO);
    assert_says(s.report.why, "can't be made: Not a directory");
    s.config.dir = "/proc/orderly";
    assert_int_equal(lmdb_store_open(&s), ERR_IO);
    assert_says(s.report.why, "/proc/orderly can't be made");
    s.config.dir = "/proc/self";
    assert_int_equal(lmdb_store_open(&s), ERR_IO);
    assert_says(s.report.why, "can't be written");
    s.config.dir = "";
    assert_int_equal(lmdb_store_open(&s), ERR_IO);
    assert_says(s.report.why, "empty");
    lmdb_store_deinit(&s);
}

/* ---- readers -------------------------------------------------------------------- */

static enum err read_beside(void *ctx, char *text, size_t text_size)
{
    struct lmdb_store s = *(struct lmdb_store *)ctx;

    s.engine = NULL; /* the server's, which is another process */
    s.config.is_reader = true;
    if (lmdb_store_open(&s) != ERR_OK) {
        (void)snprintf(text, text_size, "%s", s.report.why);
        return ERR_IO;
    }
    for (uint64_t n = 1; n <= 20; n++)
        lmdb_store_must_have(&s, n);
    lmdb_store_must_be_sound(&s);
    (void)snprintf(text, text_size, "%llu", (unsigned long long)state_of(&s).last_position);
    lmdb_engine_close(s.engine);
    return ERR_OK;
}

static void reader__looks_beside_a_live_server_and_at_a_stopped_one(void **state)
{
    struct lmdb_store s;
    char text[LMDB_TEXT_MAX];

    (void)state;
    lmdb_store_init(&s);
    s.config.is_reader = true;
    assert_int_equal(lmdb_store_open(&s), ERR_NOT_FOUND);
    assert_says(s.report.why, "holds no store");
    s.config.is_reader = false;
    lmdb_store_must_open(&s);
    write_events(&s, 1, 20);
    assert_int_equal(in_child_run(read_beside, &s, text, sizeof(text)), ERR_OK);
    assert_string_equal(text, "20");
    write_events(&s, 21, 30);
    lmdb_store_close(&s);
    assert_int_equal(in_child_run(read_beside, &s, text, sizeof(text)), ERR_OK);
    assert_string_equal(text, "30");
    lmdb_store_deinit(&s);
}

static void views__show_one_moment(void **state)
{
    struct lmdb_store s;
    struct str value;
    void *views[LMDB_VIEWS_KEPT_MAX + 3];
    char key[8];

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(views); i++) {
            write_events(&s, round * ARRAY_LEN(views) + i + 1, round * ARRAY_LEN(views) + i + 1);
            assert_int_equal(s.engine->ops->view_begin(s.engine, &views[i]), ERR_OK);
        }
        for (size_t i = 0; i < ARRAY_LEN(views); i++) {
            uint64_t last = round * ARRAY_LEN(views) + i + 1;

            for (uint64_t n = 1; n <= last + 1; n++) {
                bytes_put_u64(key, n);
                assert_int_equal(s.engine->ops->get(s.engine, views[i], DB_EVENTS,
                                                    (struct str){ key, 8 }, &s.arena, &value),
                                 n <= last ? ERR_OK : ERR_NOT_FOUND);
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(views); i++)
            s.engine->ops->view_end(s.engine, views[i]);
    }
    lmdb_store_deinit(&s);
}

/* ---- batches -------------------------------------------------------------------- */

struct comparison {
    struct engine *memory;
    struct arena arena;
    uint64_t rows;
};

static bool is_in_memory(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct comparison *c = ctx;
    struct str expected;

    if (db == DB_META) /* the engine's own */
        return true;
    c->rows++;
    arena_reset(&c->arena);
    return c->memory->ops->get(c->memory, NULL, db, key, &c->arena, &expected) == ERR_OK &&
           str_eq(value, expected);
}

#define MODEL_ROWS 60

struct model_write {
    struct store_write write;
    struct store_row rows[MODEL_ROWS];
    char keys[MODEL_ROWS][40];
};

/* Few keys, so that the same one is put, deleted and put again in one batch; or so many that pages
 * split and merge; or keys that differ late. */
static void model_key(struct chance *c, enum store_db db, char key[40])
{
    size_t n = chance_below(c, db == DB_STOCK || db == DB_DEADLINES ? 40 : 3000);

    (void)snprintf(key, 40, "%s%zu", db == DB_CARTS ? "keys with one beginning " : "", n);
}

static void model_write_init(struct model_write *w, struct chance *c, size_t deletes_of_6,
                             uint64_t *position, uint64_t *expected)
{
    static const enum store_db dbs[] = { DB_STOCK, DB_ORDERS, DB_DEADLINES, DB_CARTS };
    static const char text[] = "some text whose length is chosen";

    *w = (struct model_write){ .write.rows = w->rows };
    for (size_t n = 1 + chance_below(c, MODEL_ROWS - 1); n > 0; n--) {
        unsigned i = w->write.n_rows++;
        struct store_row *row = &w->rows[i];

        *row = (struct store_row){ .value = { text, chance_below(c, sizeof(text)) } };
        if (chance_below(c, 5) == 0) {
            row->db = DB_EVENTS;
            bytes_put_u64(w->keys[i], ++*position);
            row->key = (struct str){ w->keys[i], 8 };
            w->write.n_events++;
            (*expected)++;
        } else {
            row->db = dbs[chance_below(c, ARRAY_LEN(dbs))];
            row->is_delete = chance_below(c, 6) < deletes_of_6;
            model_key(c, row->db, w->keys[i]);
            row->key = str_of(w->keys[i]);
        }
    }
}

static void apply_batch(struct lmdb_store *s, struct engine *memory, struct model_write *writes,
                        size_t n)
{
    struct list batch;

    for (unsigned k = 0; k < 2; k++) {
        struct engine *e = k == 0 ? memory : s->engine;

        list_init(&batch);
        for (size_t i = 0; i < n; i++)
            list_push_back(&batch, &writes[i].write.link);
        assert_int_equal(e->ops->apply(e, &batch), ERR_OK);
    }
}

static void batches__leave_what_their_rows_leave_one_by_one(void **state)
{
    struct chance c = chance_init(__func__);
    struct comparison comparison = { .memory = memory_engine_create(1000000) };
    struct model_write *writes = mem_zalloc(30 * sizeof(*writes));
    uint64_t position = 0;
    uint64_t events = 0;
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    arena_init(&comparison.arena, NULL, 0);
    for (unsigned round = 0; round < 80; round++) {
        struct lmdb_walk walk = { .on_row = is_in_memory, .ctx = &comparison };
        struct str key = STR_NONE;
        uint64_t rows = 0;
        size_t n = 1 + chance_below(&c, 29);

        for (size_t i = 0; i < n; i++) /* the trees grow, then shrink */
            model_write_init(&writes[i], &c, round / 20 % 2 == 0 ? 1 : 5, &position, &events);
        apply_batch(&s, comparison.memory, writes, n);
        comparison.rows = 0;
        assert_int_equal(lmdb_engine_walk(s.engine, &walk), ERR_OK);
        for (unsigned db = 0; db < STORE_DB_COUNT; db++, key = STR_NONE)
            while (comparison.memory->ops->seek(comparison.memory, NULL, (enum store_db)db,
                                                STORE_GT, key, &comparison.arena, &key,
                                                NULL) == ERR_OK)
                rows++;
        assert_int_equal(comparison.rows, rows);
        assert_int_equal(walk.rows_of[DB_EVENTS], events);
    }
    arena_deinit(&comparison.arena);
    memory_engine_destroy(comparison.memory);
    mem_free(writes);
    lmdb_store_deinit(&s);
}

/* ---- bounds --------------------------------------------------------------------- */

static void full_map__refuses_and_goes_on_when_there_is_room(void **state)
{
    struct lmdb_store s;
    uint64_t done = 0;
    uint64_t before;
    enum err status = ERR_OK;
    struct store_stats stats = { 0 };

    (void)state;
    lmdb_store_init(&s);
    s.config.map_bytes = 1u << 20;
    lmdb_store_must_open(&s);
    while (status == ERR_OK)
        done += lmdb_store_write(&s, done + 1, done + 50, 50, &status);
    assert_int_equal(status, ERR_FULL);
    assert_true(done > 500);
    before = done;
    assert_int_equal(state_of(&s).last_position, done);
    s.engine->ops->stats(s.engine, &stats);
    assert_int_equal(stats.events, done);
    assert_true(stats.free_ratio < 0.1);
    /* Nothing of it is there, and the same again is refused again. */
    assert_int_equal(lmdb_store_write(&s, done + 1, done + 50, 50, &status), 0);
    assert_int_equal(status, ERR_FULL);
    lmdb_store_must_be_sound(&s);
    lmdb_store_must_have(&s, done);
    assert_false(has_file(&s, STORE_FILE_MARK));
    lmdb_store_close(&s);

    s.config.map_bytes = 4u << 20;
    lmdb_store_must_open(&s);
    done += lmdb_store_write(&s, done + 1, done + 500, 50, &status);
    assert_int_equal(status, ERR_OK);
    assert_int_equal(done, before + 500);
    lmdb_store_must_be_sound(&s);
    lmdb_store_deinit(&s);
}

/* The same process goes on: what it gives back is used again. */
static void full_map__goes_on_after_rows_were_deleted(void **state)
{
    struct lmdb_store s;
    char big[40000];
    char key[8];
    unsigned n = 0;
    enum err err;

    (void)state;
    lmdb_store_init(&s);
    s.config.map_bytes = 1u << 20;
    lmdb_store_must_open(&s);
    memset(big, 'b', sizeof(big));
    do {
        bytes_put_u64(key, n++);
        err =
            lmdb_store_put(&s, DB_CARTS, (struct str){ key, 8 }, (struct str){ big, sizeof(big) });
    } while (err == ERR_OK);
    assert_int_equal(err, ERR_FULL);
    for (unsigned i = 0; i < n; i++) {
        struct store_row row = { .db = DB_CARTS, .is_delete = true, .key = { key, 8 } };
        struct store_write w = { .rows = &row, .n_rows = 1 };
        struct list list;

        bytes_put_u64(key, i);
        list_init(&list);
        list_push_back(&list, &w.link);
        err = s.engine->ops->apply(s.engine, &list);
        if (err != ERR_OK)
            break;
    }
    assert_int_equal(err, ERR_OK);
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("again"), (struct str){ big, sizeof(big) }),
                     ERR_OK);
    lmdb_store_must_be_sound(&s);
    lmdb_store_deinit(&s);
}

/* ---- versions and epochs -------------------------------------------------------- */

static int step_one(struct lmdb_env *db, MDB_txn *txn)
{
    return lmdb_env_put(db, txn, DB_SETTINGS, STR("one"), STR("1"));
}

static int step_two(struct lmdb_env *db, MDB_txn *txn)
{
    struct str value;
    int rc = lmdb_env_get(db, txn, DB_SETTINGS, STR("one"), &value);

    return rc == 0 ? lmdb_env_put(db, txn, DB_SETTINGS, STR("two"), STR("2")) : rc;
}

static void schema__goes_forward_step_by_step_or_not_at_all(void **state)
{
    static const struct lmdb_step steps[] = { { 2, step_two }, { 1, step_one } };
    struct lmdb_store s;
    struct lmdb_env db;
    struct str value;
    uint32_t version = 0;
    MDB_txn *txn;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    lmdb_store_close(&s);
    assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_NOLOCK, s.config.map_bytes), 0);
    assert_int_equal(mdb_txn_begin(db.env, NULL, 0, &txn), 0);
    assert_int_equal(lmdb_env_open_all(&db, txn, false), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);

    assert_int_equal(mdb_txn_begin(db.env, NULL, 0, &txn), 0);
    assert_int_equal(lmdb_schema_forward(&db, txn, 4, steps, ARRAY_LEN(steps)), ENOTSUP);
    mdb_txn_abort(txn);
    assert_int_equal(mdb_txn_begin(db.env, NULL, 0, &txn), 0);
    assert_int_equal(lmdb_env_get(&db, txn, DB_SETTINGS, STR("one"), &value), MDB_NOTFOUND);
    assert_int_equal(lmdb_schema_forward(&db, txn, 3, steps, ARRAY_LEN(steps)), 0);
    assert_int_equal(lmdb_env_get(&db, txn, DB_SETTINGS, STR("two"), &value), 0);
    assert_int_equal(lmdb_schema_read(&db, txn, &version), 0);
    assert_int_equal(version, 3);
    mdb_txn_abort(txn);
    lmdb_env_close(&db);
    lmdb_store_deinit(&s);
}

static void fsyncs__are_seen(void **state)
{
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    assert_true(lmdb_of(s.engine)->sees_syncs);
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reopening__keeps_every_row_and_the_end_of_the_chain),
        cmocka_unit_test(directory__is_made_and_is_the_owners_alone),
        cmocka_unit_test(opening__removes_what_an_interrupted_one_left),
        cmocka_unit_test(opening__is_refused_to_a_second_server),
        cmocka_unit_test(opening__is_refused_to_an_older_program),
        cmocka_unit_test(opening__is_refused_where_it_cannot_write),
        cmocka_unit_test(reader__looks_beside_a_live_server_and_at_a_stopped_one),
        cmocka_unit_test(views__show_one_moment),
        cmocka_unit_test(batches__leave_what_their_rows_leave_one_by_one),
        cmocka_unit_test(full_map__refuses_and_goes_on_when_there_is_room),
        cmocka_unit_test(full_map__goes_on_after_rows_were_deleted),
        cmocka_unit_test(schema__goes_forward_step_by_step_or_not_at_all),
        cmocka_unit_test(fsyncs__are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

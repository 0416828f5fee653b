#include "support/lmdb_scenes.h"
#include "../../src/infra/store/store_dir.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/infra/store/lmdb_backup.h"
#include "orderly/infra/store/lmdb_build.h"
#include "orderly/infra/store/lmdb_look.h"
#include <stdio.h>
#include <sys/stat.h>

#define EVENTS 12

static struct str number(uint64_t n, char out[8])
{
    bytes_put_u64(out, n);
    return (struct str){ out, 8 };
}

enum err scene_close_and_open(struct lmdb_scene *s)
{
    lmdb_store_close(&s->store);
    return lmdb_store_open(&s->store);
}

enum err scene_open_marked(struct lmdb_scene *s)
{
    char path[600];
    int rc;

    lmdb_store_close(&s->store);
    (void)snprintf(path, sizeof(path), "%s/%s", s->store.dir.path, STORE_FILE_MARK);
    rc = mknod(path, S_IFREG | 0600, 0); /* not open(), which may be what fails */
    REQUIRE(rc == 0);
    return lmdb_store_open(&s->store);
}

enum err scene_open_new(struct lmdb_scene *s)
{
    return lmdb_store_open(&s->other);
}

enum err scene_open_restored(struct lmdb_scene *s)
{
    return lmdb_store_open(&s->other);
}

enum err scene_open_reader(struct lmdb_scene *s)
{
    struct lmdb_config config = s->store.config;
    struct lmdb_report report;
    struct engine *reader;
    enum err err;

    config.is_reader = true;
    err = lmdb_engine_open(&config, &reader, &report);
    if (err == ERR_OK)
        lmdb_engine_close(reader);
    else
        REQUIRE(report.why[0]);
    return err;
}

enum err scene_write_events(struct lmdb_scene *s)
{
    enum err err;

    s->acknowledged +=
        lmdb_store_write(&s->store, s->acknowledged + 1, s->acknowledged + 6, 3, &err);
    return err;
}

enum err scene_write_and_delete(struct lmdb_scene *s)
{
    struct store_row rows[] = {
        { .db = DB_CARTS, .key = STR("cart"), .value = STR("c") },
        { .db = DB_CARTS, .key = STR("cart"), .is_delete = true },
        { .db = DB_DEADLINES, .key = STR("nobody"), .is_delete = true },
    };
    struct store_write w = { .rows = rows, .n_rows = ARRAY_LEN(rows) };
    struct list list;

    list_init(&list);
    list_push_back(&list, &w.link);
    return s->store.engine->ops->apply(s->store.engine, &list);
}

enum err scene_read_rows(struct lmdb_scene *s)
{
    const struct engine_ops *ops = s->store.engine->ops;
    char key[8];
    enum err err, worst;
    struct str found, value;
    struct arena arena;
    void *view;

    worst = ops->view_begin(s->store.engine, &view);
    if (worst != ERR_OK)
        return worst;
    arena_init(&arena, NULL, 0);
    err = ops->get(s->store.engine, view, DB_EVENTS, number(3, key), &arena, &value);
    worst = err != ERR_OK ? err : worst;
    for (int how = STORE_GE; how <= STORE_LT; how++) {
        err = ops->seek(s->store.engine, view, DB_EVENTS, (enum store_seek)how, number(5, key),
                        &arena, &found, &value);
        worst = err != ERR_OK ? err : worst;
    }
    arena_deinit(&arena);
    ops->view_end(s->store.engine, view);
    return worst;
}

enum err scene_walk(struct lmdb_scene *s)
{
    struct lmdb_walk w = { 0 };

    return lmdb_engine_walk(s->store.engine, &w);
}

enum err scene_look(struct lmdb_scene *s)
{
    struct lmdb_look *l = lmdb_look_create(s->store.engine);
    struct lmdb_walk w = { 0 };
    struct lmdb_scan scan;
    struct lmdb_row row;
    char key[8];
    enum err err = lmdb_look_renew(l);

    lmdb_look_be_restless(l);
    if (err == ERR_OK)
        err = lmdb_look_get(l, DB_EVENTS, number(2, key), &row);
    if (err == ERR_OK) {
        lmdb_scan_begin(&scan, l, DB_EVENTS, number(2, key));
        while (lmdb_scan_has_key(&scan)) {
            err = lmdb_look_renew(l);
            if (err != ERR_OK)
                break;
            lmdb_scan_refresh(&scan);
            if (lmdb_scan_has_key(&scan))
                lmdb_scan_next(&scan);
        }
        if (err == ERR_OK && scan.status != ERR_NOT_FOUND)
            err = scan.status;
        lmdb_scan_end(&scan);
    }
    if (err == ERR_OK)
        err = lmdb_look_walk(l, &w);
    lmdb_look_destroy(l);
    return err;
}

enum err scene_backup(struct lmdb_scene *s)
{
    struct lmdb_report report;
    struct lmdb_backup out;
    enum err err = lmdb_engine_backup(s->store.engine, s->other.dir.path, &out, &report);

    if (err == ERR_OK)
        REQUIRE(out.last_position == s->acknowledged);
    else
        REQUIRE(report.why[0]);
    return err;
}

/* All rows as they are, but what the store's meta database says of the log itself, unless that is
 * wanted: the fresh one has not been given any yet. */
static enum err copy_rows(struct lmdb_build *b, bool with_meta)
{
    enum err err = lmdb_look_renew(lmdb_build_from(b));

    for (int db = 0; db < STORE_DB_COUNT && err == ERR_OK; db++) {
        struct lmdb_scan scan;

        lmdb_scan_begin(&scan, lmdb_build_from(b), (enum store_db)db, STR(""));
        while (scan.status == ERR_OK && err == ERR_OK) {
            if (db != DB_META || with_meta)
                err = lmdb_build_put_stored(b, (enum store_db)db, scan.row.key, scan.row.stored);
            lmdb_scan_next(&scan);
        }
        if (err == ERR_OK && scan.status != ERR_NOT_FOUND)
            err = scan.status;
        lmdb_scan_end(&scan);
    }
    return err == ERR_OK ? lmdb_build_commit(b) : err;
}

/* Of the store, which is closed. */
static enum err begin_build(struct lmdb_scene *s, struct lmdb_build **out)
{
    struct lmdb_report report;
    enum err err;

    lmdb_store_close(&s->store);
    err = lmdb_build_begin(s->store.dir.path, out, &report);
    if (err != ERR_OK)
        REQUIRE(report.why[0]);
    return err;
}

enum err scene_build(struct lmdb_scene *s)
{
    struct lmdb_build *b;
    struct str value;
    char key[8];
    enum err err = begin_build(s, &b);

    if (err != ERR_OK)
        return err;
    err = copy_rows(b, false);
    if (err == ERR_OK)
        err = lmdb_build_get(b, DB_EVENTS, number(1, key), &value);
    if (err == ERR_OK)
        err = lmdb_look_renew(lmdb_build_to(b));
    lmdb_build_end(b); /* not adopted: the old one stays */
    return err;
}

enum err scene_rebuild(struct lmdb_scene *s)
{
    struct lmdb_build *b;
    enum err err = begin_build(s, &b);

    if (err != ERR_OK)
        return err;
    err = copy_rows(b, true);
    if (err == ERR_OK)
        err = lmdb_build_put(b, DB_CARTS, STR("one"), STR("more"));
    if (err == ERR_OK)
        err = lmdb_build_finish(b);
    if (err == ERR_OK)
        err = lmdb_build_adopt(b);
    if (err != ERR_OK)
        REQUIRE(lmdb_build_why(b)[0] || lmdb_look_why(lmdb_build_from(b), NULL)[0]);
    lmdb_build_end(b);
    return err;
}

/* ---- each call in turn ------------------------------------------------------------ */

static void make_backup(struct lmdb_scene *s)
{
    enum err err = scene_backup(s);

    REQUIRE(err == ERR_OK);
}

/* Opens it anew; what was acknowledged is there. */
static void must_be_whole(struct lmdb_store *store, uint64_t acknowledged)
{
    lmdb_store_close(store);
    store->config.is_reader = false;
    lmdb_store_must_open(store);
    for (uint64_t n = 1; n <= acknowledged; n++)
        lmdb_store_must_have(store, n);
    lmdb_store_must_be_sound(store);
}

bool lmdb_scene_fail_nth(const struct scene_fault *f, scene_cb run, unsigned nth)
{
    struct lmdb_scene s = { .acknowledged = 0 };
    bool has_failed;
    enum err err;

    lmdb_store_init(&s.store);
    lmdb_store_init(&s.other);
    lmdb_store_must_open(&s.store);
    s.acknowledged = lmdb_store_write(&s.store, 1, EVENTS, EVENTS, &err);
    REQUIRE(err == ERR_OK);
    if (f->with_backup)
        make_backup(&s);
    f->arm(nth, f->code);
    err = run(&s);
    has_failed = f->disarm();
    /* What reads must not take it for a row that is not there. */
    REQUIRE(err != ERR_NOT_FOUND);
    if (has_failed || err != ERR_OK) {
        must_be_whole(&s.store, s.acknowledged);
        if (f->with_backup)
            must_be_whole(&s.other, EVENTS);
    }
    lmdb_store_deinit(&s.other);
    lmdb_store_deinit(&s.store);
    return has_failed || err != ERR_OK;
}

unsigned lmdb_scene_fail_each(const struct scene_fault *f, scene_cb run, unsigned stride)
{
    unsigned nth = 1;

    while (lmdb_scene_fail_nth(f, run, nth)) {
        REQUIRE(nth < SCENE_CALLS_MAX);
        nth += stride;
    }
    return nth - 1;
}

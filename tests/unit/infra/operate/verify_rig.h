/* Verifying a store of a test, and keeping what it said. */
#ifndef TESTS_UNIT_INFRA_OPERATE_VERIFY_RIG_H
#define TESTS_UNIT_INFRA_OPERATE_VERIFY_RIG_H
#include "../../../../src/infra/operate/verify.h"
#include "orderly/base/buf.h"
#include "support/history.h"

struct verify_run {
    struct verify v;
    struct buf lines; /* with a NUL */
    enum err err;
};

static inline void verify_run_on_fault(void *ctx, const char *line)
{
    struct verify_run *d = ctx;

    buf_printf(&d->lines, "%s\n", line);
}

static inline void verify_run_on(struct verify_run *d, struct engine *e)
{
    struct lmdb_look *look = lmdb_look_create(e);

    d->v.on_fault = verify_run_on_fault;
    if (!d->v.ctx)
        d->v.ctx = d;
    d->err = verify_store(look, &d->v);
    *buf_reserve(&d->lines, 1) = '\0';
    lmdb_look_destroy(look);
}

static inline void verify_run_deinit(struct verify_run *d)
{
    buf_deinit(&d->lines);
}

static inline void assert_all_is_well(struct engine *e)
{
    struct verify_run d = { .err = ERR_OK };

    verify_run_on(&d, e);
    if (d.err != ERR_OK)
        fail_msg("%s:\n%s", err_name(d.err), d.lines.p);
    verify_run_deinit(&d);
}

/* A store on disk with history_of_all in it, closed. */
static inline void store_of_all(struct lmdb_store *s)
{
    struct app_config config = app_fixture_config();
    struct app_fixture f;

    app_fixture_init(&f, &config);
    history_of_all(&f);
    lmdb_store_init(s);
    history_to_disk(f.engine, s);
    app_fixture_deinit(&f);
}
#endif

/* One flipped byte anywhere in the file of a store: whoever verifies it finds it, unless all rows are
 * still there, the same, and can be read, because the byte lay where nothing is. */
#include "orderly/infra/store/in_child.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "verify_rig.h"

#define FLIPS 600

static void on_broken(void *ctx, const char *why)
{
    (void)ctx;
    in_child_leave(ERR_DAMAGED, why);
}

static enum err open_reader(struct lmdb_store *s)
{
    enum err err;

    /* What LMDB and the sanitizer say about a broken page is not for the eyes of a person. */
    (void)!freopen("/dev/null", "w", stderr);
    s->config.is_reader = true;
    s->config.on_broken = on_broken;
    err = lmdb_store_open(s);
    return err == ERR_OK ? ERR_OK : ERR_DAMAGED;
}

static enum err verify_in_child(void *ctx, char *text, size_t text_size)
{
    struct verify_run d = { .err = ERR_OK };
    struct lmdb_store *s = ctx;

    if (open_reader(s) != ERR_OK)
        return ERR_DAMAGED;
    verify_run_on(&d, s->engine);
    (void)snprintf(text, text_size, "%s", d.lines.p);
    return d.err;
}

/* A sum over all rows of all databases, as they lie there; printed. */
static enum err sum_in_child(void *ctx, char *text, size_t text_size)
{
    static const struct map_key key = { { 1 } };
    struct lmdb_store *s = ctx;
    struct lmdb_look *look;
    uint64_t sum = 0;

    if (open_reader(s) != ERR_OK)
        return ERR_DAMAGED;
    look = lmdb_look_create(s->engine);
    if (lmdb_look_renew(look) != ERR_OK)
        return ERR_DAMAGED;
    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        struct lmdb_scan scan;

        lmdb_scan_begin(&scan, look, (enum store_db)db, STR_NONE);
        for (; lmdb_scan_has_key(&scan); lmdb_scan_next(&scan))
            sum = sum * 31 + siphash(&key, scan.row.key) * 7 + siphash(&key, scan.row.stored);
        if (scan.status != ERR_NOT_FOUND)
            return ERR_DAMAGED;
        sum = sum * 31 + db;
    }
    (void)snprintf(text, text_size, "%llu", (unsigned long long)sum);
    return ERR_OK;
}

static enum err run(struct lmdb_store *s, in_child_cb what, char text[LMDB_TEXT_MAX])
{
    text[0] = '\0';
    return in_child_run(what, s, text, LMDB_TEXT_MAX);
}

static void flipped_byte__is_found_wherever_a_row_lies(void **state)
{
    struct chance c = chance_init(__func__);
    struct lmdb_store s;
    char text[LMDB_TEXT_MAX];
    char before[LMDB_TEXT_MAX];
    unsigned n_found = 0;
    long size;
    long step;

    (void)state;
    store_of_all(&s);
    size = lmdb_store_size(&s);
    step = size / FLIPS;
    assert_int_equal(run(&s, verify_in_child, text), ERR_OK);
    assert_int_equal(run(&s, sum_in_child, before), ERR_OK);
    for (long at = (long)chance_below(&c, (size_t)step); at < size; at += step) {
        enum err err;

        lmdb_store_flip(&s, at);
        err = run(&s, verify_in_child, text);
        n_found += err != ERR_OK;
        if (err == ERR_OK && (run(&s, sum_in_child, text) != ERR_OK || strcmp(text, before) != 0))
            fail_msg("the byte at %ld is another, which changes what is read, and is not found",
                     at);
        lmdb_store_flip(&s, at);
    }
    print_message("%u of %d found; the others lie where nothing is\n", n_found, FLIPS);
    assert_true(n_found > FLIPS / 10);
    assert_int_equal(run(&s, verify_in_child, text), ERR_OK);
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_byte__is_found_wherever_a_row_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

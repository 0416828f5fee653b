/* The old store beside the fresh one: what differed. The old one's pages may be broken, so whatever
 * goes through its lists is a process of its own (in_child.h). */
#include "orderly/infra/store/in_child.h"
#include "rebuild_private.h"
#include <stdio.h>
#include <stdlib.h>

#define COMPARE_TEXT 4096 /* three numbers for each database */

/* ---- probing --------------------------------------------------------------------------------- */

static const enum store_db asked[] = { DB_PARTS,    DB_DEAD_LETTERS, DB_IDEMPOTENCY,
                                       DB_LANES,    DB_IGNORED,      DB_CURSORS,
                                       DB_SETTINGS, DB_META,         DB_IDEMPOTENCY_EXPIRY };

struct probe {
    struct lmdb_look *from;
    const enum store_db *dbs;
    size_t n;
};

static bool can_be_read(struct lmdb_look *from, enum store_db db)
{
    uint64_t n = 0;
    struct lmdb_scan s;

    lmdb_scan_begin(&s, from, db, STR_NONE);
    for (; lmdb_scan_has_key(&s); lmdb_scan_next(&s)) {
        struct lmdb_row row;
        enum err err = lmdb_look_get(from, db, s.row.key, &row);

        if (err == ERR_IO || err == ERR_NOT_FOUND)
            return false;
        n++;
    }
    return s.status == ERR_NOT_FOUND && n == lmdb_look_count(from, db);
}

static enum err probe_run(void *ctx, char *text, size_t text_size)
{
    const struct probe *p = ctx;

    (void)text;
    (void)text_size;
    for (size_t i = 0; i < p->n; i++)
        if (!can_be_read(p->from, p->dbs[i]))
            return ERR_DAMAGED;
    return ERR_OK;
}

static bool probe(struct rebuilder *rb, const enum store_db *dbs, size_t n)
{
    struct probe p = { rb->from, dbs, n };
    char text[LMDB_TEXT_MAX] = "";

    return in_child_run(probe_run, &p, text, sizeof(text)) == ERR_OK;
}

void rebuild_probe(struct rebuilder *rb)
{
    bool all = probe(rb, asked, ARRAY_LEN(asked));

    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        rb->can_read[asked[i]] = all || probe(rb, &asked[i], 1);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int key_order(struct str a, struct str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool compare_db(struct lmdb_look *from, struct lmdb_look *to, enum store_db db,
                       struct rebuild_difference *d)
{
    struct lmdb_scan old;
    struct lmdb_scan new;
    bool is_told;

    lmdb_scan_begin(&old, from, db, STR_NONE);
    lmdb_scan_begin(&new, to, db, STR_NONE);
    while (lmdb_scan_has_key(&old) || lmdb_scan_has_key(&new)) {
        int order = !lmdb_scan_has_key(&old)   ? 1
                    : !lmdb_scan_has_key(&new) ? -1
                                               : key_order(old.row.key, new.row.key);

        d->too_many += order < 0;
        d->missing += order > 0;
        d->wrong += order == 0 && !str_eq(old.row.stored, new.row.stored);
        if (order <= 0)
            lmdb_scan_next(&old);
        if (order >= 0)
            lmdb_scan_next(&new);
    }
    is_told = old.status == ERR_NOT_FOUND && new.status == ERR_NOT_FOUND;
    lmdb_scan_end(&old);
    lmdb_scan_end(&new);
    return is_told;
}

struct comparison {
    struct lmdb_look *from, *to;
};

/* As text, since that is what a child can say. */
static enum err compare_run(void *ctx, char *text, size_t text_size)
{
    const struct comparison *c = ctx;
    size_t n = 0;

    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        struct rebuild_difference d = { 0 };

        if (!compare_db(c->from, c->to, (enum store_db)db, &d))
            return ERR_DAMAGED;
        n += (size_t)snprintf(text + n, text_size - n, "%llu %llu %llu ",
                              (unsigned long long)d.missing, (unsigned long long)d.wrong,
                              (unsigned long long)d.too_many);
    }
    return ERR_OK;
}

static uint64_t next_number(char **at)
{
    return strtoull(*at, at, 10);
}

void rebuild_compare(struct rebuilder *rb)
{
    struct comparison c = { rb->from, lmdb_build_to(rb->b) };
    char text[COMPARE_TEXT] = "";
    char *at = text;

    rebuilder_progress(rb, "compare", 0, 0);
    rb->r->is_compared = in_child_run(compare_run, &c, text, sizeof(text)) == ERR_OK;
    for (unsigned db = 0; db < STORE_DB_COUNT && rb->r->is_compared; db++) {
        struct rebuild_difference *d = &rb->r->differences[db];

        d->missing = next_number(&at);
        d->wrong = next_number(&at);
        d->too_many = next_number(&at);
    }
}

/* The B+tree against a sorted array, over random operations. The file that includes this says which
 * tree: the library's, or one of narrow nodes, whose inner nodes split and vanish far more often. */
#ifndef TESTS_UNIT_INFRA_STORE_BTREE_MODEL_H
#define TESTS_UNIT_INFRA_STORE_BTREE_MODEL_H
#include "../../../../src/infra/store/btree.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- the model: a sorted array ------------------------------------------------ */

#define MODEL_MAX 3000

struct model_row {
    char key[BTREE_KEY_MAX];
    size_t key_len;
    char value[40];
    size_t value_len;
};

struct model {
    struct model_row rows[MODEL_MAX];
    size_t len;
};

static int compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = memcmp(a.p, b.p, n);

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static struct str row_key(const struct model_row *r)
{
    return (struct str){ r->key, r->key_len };
}

static struct str row_value(const struct model_row *r)
{
    return (struct str){ r->value, r->value_len };
}

/* The first row whose key is >= key. */
static size_t model_bound(const struct model *m, struct str key)
{
    size_t lo = 0;
    size_t hi = m->len;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (compare(row_key(&m->rows[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool model_has(const struct model *m, size_t i, struct str key)
{
    return i < m->len && str_eq(row_key(&m->rows[i]), key);
}

static bool model_put(struct model *m, struct str key, struct str value)
{
    size_t i = model_bound(m, key);
    bool is_new = !model_has(m, i, key);

    if (is_new) {
        memmove(&m->rows[i + 1], &m->rows[i], (m->len - i) * sizeof(m->rows[0]));
        m->len++;
    }
    memcpy(m->rows[i].key, key.p, key.n);
    m->rows[i].key_len = key.n;
    memcpy(m->rows[i].value, value.p, value.n);
    m->rows[i].value_len = value.n;
    return is_new;
}

static bool model_delete(struct model *m, struct str key)
{
    size_t i = model_bound(m, key);

    if (!model_has(m, i, key))
        return false;
    m->len--;
    memmove(&m->rows[i], &m->rows[i + 1], (m->len - i) * sizeof(m->rows[0]));
    return true;
}

/* -1: none */
static ptrdiff_t model_seek(const struct model *m, enum btree_seek how, struct str key)
{
    size_t i = model_bound(m, key);
    bool has = model_has(m, i, key);
    ptrdiff_t at = (ptrdiff_t)i;

    switch (how) {
    case BTREE_GE:
        break;
    case BTREE_GT:
        at += has;
        break;
    case BTREE_LE:
        at -= !has;
        break;
    case BTREE_LT:
        at--;
        break;
    }
    return at < (ptrdiff_t)m->len ? at : -1;
}

/* ---- comparing ------------------------------------------------------------------ */

static void assert_same_look(const struct btree *t, const struct model *m, struct str key)
{
    size_t at = model_bound(m, key);
    struct str value = STR_NONE;
    bool has = btree_get(t, key, &value);

    assert_int_equal(has, model_has(m, at, key));
    if (has)
        assert_true(str_eq(value, row_value(&m->rows[at])));
    for (int how = BTREE_GE; how <= BTREE_LT; how++) {
        ptrdiff_t i = model_seek(m, (enum btree_seek)how, key);
        struct str found;

        assert_int_equal(btree_seek(t, (enum btree_seek)how, key, &found, &value), i >= 0);
        if (i < 0)
            continue;
        assert_true(str_eq(found, row_key(&m->rows[i])));
        assert_true(str_eq(value, row_value(&m->rows[i])));
    }
}

static void assert_same_rows(const struct btree *t, const struct model *m)
{
    char at[BTREE_KEY_MAX];
    struct str key = { at, 0 };
    struct str value;
    size_t n = 0;

    btree_check(t);
    assert_int_equal(t->len, m->len);
    while (btree_seek(t, BTREE_GT, (struct str){ at, key.n }, &key, &value)) {
        assert_true(n < m->len);
        assert_true(str_eq(key, row_key(&m->rows[n])));
        memcpy(at, key.p, key.n);
        n++;
    }
    assert_int_equal(n, m->len);
}

/* Few different bytes, zero among them, and lengths around the prefix: many keys share beginnings
 * and some are the beginning of others. */
static struct str a_key(struct chance *c, char *out)
{
    static const char alphabet[] = { '\0', '\1', 'a', '\xFF' };
    size_t n = 1 + chance_below(c, 12);

    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[chance_below(c, i < 7 ? 2 : sizeof(alphabet))];
    return (struct str){ out, n };
}

static struct str a_value(struct chance *c, char *out)
{
    size_t n = chance_below(c, 40);

    memset(out, (int)chance_below(c, 256), n);
    return (struct str){ out, n };
}

static void btree__agrees_with_a_sorted_array_over_random_operations(void **state)
{
    struct chance c = chance_init(__func__);
    struct model *m = mem_zalloc(sizeof(*m));
    struct btree t;

    (void)state;
    btree_init(&t);
    for (unsigned step = 0; step < 60000; step++) {
        /* Phases of growing and of shrinking, so that every kind of split and merge happens. */
        bool shrinks = step / 10000 % 2 == 1;
        char key_bytes[BTREE_KEY_MAX];
        char value_bytes[40];
        struct str key = a_key(&c, key_bytes);

        if (chance_below(&c, 10) < (shrinks ? 8 : 2) && m->len > 0) {
            if (chance_below(&c, 4))
                key = row_key(&m->rows[chance_below(&c, m->len)]);
            memcpy(key_bytes, key.p, key.n);
            key.p = key_bytes;
            assert_int_equal(btree_delete(&t, key), model_delete(m, key));
        } else if (m->len < MODEL_MAX) {
            struct str value = a_value(&c, value_bytes);

            assert_int_equal(btree_put(&t, key, value), model_put(m, key, value));
        }
        assert_same_look(&t, m, a_key(&c, key_bytes));
        if (step % 500 == 0)
            assert_same_rows(&t, m);
    }
    while (m->len > 0) {
        size_t i = chance_below(&c, m->len);
        struct model_row row = m->rows[i];

        assert_true(btree_delete(&t, row_key(&row)));
        assert_true(model_delete(m, row_key(&row)));
        if (m->len % 64 == 0)
            assert_same_rows(&t, m);
    }
    assert_same_rows(&t, m);
    assert_int_equal(t.height, 0);
    btree_deinit(&t);
    mem_free(m);
}
#endif

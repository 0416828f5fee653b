#include "../../../../src/infra/store/row_sort.h"
#include "orderly/base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS_MAX 700

/* Rows whose value is their place in the list. */
struct made {
    struct store_write writes[ROWS_MAX];
    struct store_row rows[ROWS_MAX];
    char keys[ROWS_MAX][STORE_KEY_MAX];
    unsigned places[ROWS_MAX];
    struct list list;
};

static void make(struct made *m, unsigned n, unsigned *seed)
{
    list_init(&m->list);
    for (unsigned i = 0; i < n; i++) {
        struct store_row *row = &m->rows[i];

        m->places[i] = i;
        row->db = rand_r(seed) % 3 ? DB_ORDERS : DB_BY_TYPE;
        row->key = (struct str){ m->keys[i], 1 + (unsigned)rand_r(seed) % 12 };
        for (unsigned k = 0; k < row->key.n; k++)
            m->keys[i][k] = (char)(rand_r(seed) % 3 ? 0 : 0xFE + rand_r(seed) % 2);
        row->value = (struct str){ (const char *)&m->places[i], sizeof(m->places[i]) };
        m->writes[i] = (struct store_write){ .rows = row, .n_rows = 1 };
        list_push_back(&m->list, &m->writes[i].link);
    }
}

static unsigned place_of(const struct row_ref *ref)
{
    unsigned place;

    memcpy(&place, ref->row->value.p, sizeof(place));
    return place;
}

static int compare(struct str a, struct str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c ? c : (int)a.n - (int)b.n;
}

static void check(const struct row_sort *s, unsigned n)
{
    assert_int_equal(s->first[STORE_DB_COUNT], n);
    for (unsigned d = 0; d < STORE_DB_COUNT; d++) {
        for (size_t i = s->first[d]; i < s->first[d + 1]; i++) {
            assert_int_equal(s->refs[i].row->db, d);
            if (i > s->first[d]) {
                int c = compare(s->refs[i - 1].row->key, s->refs[i].row->key);

                assert_true(c <= 0);
                assert_true(c < 0 || place_of(&s->refs[i - 1]) < place_of(&s->refs[i]));
            }
        }
    }
}

static void row_sort__orders_by_key_and_keeps_the_order_of_equal_ones(void **state)
{
    struct made *m = mem_zalloc(sizeof(*m));
    struct row_sort s = { 0 };
    unsigned seed = 4711;

    (void)state;
    (void)printf("seed %u\n", seed);
    for (unsigned n = 0; n <= ROWS_MAX; n += n < 40 ? 1 : 61) {
        make(m, n, &seed);
        row_sort_take(&s, &m->list);
        check(&s, n);
    }
    row_sort_deinit(&s);
    mem_free(m);
}

static void row_sort__leaves_events_as_they_come(void **state)
{
    struct store_row rows[] = {
        { .db = DB_EVENTS, .key = STR("00000002") },
        { .db = DB_ORDERS, .key = STR("b") },
        { .db = DB_EVENTS, .key = STR("00000001") },
        { .db = DB_ORDERS, .key = STR("a") },
    };
    struct store_write w = { .rows = rows, .n_rows = 4 };
    struct row_sort s = { 0 };
    struct list list;

    (void)state;
    list_init(&list);
    list_push_back(&list, &w.link);
    row_sort_take(&s, &list);
    assert_ptr_equal(s.refs[s.first[DB_EVENTS]].row, &rows[0]);
    assert_ptr_equal(s.refs[s.first[DB_EVENTS] + 1].row, &rows[2]);
    assert_ptr_equal(s.refs[s.first[DB_ORDERS]].row, &rows[3]);
    row_sort_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_sort__orders_by_key_and_keeps_the_order_of_equal_ones),
        cmocka_unit_test(row_sort__leaves_events_as_they_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "btree_model.h"

/* ---- shapes that the server makes --------------------------------------------- */

static struct str number_key(uint64_t n, char out[8])
{
    bytes_put_u64(out, n);
    return (struct str){ out, 8 };
}

static void btree__fills_its_leaves_with_ascending_keys(void **state)
{
    enum { N = 64000 };
    struct btree t;
    char b[8];
    size_t before;

    (void)state;
    btree_init(&t);
    before = t.bytes;
    for (uint64_t i = 0; i < N; i++)
        assert_true(btree_put(&t, number_key(i, b), STR("v")));
    btree_check(&t);
    /* Per key: 8 of key, 1 of value, the entry's head, and little more than one slot. */
    assert_true((t.bytes - before) / N < 8 + 1 + 12 + 20);
    btree_deinit(&t);
}

static void btree__fills_its_leaves_with_several_ascending_runs(void **state)
{
    enum { RUNS = 10, N = 6400 };
    struct btree t;
    char b[10];

    (void)state;
    btree_init(&t);
    for (uint64_t i = 0; i < N; i++) {
        for (unsigned run = 0; run < RUNS; run++) {
            bytes_put_u16(b, (uint16_t)run);
            bytes_put_u64(b + 2, i);
            assert_true(btree_put(&t, (struct str){ b, 10 }, STR_NONE));
        }
    }
    btree_check(&t);
    assert_true(t.bytes / ((size_t)RUNS * N) < 10 + 12 + 20);
    btree_deinit(&t);
}

static void btree__gives_the_room_back_of_a_queue_that_moves_on(void **state)
{
    enum { N = 50000, LEN = 100 };
    struct btree t;
    char b[8];

    (void)state;
    btree_init(&t);
    for (uint64_t i = 0; i < N; i++) {
        assert_true(btree_put(&t, number_key(i, b), STR_NONE));
        if (i >= LEN)
            assert_true(btree_delete(&t, number_key(i - LEN, b)));
    }
    btree_check(&t);
    assert_int_equal(t.len, LEN);
    assert_true(t.bytes < 20000);
    for (uint64_t i = N - LEN; i < N; i++)
        assert_true(btree_delete(&t, number_key(i, b)));
    btree_check(&t);
    btree_deinit(&t);
}

static void btree__takes_descending_keys_and_long_ones(void **state)
{
    struct btree t;
    char key[BTREE_KEY_MAX];
    char b[8];
    struct str found;
    struct str value;

    (void)state;
    btree_init(&t);
    for (uint64_t i = 10000; i-- > 0;)
        assert_true(btree_put(&t, number_key(i, b), STR_NONE));
    memset(key, 0xFF, sizeof(key));
    for (size_t n = BTREE_KEY_MAX; n > 8; n--)
        assert_true(btree_put(&t, (struct str){ key, n }, STR("long")));
    btree_check(&t);
    assert_true(btree_seek(&t, BTREE_GT, number_key(9999, b), &found, &value));
    assert_int_equal(found.n, 9);
    assert_true(btree_seek(&t, BTREE_LE, (struct str){ key, BTREE_KEY_MAX }, &found, &value));
    assert_int_equal(found.n, BTREE_KEY_MAX);
    btree_deinit(&t);
}

static void btree__replaces_values_of_any_size(void **state)
{
    struct btree t;
    struct str value;
    char *big = mem_zalloc(1 << 20);

    (void)state;
    btree_init(&t);
    assert_true(btree_put(&t, STR("k"), STR("small")));
    assert_false(btree_put(&t, STR("k"), (struct str){ big, 1 << 20 }));
    assert_true(btree_get(&t, STR("k"), &value));
    assert_int_equal(value.n, 1 << 20);
    assert_false(btree_put(&t, STR("k"), STR("tiny")));
    assert_true(btree_get(&t, STR("k"), &value));
    assert_true(str_eq(value, STR("tiny")));
    assert_true(t.bytes < 10000); /* the big one is not kept for it */
    assert_false(btree_put(&t, STR("k"), STR_NONE));
    assert_true(btree_get(&t, STR("k"), &value));
    assert_int_equal(value.n, 0);
    assert_int_equal(t.len, 1);
    btree_check(&t);
    btree_deinit(&t);
    mem_free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(btree__agrees_with_a_sorted_array_over_random_operations),
        cmocka_unit_test(btree__fills_its_leaves_with_ascending_keys),
        cmocka_unit_test(btree__fills_its_leaves_with_several_ascending_runs),
        cmocka_unit_test(btree__gives_the_room_back_of_a_queue_that_moves_on),
        cmocka_unit_test(btree__takes_descending_keys_and_long_ones),
        cmocka_unit_test(btree__replaces_values_of_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/base/map.h"
#include "orderly/base/mem.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct entry {
    struct map_node node;
    uint8_t key[8];
    bool is_in;
};

static const struct map_key reference_key = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                                15 } };

static struct str entry_key(const struct entry *e)
{
    return (struct str){ (const char *)e->key, sizeof(e->key) };
}

static struct entry *entries_create(size_t n)
{
    struct entry *all = mem_zalloc(n * sizeof(*all));

    for (size_t i = 0; i < n; i++)
        bytes_put_u64(all[i].key, i);
    return all;
}

static void entry_put(struct map *m, struct entry *e)
{
    map_insert(m, &e->node, entry_key(e));
    e->is_in = true;
}

static void siphash__agrees_with_the_reference_vectors(void **state)
{
    static const struct {
        size_t n;
        uint64_t value;
    } vectors[] = {
        { 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
        { 2, UINT64_C(0x0d6c8009d9a94f5a) },  { 3, UINT64_C(0x85676696d7fb7e2d) },
        { 4, UINT64_C(0xcf2794e0277187b7) },  { 8, UINT64_C(0x93f5f5799a932462) },
        { 15, UINT64_C(0xa129ca6149be45e5) },
    };
    char input[16];

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (char)i;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        assert_true(siphash(&reference_key, (struct str){ input, vectors[i].n }) ==
                    vectors[i].value);
}

static void map__finds_nothing_while_it_is_empty(void **state)
{
    struct map m;

    (void)state;
    map_init(&m, &reference_key);
    assert_null(map_find(&m, STR("x")));
    map_deinit(&m);
}

static void map__agrees_with_a_model_over_random_operations(void **state)
{
    enum { N = 4000, STEPS = 60000 };
    struct chance c = chance_init(__func__);
    struct entry *all = entries_create(N);
    struct map m;
    size_t len = 0;

    (void)state;
    map_init(&m, &reference_key);
    for (size_t step = 0; step < STEPS; step++) {
        /* The range widens, so that the map grows between operations of every kind. */
        struct entry *e = &all[chance_below(&c, 1 + step * N / STEPS)];
        struct map_node *found = map_find(&m, entry_key(e));

        assert_ptr_equal(found, e->is_in ? &e->node : NULL);
        if (!e->is_in) {
            entry_put(&m, e);
            len++;
        } else if (chance_below(&c, 3) == 0) {
            map_remove(&m, &e->node);
            e->is_in = false;
            len--;
        }
        assert_int_equal(m.len, len);
    }
    for (size_t i = 0; i < N; i++)
        assert_ptr_equal(map_find(&m, entry_key(&all[i])), all[i].is_in ? &all[i].node : NULL);
    map_deinit(&m);
    mem_free(all);
}

static void map__moves_a_few_buckets_per_insert_while_it_grows(void **state)
{
    enum { N = 100000 };
    struct entry *all = entries_create(N);
    struct map m;
    unsigned growths = 0;

    (void)state;
    map_init(&m, &reference_key);
    for (size_t i = 0; i < N; i++) {
        bool was_growing = m.old != NULL;
        size_t moved = m.moved;

        entry_put(&m, &all[i]);
        if (was_growing && m.old)
            assert_true(m.moved - moved <= 8);
        if (!was_growing && m.old) {
            growths++;
            assert_int_equal(m.moved, 0);
        }
        /* Found at once, whichever table it lies in. */
        assert_ptr_equal(map_find(&m, entry_key(&all[i])), &all[i].node);
        assert_ptr_equal(map_find(&m, entry_key(&all[i / 2])), &all[i / 2].node);
    }
    assert_true(growths >= 10);
    map_deinit(&m);
    mem_free(all);
}

static void count_and_remove(void *ctx, struct map_node *node)
{
    struct map *m = ctx;
    struct entry *e = container_of(node, struct entry, node);

    assert_true(e->is_in);
    map_remove(m, node);
    mem_free(e);
}

static void map__walks_all_nodes_while_the_callback_frees_them(void **state)
{
    struct map m;

    (void)state;
    for (size_t n = 0; n < 200; n++) { /* some of these sizes are in the middle of a growth */
        map_init(&m, &reference_key);
        for (size_t i = 0; i < n; i++) {
            struct entry *e = mem_zalloc(sizeof(*e));

            bytes_put_u64(e->key, i);
            entry_put(&m, e);
        }
        map_each(&m, count_and_remove, &m);
        assert_int_equal(m.len, 0);
        map_deinit(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash__agrees_with_the_reference_vectors),
        cmocka_unit_test(map__finds_nothing_while_it_is_empty),
        cmocka_unit_test(map__agrees_with_a_model_over_random_operations),
        cmocka_unit_test(map__moves_a_few_buckets_per_insert_while_it_grows),
        cmocka_unit_test(map__walks_all_nodes_while_the_callback_frees_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "orderly/base/check.h"
#include "orderly/base/heap.h"
#include "orderly/base/list.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    struct heap_node node;
    int64_t key;
    uint64_t pushed; /* 0: not in the heap; else ascending */
};

static struct item *model_least(struct item *items, size_t n)
{
    struct item *least = NULL;

    for (size_t i = 0; i < n; i++) {
        if (items[i].pushed == 0)
            continue;
        if (!least || items[i].key < least->key ||
            (items[i].key == least->key && items[i].pushed < least->pushed))
            least = &items[i];
    }
    return least;
}

static void heap__agrees_with_a_model_over_random_operations(void **state)
{
    static struct item items[200];
    struct chance c = chance_init(__func__);
    uint64_t pushes = 0;
    struct heap h;

    (void)state;
    heap_init(&h);
    for (unsigned step = 0; step < 20000; step++) {
        struct item *i = &items[chance_below(&c, ARRAY_LEN(items))];
        struct item *least;

        assert_int_equal(heap_contains(&i->node), i->pushed != 0);
        if (i->pushed) {
            heap_remove(&h, &i->node);
            i->pushed = 0;
        } else {
            i->key = (int64_t)chance_below(&c, 50) - 25; /* equal keys are common */
            i->pushed = ++pushes;
            heap_push(&h, &i->node, i->key);
        }
        least = model_least(items, ARRAY_LEN(items));
        assert_ptr_equal(heap_peek(&h), least ? &least->node : NULL);
    }
    heap_deinit(&h);
}

static void heap__gives_equal_keys_in_order_of_insertion(void **state)
{
    struct heap_node n[100] = { 0 };
    struct heap h;

    (void)state;
    heap_init(&h);
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        heap_push(&h, &n[i], 7);
    for (size_t i = 0; i < ARRAY_LEN(n); i++) {
        assert_ptr_equal(heap_peek(&h), &n[i]);
        heap_remove(&h, &n[i]);
        assert_false(heap_contains(&n[i]));
    }
    assert_null(heap_peek(&h));
    heap_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap__agrees_with_a_model_over_random_operations),
        cmocka_unit_test(heap__gives_equal_keys_in_order_of_insertion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "orderly/base/arena.h"
#include "orderly/base/check.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_aligned(const void *p)
{
    assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
}

static bool lies_in(const void *p, const char *block, size_t n)
{
    return (const char *)p >= block && (const char *)p < block + n;
}

static void arena__uses_the_caller_s_block_first_even_if_it_is_not_aligned(void **state)
{
    char block[257];
    struct arena a;
    char *p;

    (void)state;
    arena_init(&a, block + 1, sizeof(block) - 1);
    p = arena_alloc(&a, 100);
    assert_aligned(p);
    assert_true(lies_in(p, block, sizeof(block)));
    p = arena_alloc(&a, 200); /* does not fit behind it */
    assert_aligned(p);
    assert_false(lies_in(p, block, sizeof(block)));
    arena_reset(&a);
    assert_null(a.blocks);
    assert_true(lies_in(arena_alloc(&a, 100), block, sizeof(block)));
    arena_deinit(&a);
}

static void arena__keeps_its_own_first_block_over_a_reset(void **state)
{
    struct arena a;
    void *first;

    (void)state;
    arena_init(&a, NULL, 0);
    assert_null(a.blocks);
    first = arena_alloc(&a, 10);
    for (unsigned i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 100), 1, 100);
    memset(arena_alloc(&a, 1000000), 1, 1000000);
    assert_true(a.total >= 1100000);
    arena_reset(&a);
    assert_int_equal(a.total, 0);
    assert_ptr_equal(arena_alloc(&a, 10), first);
    assert_non_null(a.blocks);
    assert_null(*(void **)(void *)a.blocks); /* it is the only one; its link comes first */
    arena_deinit(&a);
}

static void arena__goes_on_in_the_current_block_after_a_big_allocation(void **state)
{
    char block[1024];
    struct arena a;
    char *p;
    char *q;

    (void)state;
    arena_init(&a, block, sizeof(block));
    p = arena_alloc(&a, 16);
    memset(arena_alloc(&a, 100000), 0, 100000);
    q = arena_alloc(&a, 16);
    assert_ptr_equal(q, p + 16);
    arena_deinit(&a);
}

static void arena__gives_memory_that_does_not_overlap(void **state)
{
    enum { N = 2000 };
    static uint8_t *at[N];
    static size_t size[N];
    struct chance c = chance_init(__func__);
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 512);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N; i++) {
            size[i] = chance_below(&c, chance_below(&c, 20) == 0 ? 20000 : 200);
            at[i] = arena_alloc(&a, size[i]);
            assert_aligned(at[i]);
            memset(at[i], (int)(i % 251), size[i]);
        }
        for (unsigned i = 0; i < N; i++) {
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(at[i][k], i % 251);
        }
        arena_reset(&a);
    }
    arena_deinit(&a);
}

static void arena__copies_and_prints_text_with_a_nul_behind(void **state)
{
    struct arena a;
    struct str s;
    char *z;

    (void)state;
    arena_init(&a, NULL, 64);
    s = arena_str(&a, STR("abc"));
    assert_int_equal(s.n, 3);
    assert_string_equal(s.p, "abc");
    s = arena_str(&a, STR_NONE);
    assert_string_equal(s.p, "");
    s = arena_printf(&a, "%d-%s", 42, "x");
    assert_int_equal(s.n, 4);
    assert_string_equal(s.p, "42-x");
    s = arena_printf(&a, "%0500d", 7); /* larger than the block */
    assert_int_equal(s.n, 500);
    assert_int_equal(strlen(s.p), 500);
    s = arena_printf(&a, "%s", "");
    assert_int_equal(s.n, 0);
    memset(arena_alloc(&a, 4000), 0xFF, 4000);
    z = arena_zalloc(&a, 4000);
    for (unsigned i = 0; i < 4000; i++)
        assert_int_equal(z[i], 0);
    arena_deinit(&a);
}

static void arena__prints_text_that_fills_its_block_to_the_last_byte(void **state)
{
    _Alignas(16) char block[64];
    struct arena a;

    (void)state;
    for (int n = 60; n <= 66; n++) {
        struct str s;

        arena_init(&a, block, sizeof(block));
        s = arena_printf(&a, "%0*d", n, 1);
        assert_int_equal(s.n, n);
        assert_int_equal(strlen(s.p), n);
        assert_int_equal(lies_in(s.p, block, sizeof(block)), n <= 63);
        arena_deinit(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__uses_the_caller_s_block_first_even_if_it_is_not_aligned),
        cmocka_unit_test(arena__keeps_its_own_first_block_over_a_reset),
        cmocka_unit_test(arena__goes_on_in_the_current_block_after_a_big_allocation),
        cmocka_unit_test(arena__gives_memory_that_does_not_overlap),
        cmocka_unit_test(arena__copies_and_prints_text_with_a_nul_behind),
        cmocka_unit_test(arena__prints_text_that_fills_its_block_to_the_last_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

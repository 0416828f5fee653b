#include "orderly/base/check.h"
#include "orderly/infra/loop/random_sodium.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void random_sodium__never_gives_the_same_bytes_twice(void **state)
{
    struct random_sodium r;
    uint64_t seen[4000];

    (void)state;
    assert_int_equal(random_sodium_init(&r), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        random_fill(&r.port, &seen[i], sizeof(seen[i]));
        for (size_t k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
    }
    random_sodium_deinit(&r);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i])
            return false;
    }
    return true;
}

static void random_sodium__fills_any_size_and_wipes_what_it_gave(void **state)
{
    struct chance c = chance_init(__func__);
    struct random_sodium r;
    uint8_t out[3 * RANDOM_SODIUM_POOL];

    (void)state;
    assert_int_equal(random_sodium_init(&r), ERR_OK);
    random_fill(&r.port, NULL, 0);
    for (unsigned i = 0; i < 2000; i++) {
        size_t n = chance_below(&c, i % 10 ? 64 : sizeof(out) - 1);

        memset(out, 0, sizeof(out));
        random_fill(&r.port, out, n);
        assert_true(n < 16 || !is_zero(out, n));
        assert_int_equal(out[n], 0);
        assert_true(is_zero(r.pool, r.at));
    }
    random_sodium_deinit(&r);
    assert_true(is_zero(r.pool, sizeof(r.pool)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sodium__never_gives_the_same_bytes_twice),
        cmocka_unit_test(random_sodium__fills_any_size_and_wipes_what_it_gave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

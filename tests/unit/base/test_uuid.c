#include "orderly/base/check.h"
#include "orderly/base/uuid.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void random_bytes(struct chance *c, uint8_t out[10])
{
    for (unsigned i = 0; i < 10; i++)
        out[i] = (uint8_t)chance_next(c);
}

/* RFC 9562, appendix A.6. */
static void uuid__makes_the_example_of_the_rfc(void **state)
{
    static const uint8_t random[10] = {
        0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F
    };
    struct uuid_maker m = { 0 };
    struct uuid u = uuid_make(&m, 0x017F22E279B0, random);
    char text[UUID_TEXT_LEN];

    (void)state;
    uuid_format(u, text);
    assert_memory_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", UUID_TEXT_LEN);
    assert_true(uuid_time_ms(u) == INT64_C(1645557742000));
}

static void uuid__reads_only_what_it_prints(void **state)
{
    static const char *const wrong[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c-4dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
    };
    struct chance c = chance_init(__func__);
    struct uuid u;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(uuid_parse(str_of(wrong[i]), &u));
    for (unsigned i = 0; i < 1000; i++) {
        char text[UUID_TEXT_LEN];
        struct uuid back;

        for (unsigned k = 0; k < 16; k++)
            u.b[k] = (uint8_t)chance_next(&c);
        uuid_format(u, text);
        assert_true(uuid_parse((struct str){ text, UUID_TEXT_LEN }, &back));
        assert_true(uuid_eq(u, back));
    }
}

static void uuid__ascends_strictly_whatever_the_clock_does(void **state)
{
    struct chance c = chance_init(__func__);
    struct uuid_maker m = { 0 };
    struct uuid before = { { 0 } };
    int64_t ms = 1700000000000;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t random[10];
        struct uuid u;

        random_bytes(&c, random);
        if (chance_below(&c, 10) == 0)
            ms += (int64_t)chance_below(&c, 20) - 10;
        u = uuid_make(&m, ms, random);
        assert_true(memcmp(u.b, before.b, 16) > 0);
        assert_int_equal(u.b[6] >> 4, 7);
        assert_int_equal(u.b[8] >> 6, 2);
        before = u;
    }
}

static void uuid__borrows_the_next_millisecond_when_one_is_used_up(void **state)
{
    uint8_t random[10];
    struct uuid_maker m = { 0 };
    struct uuid a;
    struct uuid b;

    (void)state;
    memset(random, 0xFF, sizeof(random));
    a = uuid_make(&m, 5000, random); /* all 74 bits set */
    b = uuid_make(&m, 5000, random);
    assert_true(uuid_time_ms(a) == 5000);
    assert_true(uuid_time_ms(b) == 5001);
    assert_true(memcmp(b.b, a.b, 16) > 0);
    assert_int_equal(b.b[6] >> 4, 7);
    assert_int_equal(b.b[8] >> 6, 2);
}

static void uuid__clamps_times_that_have_no_place_in_it(void **state)
{
    static const uint8_t random[10] = { 1 };
    struct uuid_maker m = { 0 };
    struct uuid u = uuid_make(&m, -5, random);

    (void)state;
    assert_true(uuid_time_ms(u) == 0);
    assert_false(uuid_is_nil(u));
    u = uuid_make(&m, INT64_MAX, random);
    assert_true(uuid_time_ms(u) == (INT64_C(1) << 48) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuid__makes_the_example_of_the_rfc),
        cmocka_unit_test(uuid__reads_only_what_it_prints),
        cmocka_unit_test(uuid__ascends_strictly_whatever_the_clock_does),
        cmocka_unit_test(uuid__borrows_the_next_millisecond_when_one_is_used_up),
        cmocka_unit_test(uuid__clamps_times_that_have_no_place_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

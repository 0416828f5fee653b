/* The simulators' settings as rows: what was written is read, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/app/settings_codec.h"
#include "orderly/base/bytes.h"

/* Where the row of the payments has what. */
#define AT_FAIL_FIRST 3
#define AT_RATES (AT_FAIL_FIRST + 8 + (FLOW_COUNT - 1) * 8)
#define AT_DECLINE_ABOVE (AT_RATES + 2 * 8 + 8 + 1)
#define AT_REASON (AT_DECLINE_ABOVE + 8)

static struct buf a_row(enum simulator which)
{
    struct simulators s = simulators_default;
    struct buf row = { 0 };

    s.payments.failure_rate = 1;
    s.payments.fail_first = 7;
    s.inventory.mode = INVENTORY_REJECT;
    s.shipments.mode = SHIPMENTS_WAIT;
    settings_encode(&s, which, &row);
    return row;
}

static void settings__are_read_as_they_were_written(void **state)
{
    (void)state;
    for (unsigned which = 0; which < SIMULATOR_COUNT; which++) {
        struct buf row = a_row((enum simulator)which), again = { 0 };
        struct simulators s = simulators_default;

        assert_int_equal(settings_decode(buf_str(&row), (enum simulator)which, &s), ERR_OK);
        settings_encode(&s, (enum simulator)which, &again);
        assert_true(str_eq(buf_str(&row), buf_str(&again)));
        for (size_t n = 0; n < row.n && (which != SIMULATOR_PAYMENTS || n < AT_REASON); n++)
            assert_int_equal(settings_decode((struct str){ row.p, n }, (enum simulator)which, &s),
                             ERR_DAMAGED);
        buf_deinit(&row);
        buf_deinit(&again);
    }
}

static void refuses(size_t at, uint64_t value)
{
    struct buf row = a_row(SIMULATOR_PAYMENTS);
    struct simulators s = simulators_default;

    assert_true(at + 8 <= row.n);
    bytes_put_u64(row.p + at, value);
    assert_int_equal(settings_decode(buf_str(&row), SIMULATOR_PAYMENTS, &s), ERR_DAMAGED);
    assert_memory_equal(&s, &simulators_default, sizeof(s));
    buf_deinit(&row);
}

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static void settings__that_none_can_have_are_damage(void **state)
{
    (void)state;
    refuses(AT_FAIL_FIRST, UINT64_C(1) << 32);
    for (size_t at = AT_RATES; at <= AT_RATES + 8; at += 8) {
        refuses(at, bits_of(1.5));
        refuses(at, bits_of(-0.5));
        refuses(at, bits_of(__builtin_nan("")));
    }
    refuses(AT_DECLINE_ABOVE, UINT64_MAX);
    refuses(AT_REASON, 0); /* a text that would end before its end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings__are_read_as_they_were_written),
        cmocka_unit_test(settings__that_none_can_have_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

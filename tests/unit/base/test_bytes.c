#include "orderly/base/buf.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void bytes__keep_the_order_of_numbers(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t a = chance_next(&c) >> chance_below(&c, 64);
        uint64_t b = chance_next(&c) >> chance_below(&c, 64);
        uint8_t pa[8];
        uint8_t pb[8];

        bytes_put_u64(pa, a);
        bytes_put_u64(pb, b);
        assert_true(bytes_get_u64(pa) == a);
        assert_int_equal(memcmp(pa, pb, 8) < 0, a < b);
        bytes_put_u32(pa, (uint32_t)a);
        assert_true(bytes_get_u32(pa) == (uint32_t)a);
        bytes_put_u16(pa, (uint16_t)a);
        assert_true(bytes_get_u16(pa) == (uint16_t)a);
    }
}

/* u8 1, u32 2, u64 3, text "four" */
static size_t make_row(uint8_t *row)
{
    row[0] = 1;
    bytes_put_u32(row + 1, 2);
    bytes_put_u64(row + 5, 3);
    bytes_put_u32(row + 13, 4);
    memcpy(row + 17, "four", 4);
    return 21;
}

static void bytes_reader__reads_what_was_put(void **state)
{
    uint8_t row[32];
    size_t n = make_row(row);
    struct bytes_reader r = bytes_reader_of((struct str){ (const char *)row, n });

    (void)state;
    assert_int_equal(bytes_read_u8(&r), 1);
    assert_int_equal(bytes_read_u32(&r), 2);
    assert_true(bytes_read_u64(&r) == 3);
    assert_true(str_eq(bytes_read_str(&r), STR("four")));
    assert_false(r.bad);
    assert_ptr_equal(r.at, r.end);
}

/* Each cut lies in memory of exactly its size, so that a sanitizer sees a read past the end. */
static void bytes_reader__never_reads_past_a_cut(void **state)
{
    uint8_t row[32];
    size_t n = make_row(row);

    (void)state;
    for (size_t cut = 0; cut < n; cut++) {
        char *p = mem_alloc(cut);
        struct bytes_reader r;

        memcpy(p, row, cut);
        r = bytes_reader_of((struct str){ p, cut });
        (void)bytes_read_u8(&r);
        (void)bytes_read_u32(&r);
        (void)bytes_read_u64(&r);
        assert_null(bytes_read_str(&r).p);
        assert_true(r.bad);
        mem_free(p);
    }
}

static void bytes_reader__stays_bad_after_a_short_read(void **state)
{
    struct bytes_reader r = bytes_reader_of(STR("abc"));

    (void)state;
    assert_int_equal(bytes_read_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(bytes_read_u8(&r), 0); /* though three bytes are left */
    assert_null(bytes_read(&r, 0));
}

static void bytes_reader__reads_any_bytes_without_harm(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        size_t n = chance_below(&c, 40);
        char *p = mem_alloc(n);
        struct bytes_reader r;

        for (size_t k = 0; k < n; k++)
            p[k] = (char)(chance_below(&c, 4) ? 0 : chance_next(&c));
        r = bytes_reader_of((struct str){ p, n });
        while (!r.bad) {
            struct str s = bytes_read_str(&r);

            if (!r.bad)
                assert_true(s.p >= p && s.p + s.n <= p + n);
        }
        mem_free(p);
    }
}

static void bytes_reader__reads_nothing_from_nothing(void **state)
{
    struct bytes_reader r = bytes_reader_of(STR_NONE);

    (void)state;
    assert_non_null(bytes_read(&r, 0));
    assert_false(r.bad);
    assert_int_equal(bytes_read_u8(&r), 0);
    assert_true(r.bad);
}

static void buf__grows_and_keeps_what_was_added(void **state)
{
    struct buf b = { 0 };

    (void)state;
    buf_add(&b, NULL, 0);
    assert_int_equal(buf_str(&b).n, 0);
    for (unsigned i = 0; i < 1000; i++) {
        buf_printf(&b, "%04u", i);
        buf_add_str(&b, STR(","));
    }
    assert_int_equal(b.n, 5000);
    assert_memory_equal(b.p, "0000,0001,", 10);
    assert_memory_equal(b.p + 4990, "0998,0999,", 10);
    buf_printf(&b, "%05000d", 1);
    assert_int_equal(b.n, 10000);
    memset(buf_reserve(&b, 100000), 0, 100000);
    assert_int_equal(b.n, 10000);
    buf_deinit(&b);
    assert_null(b.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes__keep_the_order_of_numbers),
        cmocka_unit_test(bytes_reader__reads_what_was_put),
        cmocka_unit_test(bytes_reader__never_reads_past_a_cut),
        cmocka_unit_test(bytes_reader__stays_bad_after_a_short_read),
        cmocka_unit_test(bytes_reader__reads_any_bytes_without_harm),
        cmocka_unit_test(bytes_reader__reads_nothing_from_nothing),
        cmocka_unit_test(buf__grows_and_keeps_what_was_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One delivery in the hands of a context, where the order is large or the store does not answer. */
#include "../../../src/app/app_private.h"
#include "support/app_fixture.h"
#include "support/faulty_engine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct app_fixture f;

/* ---- stock ----------------------------------------------------------------------------------- */

static void sku_of(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "LINE-%u", i);
}

static int64_t pieces_of(unsigned i)
{
    return 1 + i % 10;
}

static void assert_stocks(unsigned n, int64_t on_hand, bool is_reserved)
{
    for (unsigned i = 1; i <= n; i++) {
        char sku[16];
        struct stock stock;

        sku_of(i, sku);
        stock = the_stock(&f, sku);
        assert_int_equal(stock.on_hand, is_reserved ? on_hand : on_hand - pieces_of(i));
        assert_int_equal(stock.reserved, is_reserved ? pieces_of(i) : 0);
    }
}

static void an_order_of_lines(unsigned n)
{
    struct app_config config = app_fixture_config();
    char sku[16];

    app_fixture_init(&f, &config);
    for (unsigned i = 1; i <= n; i++) {
        sku_of(i, sku);
        assert_int_equal(a_product(&f, sku, "1.00", 50), REPLY_CREATED);
    }
    assert_int_equal(a_cart(&f), REPLY_CREATED);
    for (unsigned i = 1; i <= n; i++) {
        sku_of(i, sku);
        assert_int_equal(an_item(&f, sku, pieces_of(i)), REPLY_OK);
    }
    assert_int_equal(a_checkout(&f), REPLY_CREATED);
    app_fixture_pass_ms(&f, 100);
    assert_int_equal(the_order(&f)->status, ORDER_STOCK_RESERVED);
    assert_stocks(n, 50, true);
    assert_int_equal(do_order(&f, ORDER_INPUT_READY, NULL), REPLY_OK);
    assert_int_equal(do_order(&f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
    app_fixture_pass_ms(&f, 100);
    assert_int_equal(the_order(&f)->status, ORDER_COMPLETED);
    assert_stocks(n, 50, false);
    app_fixture_deinit(&f);
}

static void stock__of_each_line_is_reserved_and_taken(void **state)
{
    (void)state;
    an_order_of_lines(HANDLING_STOCK_INLINE);
    an_order_of_lines(HANDLING_STOCK_INLINE + 1); /* more than lie in the handling itself */
    an_order_of_lines(CART_LINES_MAX);
}

/* ---- rows that can't be read ----------------------------------------------------------------- */

static void message__waits_while_the_rows_of_its_order_can_not_be_read(void **state)
{
    struct app_config config = app_fixture_config();
    struct engine *memory = memory_engine_create(1000);
    static struct faulty_engine faulty;

    (void)state;
    config.cache_bytes_max = 1; /* nothing stays in memory */
    faulty_engine_init(&faulty, memory);
    app_fixture_init_on(&f, &config, &faulty.engine);
    assert_int_equal(an_order(&f, "WIDGET-001", 1), REPLY_CREATED);
    faulty.get = (struct read_fault){ .err = ERR_IO, .db = DB_ORDERS };
    trace_clear(&f);
    app_fixture_pass_ms(&f, 60000);
    assert_trace(&f, ""); /* no attempt of it, so no dead letter either */
    faulty.get.err = ERR_OK;
    app_fixture_pass_ms(&f, 2000);
    assert_int_equal(f.counts[EVENT_ORDER_SHIPPED].n, 1);
    assert_int_equal(f.counts[EVENT_DEAD_LETTERED].n, 0);
    app_fixture_deinit(&f);
    memory_engine_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stock__of_each_line_is_reserved_and_taken),
        cmocka_unit_test(message__waits_while_the_rows_of_its_order_can_not_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

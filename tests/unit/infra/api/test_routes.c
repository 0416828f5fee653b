/* The table of routes, as a table: what the README promises is in it, with its role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/api/routes.h"
#include <stdio.h>

static struct route_table table;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    route_table_init(&table);
    arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static struct route_match find(const char *path)
{
    struct route_match match;

    assert_int_equal(route_find(&table, str_of(path), &arena, &match), ERR_OK);
    return match;
}

static void routes__have_the_role_that_the_product_says(void **state)
{
    static const struct {
        enum http_method method;
        const char *path;
        unsigned roles;
    } rows[] = {
        { HTTP_METHOD_POST, "/carts", ROLE_CUSTOMER },
        { HTTP_METHOD_GET, "/carts/1", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/carts/1/items", ROLE_CUSTOMER },
        { HTTP_METHOD_PUT, "/carts/1/items/A", ROLE_CUSTOMER },
        { HTTP_METHOD_DELETE, "/carts/1/items/A", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/carts/1/convert", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/orders/checkout", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/orders", ROLE_CUSTOMER },
        { HTTP_METHOD_GET, "/orders", ROLE_CUSTOMER },
        { HTTP_METHOD_GET, "/orders/1", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/orders/1/pay", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/orders/1/cancel", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/orders/1/mark-paid", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/orders/1/explain", ROLE_OPERATOR },
        { HTTP_METHOD_POST, "/orders/1/ready", ROLE_OPERATOR },
        { HTTP_METHOD_POST, "/orders/1/complete", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/shipments/1", ROLE_CONTEXT },
        { HTTP_METHOD_POST, "/shipments/1/dispatch", ROLE_CONTEXT },
        { HTTP_METHOD_POST, "/shipments/1/deliver", ROLE_CONTEXT },
        { HTTP_METHOD_GET, "/products", ROLE_CUSTOMER },
        { HTTP_METHOD_GET, "/products/A", ROLE_CUSTOMER },
        { HTTP_METHOD_POST, "/products", ROLE_OPERATOR },
        { HTTP_METHOD_PATCH, "/products/A", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/events", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/events/1", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/events/stream", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/messages", ROLE_CONTEXT },
        { HTTP_METHOD_GET, "/messages/stream", ROLE_CONTEXT },
        { HTTP_METHOD_POST, "/messages", ROLE_CONTEXT },
        { HTTP_METHOD_POST, "/messages/payment.approved", ROLE_CONTEXT },
        { HTTP_METHOD_GET, "/dead-letters", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/dead-letters/1", ROLE_OPERATOR },
        { HTTP_METHOD_POST, "/dead-letters/retry", ROLE_OPERATOR },
        { HTTP_METHOD_POST, "/dead-letters/1/retry", ROLE_OPERATOR },
        { HTTP_METHOD_POST, "/dead-letters/1/discard", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/simulators/payments", ROLE_OPERATOR },
        { HTTP_METHOD_PUT, "/simulators/payments", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/metrics", ROLE_OPERATOR },
        { HTTP_METHOD_GET, "/", ROLE_ANYBODY },
        { HTTP_METHOD_GET, "/livez", ROLE_ANYBODY },
        { HTTP_METHOD_GET, "/readyz", ROLE_ANYBODY },
    };

    (void)state;
    assert_int_equal(routes_len, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route_match match = find(rows[i].path);
        const struct route *r;

        assert_non_null(match.pattern);
        r = route_of(match.pattern, rows[i].method);
        assert_non_null(r);
        assert_int_equal(r->roles, rows[i].roles);
    }
}

static void routes__give_the_parameters_decoded(void **state)
{
    struct route_match match = find("/carts/abc/items/A%2EB-1");

    (void)state;
    assert_string_equal(match.pattern->pattern, "/carts/{id}/items/{productId}");
    assert_true(str_eq(match.params[0], STR("abc")));
    assert_true(str_eq(match.params[1], STR("A.B-1")));
    assert_false(match.has_prefix);
    match = find("/api/orders/x");
    assert_true(match.has_prefix);
    assert_true(str_eq(match.params[0], STR("x")));
    assert_string_equal(find("/orders/checkout").pattern->pattern, "/orders/checkout");
}

static void routes__find_nothing_elsewhere(void **state)
{
    static const char *const paths[] = {
        "",
        "/order",
        "/orders/",
        "/orders/1/",
        "/orders//pay",
        "/api/api/orders",
        "/orders/1/pay/2",
        "/carts/1/items/A/B",
        "/a/b/c/d/e/f/g/h",
        "/ORDERS",
        "/orders/1/explode",
        "/events/a/b",
        "/livez/x",
        "/dead-letters/1/2/retry",
    };
    struct route_match match;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        assert_null(find(paths[i]).pattern);
    assert_int_equal(route_find(&table, STR("/orders/%zz"), &arena, &match), ERR_INVALID);
    assert_int_equal(route_find(&table, STR("/orders/%00"), &arena, &match), ERR_INVALID);
}

static void routes__say_which_methods_a_resource_has(void **state)
{
    (void)state;
    assert_string_equal(find("/orders").pattern->allow_text, "GET, HEAD, POST, OPTIONS");
    assert_string_equal(find("/orders/1/pay").pattern->allow_text, "POST, OPTIONS");
    assert_string_equal(find("/products/A").pattern->allow_text, "GET, HEAD, PATCH, OPTIONS");
    assert_null(route_of(find("/orders").pattern, HTTP_METHOD_DELETE));
    assert_ptr_equal(route_of(find("/orders").pattern, HTTP_METHOD_HEAD),
                     route_of(find("/orders").pattern, HTTP_METHOD_GET));
}

static void routes__know_their_parameters(void **state)
{
    const struct route *list = route_of(find("/orders").pattern, HTTP_METHOD_GET);

    (void)state;
    assert_true(route_knows(list, STR("status")));
    assert_true(route_knows(list, STR("limit")));
    assert_false(route_knows(list, STR("stat")));
    assert_false(route_knows(list, STR("")));
    assert_false(route_knows(list, STR("status customerId")));
    assert_false(route_knows(route_of(find("/livez").pattern, HTTP_METHOD_GET), STR("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes__have_the_role_that_the_product_says),
        cmocka_unit_test(routes__give_the_parameters_decoded),
        cmocka_unit_test(routes__find_nothing_elsewhere),
        cmocka_unit_test(routes__say_which_methods_a_resource_has),
        cmocka_unit_test(routes__know_their_parameters),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

#include "lib/request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_bytes(const char *bytes, size_t n, const char *expected)
{
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, n);
}

static void request__is_laid_out_with_the_length_of_its_body(void **state)
{
    static const char *const HEADERS[] = { "Content-Type: application/json" };
    struct request_parts parts = { .method = "POST",
                                   .path = "/orders",
                                   .host = "127.0.0.1:80",
                                   .headers = HEADERS,
                                   .headers_n = 1,
                                   .body = "{\"a\":\"{n}\"}",
                                   .body_n = 11 };
    struct request_template t;

    (void)state;
    assert_null(request_template_init(&t, &parts));
    assert_bytes(t.bytes.p, t.bytes.n,
                 "POST /orders HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"
                 "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
                 "{\"a\":\"000000000000\"}");
    request_template_deinit(&t);
}

static void request__without_a_body_has_no_length(void **state)
{
    struct request_parts parts = { .method = "GET", .path = "/livez", .host = "h:1" };
    struct request_template t;

    (void)state;
    assert_null(request_template_init(&t, &parts));
    assert_bytes(t.bytes.p, t.bytes.n, "GET /livez HTTP/1.1\r\nHost: h:1\r\n\r\n");
    request_template_deinit(&t);
}

static void request__gets_its_number_wherever_it_asks_for_it(void **state)
{
    static const char *const HEADERS[] = { "Idempotency-Key: k-{n}" };
    struct request_parts parts = { .method = "PUT",
                                   .path = "/x/{n}",
                                   .host = "h:1",
                                   .headers = HEADERS,
                                   .headers_n = 1,
                                   .body = "{n}{n}",
                                   .body_n = 6 };
    struct request_template t;
    char copy[256];

    (void)state;
    assert_null(request_template_init(&t, &parts));
    assert_int_equal(t.slots_n, 4);
    memcpy(copy, t.bytes.p, t.bytes.n);
    request_template_stamp(&t, copy, 42);
    request_template_stamp(&t, copy, 1234567890123);
    assert_bytes(copy, t.bytes.n,
                 "PUT /x/234567890123 HTTP/1.1\r\nHost: h:1\r\nIdempotency-Key: k-234567890123\r\n"
                 "Content-Length: 24\r\n\r\n234567890123234567890123");
    request_template_deinit(&t);
}

static void request__that_would_break_its_head_is_refused(void **state)
{
    static const char *const SPLIT[] = { "A: b\r\nC: d" };
    static const char *const NAMELESS[] = { "no colon" };
    struct request_parts parts = { .method = "GET", .path = "/a\r\nb", .host = "h:1" };
    struct request_template t;

    (void)state;
    assert_non_null(request_template_init(&t, &parts));
    parts.path = "/";
    parts.headers = SPLIT;
    parts.headers_n = 1;
    assert_non_null(request_template_init(&t, &parts));
    parts.headers = NAMELESS;
    assert_non_null(request_template_init(&t, &parts));
}

static void request__takes_so_many_numbers_and_no_more(void **state)
{
    char path[1 + 3 * (REQUEST_SLOTS_MAX + 1) + 1] = "/";
    struct request_parts parts = { .method = "GET", .path = path, .host = "h:1" };
    struct request_template t;

    (void)state;
    for (size_t i = 0; i < REQUEST_SLOTS_MAX; i++)
        memcpy(path + 1 + 3 * i, "{n}", 4);
    assert_null(request_template_init(&t, &parts));
    assert_int_equal(t.slots_n, REQUEST_SLOTS_MAX);
    request_template_deinit(&t);
    memcpy(path + 1 + 3 * REQUEST_SLOTS_MAX, "{n}", 4);
    assert_non_null(request_template_init(&t, &parts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__is_laid_out_with_the_length_of_its_body),
        cmocka_unit_test(request__without_a_body_has_no_length),
        cmocka_unit_test(request__gets_its_number_wherever_it_asks_for_it),
        cmocka_unit_test(request__that_would_break_its_head_is_refused),
        cmocka_unit_test(request__takes_so_many_numbers_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

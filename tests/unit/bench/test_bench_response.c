#include "lib/response.h"
#include "orderly/base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char CREATED[] = "HTTP/1.1 201 Created\r\nLocation: /orders/7\r\nETag: \"1\"\r\n"
                              "Content-Type: application/json\r\ncontent-length:  11 \r\n\r\n"
                              "{\"status\":1";
static const char BUSY[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\n"
                           "Content-Length: 0\r\nConnection: close\r\n\r\n";

/* Feeds bytes in pieces of n, each from a heap block of its own so that a read beyond it is seen. */
static enum response_state feed(struct response_parser *p, const char *bytes, size_t length,
                                size_t n, unsigned *complete)
{
    enum response_state state = RESPONSE_PARTIAL;

    for (size_t at = 0; at < length; at += n) {
        size_t piece_n = length - at < n ? length - at : n;
        char *piece = mem_alloc(piece_n);
        const char *from = piece;

        memcpy(piece, bytes + at, piece_n);
        while (from < piece + piece_n) {
            state = response_parse(p, &from, piece + piece_n);
            if (state == RESPONSE_REFUSED)
                break;
            *complete += state == RESPONSE_COMPLETE;
        }
        mem_free(piece);
        if (state == RESPONSE_REFUSED)
            break;
    }
    return state;
}

static void assert_refused(const char *bytes)
{
    struct response_parser p;
    unsigned complete = 0;

    response_parser_init(&p, false, true);
    assert_int_equal(feed(&p, bytes, strlen(bytes), strlen(bytes), &complete), RESPONSE_REFUSED);
    assert_non_null(p.refusal);
    assert_int_equal(complete, 0);
    response_parser_deinit(&p);
}

static void response__is_read_whole_however_it_is_cut(void **state)
{
    char both[sizeof(CREATED) + sizeof(BUSY)];
    size_t length = sizeof(CREATED) + sizeof(BUSY) - 2;

    (void)state;
    memcpy(both, CREATED, sizeof(CREATED) - 1);
    memcpy(both + sizeof(CREATED) - 1, BUSY, sizeof(BUSY) - 1);
    for (size_t n = 1; n <= length; n++) {
        struct response_parser p;
        unsigned complete = 0;

        response_parser_init(&p, false, true);
        assert_int_equal(feed(&p, both, length, n, &complete), RESPONSE_COMPLETE);
        assert_int_equal(complete, 2);
        assert_int_equal(p.status, 503);
        assert_int_equal(p.retry_after_s, 2);
        assert_true(p.closes);
        assert_int_equal(p.location_n, 0);
        response_parser_deinit(&p);
    }
}

static void response__tells_its_location_after_the_body_too(void **state)
{
    struct response_parser p;
    unsigned complete = 0;

    (void)state;
    response_parser_init(&p, false, true);
    assert_int_equal(feed(&p, CREATED, sizeof(CREATED) - 1, 40, &complete), RESPONSE_COMPLETE);
    assert_int_equal(p.status, 201);
    assert_int_equal(p.location_n, strlen("/orders/7"));
    assert_memory_equal(p.location, "/orders/7", p.location_n);
    assert_false(p.closes);
    assert_int_equal(p.retry_after_s, 0);
    response_parser_deinit(&p);
}

static void response__without_a_body_ends_with_its_head(void **state)
{
    static const char *const BODILESS[] = {
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    };
    struct response_parser p;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        unsigned complete = 0;

        response_parser_init(&p, false, false);
        assert_int_equal(feed(&p, BODILESS[i], strlen(BODILESS[i]), 7, &complete),
                         RESPONSE_COMPLETE);
        assert_int_equal(complete, 1);
        response_parser_deinit(&p);
    }
}

static void response__to_head_has_no_body(void **state)
{
    static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n";
    struct response_parser p;
    unsigned complete = 0;

    (void)state;
    response_parser_init(&p, true, false);
    assert_int_equal(feed(&p, HEAD, sizeof(HEAD) - 1, 1000, &complete), RESPONSE_COMPLETE);
    response_parser_deinit(&p);
}

static void response__that_is_interim_is_skipped(void **state)
{
    static const char CONTINUED[] = "HTTP/1.1 100 Continue\r\n\r\n"
                                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct response_parser p;

    (void)state;
    for (size_t n = 1; n < sizeof(CONTINUED); n++) {
        unsigned complete = 0;

        response_parser_init(&p, false, false);
        assert_int_equal(feed(&p, CONTINUED, sizeof(CONTINUED) - 1, n, &complete),
                         RESPONSE_COMPLETE);
        assert_int_equal(complete, 1);
        assert_int_equal(p.status, 200);
        response_parser_deinit(&p);
    }
}

static void response__is_refused_aloud_when_its_end_cannot_be_known(void **state)
{
    (void)state;
    assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_refused("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil close");
    assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    assert_refused("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n");
    assert_refused("HTTP/1.1 101 Switching Protocols\r\n\r\n");
}

static void response__that_is_none_is_refused(void **state)
{
    (void)state;
    assert_refused("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_refused("HTTP/1.1 abc\r\n\r\n");
    assert_refused("\r\n\r\n");
    assert_refused("HTTP/1.1 200 OK\r\nConnection close\r\n\r\n");
}

static void response__with_an_endless_head_is_refused(void **state)
{
    struct response_parser p;
    char line[1024];
    enum response_state result = RESPONSE_PARTIAL;
    unsigned complete = 0;

    (void)state;
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    response_parser_init(&p, false, false);
    for (int i = 0; i < RESPONSE_HEAD_MAX / 1024 && result == RESPONSE_PARTIAL; i++)
        result = feed(&p, line, sizeof(line), sizeof(line), &complete);
    assert_int_equal(result, RESPONSE_REFUSED);
    response_parser_deinit(&p);
}

static void response__half_read_is_forgotten_on_a_new_connection(void **state)
{
    struct response_parser p;
    unsigned complete = 0;

    (void)state;
    response_parser_init(&p, false, false);
    assert_int_equal(feed(&p, CREATED, 30, 30, &complete), RESPONSE_PARTIAL);
    response_parser_reset(&p);
    assert_int_equal(feed(&p, BUSY, sizeof(BUSY) - 1, 1000, &complete), RESPONSE_COMPLETE);
    assert_int_equal(p.status, 503);
    assert_int_equal(feed(&p, CREATED, sizeof(CREATED) - 4, 1000, &complete), RESPONSE_PARTIAL);
    response_parser_reset(&p);
    assert_int_equal(feed(&p, CREATED, sizeof(CREATED) - 1, 1000, &complete), RESPONSE_COMPLETE);
    assert_int_equal(p.status, 201);
    response_parser_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response__is_read_whole_however_it_is_cut),
        cmocka_unit_test(response__tells_its_location_after_the_body_too),
        cmocka_unit_test(response__without_a_body_ends_with_its_head),
        cmocka_unit_test(response__to_head_has_no_body),
        cmocka_unit_test(response__that_is_interim_is_skipped),
        cmocka_unit_test(response__is_refused_aloud_when_its_end_cannot_be_known),
        cmocka_unit_test(response__that_is_none_is_refused),
        cmocka_unit_test(response__with_an_endless_head_is_refused),
        cmocka_unit_test(response__half_read_is_forgotten_on_a_new_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "orderly/infra/relay/relay_url.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_parsed(const char *url, enum relay_kind kind, bool is_tls, const char *user,
                          const char *address, const char *path)
{
    struct relay_url out;
    const char *why = relay_url_parse(str_of(url), &out);

    if (why)
        (void)fprintf(stderr, "%s: %s\n", url, why);
    assert_null(why);
    assert_int_equal(out.kind, kind);
    assert_int_equal(out.is_tls, is_tls);
    assert_true(str_eq(out.user, str_of(user)));
    assert_true(str_eq(out.address, str_of(address)));
    assert_true(str_eq(out.path, str_of(path)));
}

static void relay_url__is_taken_apart(void **state)
{
    (void)state;
    assert_parsed("nats://127.0.0.1:4222", RELAY_NATS, false, "", "127.0.0.1:4222", "");
    assert_parsed("tls://nats.example", RELAY_NATS, true, "", "nats.example", "");
    assert_parsed("nats://me@a:1,b:65535", RELAY_NATS, false, "me", "a:1,b:65535", "");
    assert_parsed("kafka://[::1]:9092", RELAY_KAFKA, false, "", "[::1]:9092", "");
    assert_parsed("KAFKA+TLS://k:9093/", RELAY_KAFKA, true, "", "k:9093", "");
    assert_parsed("amqp://u@r:5672/shop", RELAY_RABBITMQ, false, "u", "r:5672", "shop");
    assert_parsed("amqps://r/%2f", RELAY_RABBITMQ, true, "", "r", "%2f");
}

static void relay_url__with_a_fault_is_refused_and_says_which(void **state)
{
    static const struct {
        const char *url, *why;
    } bad[] = {
        { "127.0.0.1:4222", "SCHEME" },
        { "http://a", "must start with" },
        { "nats://u:secret@a", "password" },
        { "nats://@a", "user" },
        { "nats://", "HOST" },
        { "nats://a:", "HOST" },
        { "nats://a:0", "HOST" },
        { "nats://a:65536", "HOST" },
        { "nats://a:x", "HOST" },
        { "nats://a,", "HOST" },
        { "nats://,a", "HOST" },
        { "nats://[::1", "HOST" },
        { "nats://[]:1", "HOST" },
        { "nats://[::1]x", "HOST" },
        { "nats://a b", "HOST" },
        { "nats://:4222", "HOST" },
        { "nats://a/b", "behind" },
        { "kafka://a/t", "behind" },
        { "amqp://a?x=1", "HOST" },
        { "", "SCHEME" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct relay_url out;
        const char *why = relay_url_parse(str_of(bad[i].url), &out);

        if (!why || !strstr(why, bad[i].why))
            fail_msg("%s: %s", bad[i].url, why ? why : "was taken");
    }
}

static void assert_list(const char *list, unsigned n, const char *const *urls)
{
    struct str rest = str_of(list), url;

    for (unsigned i = 0; i < n; i++) {
        assert_true(relay_url_next(&rest, &url));
        assert_true(str_eq(url, str_of(urls[i])));
    }
    assert_false(relay_url_next(&rest, &url));
}

static void relay_url__lists_are_split_where_a_scheme_follows_the_comma(void **state)
{
    (void)state;
    assert_list("", 0, NULL);
    assert_list(" ", 0, NULL);
    assert_list("nats://a", 1, (const char *[]){ "nats://a" });
    assert_list("nats://a,b:1", 1, (const char *[]){ "nats://a,b:1" });
    assert_list("nats://a,b , amqp://c/d,kafka://e,f", 3,
                (const char *[]){ "nats://a,b", "amqp://c/d", "kafka://e,f" });
    assert_list("nats://a,", 1, (const char *[]){ "nats://a" });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay_url__is_taken_apart),
        cmocka_unit_test(relay_url__with_a_fault_is_refused_and_says_which),
        cmocka_unit_test(relay_url__lists_are_split_where_a_scheme_follows_the_comma),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a relay copies of a message that a broker delivers: all of it, as far as it is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/relay/relay_received.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/relay/broker_relay.h"

static atomic_size_t held; /* by the test that runs; 0 at the end of each */

static char letters[RELAY_RECEIVED_ATTRIBUTES_BYTES_MAX + 1];

static struct str so_many(size_t n)
{
    memset(letters, 'x', sizeof(letters));
    return (struct str){ letters, n };
}

static void received__is_a_copy_of_everything(void **state)
{
    const struct broker_attribute attributes[] = { { STR("id"), STR("m-1") },
                                                   { STR("type"), STR_NONE } };
    const struct broker_delivery d = { .handle = 7,
                                       .topic = STR("payment.declined"),
                                       .id = STR("i"),
                                       .content_type = STR("application/json"),
                                       .attributes = attributes,
                                       .n_attributes = 2,
                                       .body = STR("{}") };
    struct relay_received *r = relay_received_copy(&d, 3, STR_NONE, &held);

    (void)state;
    assert_int_equal(r->connection, 3);
    assert_int_equal(r->d.handle, 7);
    assert_true(str_eq(r->d.topic, d.topic) && r->d.topic.p != d.topic.p);
    assert_true(str_eq(r->d.id, d.id));
    assert_true(str_eq(r->d.content_type, d.content_type));
    assert_true(str_eq(r->d.body, d.body));
    assert_int_equal(r->d.n_attributes, 2);
    assert_true(str_eq(r->d.attributes[0].value, STR("m-1")));
    assert_true(str_eq(r->d.attributes[1].name, STR("type")));
    assert_false(r->d.is_too_large);
    relay_received_free(r);
}

static void received__has_texts_of_so_many_bytes_and_no_more(void **state)
{
    struct broker_delivery d = { .body = STR("{}") };
    struct str *const texts[] = { &d.topic, &d.id, &d.content_type };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct relay_received *r;

        *texts[i] = so_many(RELAY_RECEIVED_TEXT_BYTES_MAX);
        r = relay_received_copy(&d, 1, STR_NONE, &held);
        assert_false(r->d.is_too_large);
        relay_received_free(r);
        *texts[i] = so_many(RELAY_RECEIVED_TEXT_BYTES_MAX + 1);
        r = relay_received_copy(&d, 1, STR_NONE, &held);
        assert_true(r->d.is_too_large);
        assert_int_equal(r->d.topic.n + r->d.id.n + r->d.content_type.n,
                         RELAY_RECEIVED_TEXT_BYTES_MAX);
        assert_true(str_eq(r->d.body, STR("{}")));
        relay_received_free(r);
        *texts[i] = STR_NONE;
    }
}

static void received__has_attributes_of_so_many_bytes_and_no_more(void **state)
{
    struct broker_attribute attributes[] = { { STR("a"), STR_NONE },
                                             { STR("b"), STR("1") },
                                             { STR("c"), STR("1") } };
    struct broker_delivery d = { .attributes = attributes, .n_attributes = 2 };
    struct relay_received *r;

    (void)state;
    attributes[0].value = so_many(RELAY_RECEIVED_ATTRIBUTES_BYTES_MAX - 3);
    r = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_false(r->d.is_too_large);
    assert_int_equal(r->d.n_attributes, 2);
    relay_received_free(r);
    attributes[0].value.n++;
    r = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_true(r->d.is_too_large);
    assert_int_equal(r->d.n_attributes, 1); /* that there is room for */
    relay_received_free(r);
    attributes[0].value = so_many(RELAY_RECEIVED_ATTRIBUTES_BYTES_MAX);
    d.n_attributes = 3;
    r = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_true(r->d.is_too_large);
    assert_int_equal(r->d.n_attributes, 2);
    assert_true(str_eq(r->d.attributes[0].name, STR("b")));
    relay_received_free(r);
}

static void received__has_so_many_attributes_and_no_more(void **state)
{
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX + 1];
    struct broker_delivery d = { .attributes = attributes };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(attributes); i++)
        attributes[i] = (struct broker_attribute){ STR("n"), STR("v") };
    for (unsigned n = BROKER_ATTRIBUTES_MAX; n <= BROKER_ATTRIBUTES_MAX + 1; n++) {
        struct relay_received *r;

        d.n_attributes = n;
        r = relay_received_copy(&d, 1, STR_NONE, &held);
        assert_int_equal(r->d.n_attributes, BROKER_ATTRIBUTES_MAX);
        assert_true(r->d.is_too_large == (n > BROKER_ATTRIBUTES_MAX));
        relay_received_free(r);
    }
}

static bool is_own_of(const char *id, const char *said, const char *origin)
{
    const struct broker_delivery d = { .handle = 7,
                                       .topic = STR("payment.declined"),
                                       .id = str_of(id),
                                       .origin = str_of(said),
                                       .body = STR("{}") };
    struct relay_received *r = relay_received_copy(&d, 3, str_of(origin), &held);
    bool is = r->is_own;

    assert_int_equal(r->connection, 3);
    assert_int_equal(r->d.handle, 7);
    assert_int_equal(r->d.body.n, is ? 0 : 2); /* of one's own nothing else is needed */
    assert_int_equal(r->d.topic.n, is ? 0 : d.topic.n);
    assert_int_equal(r->d.origin.n, 0);
    relay_received_free(r);
    return is;
}

static bool is_own(const char *said, const char *origin)
{
    return is_own_of("m-1", said, origin);
}

static void received__is_own_where_its_origin_is_this_logs(void **state)
{
    (void)state;
    assert_true(is_own("0f00 m-1", "0f00"));
    assert_false(is_own("0f01 m-1", "0f00"));
    assert_false(is_own("0F00 m-1", "0f00"));
    assert_false(is_own("0f0 m-1", "0f00"));
    assert_false(is_own("0f000 m-1", "0f00"));
    assert_false(is_own("0f00m-1 ", "0f00"));
    assert_false(is_own("", "0f00")); /* of others, or of an earlier version */
    assert_false(is_own("0f00 m-1", ""));
    assert_false(is_own(" m-1", ""));
    assert_false(is_own("", ""));
}

/* Services that hand on every header of what they answer are common. */
static void received__is_not_own_where_another_answers_with_our_headers(void **state)
{
    (void)state;
    assert_false(is_own_of("m-2", "0f00 m-1", "0f00"));
    assert_false(is_own_of("m-11", "0f00 m-1", "0f00"));
    assert_false(is_own_of("m-", "0f00 m-1", "0f00"));
    assert_false(is_own_of("", "0f00 ", "0f00"));
}

/* Whatever is said of it: with a byte left a message of any length is received. */
static void received__is_counted_until_it_is_freed_and_leaves_so_much_room(void **state)
{
    char *body = mem_zalloc(RELAY_HELD_BYTES_MAX);
    struct broker_delivery d = { .topic = STR("payment.declined"), .body = { body, 0 } };
    const struct broker_attribute attribute = { STR("id"), STR("m-1") };
    size_t more = d.topic.n + 5;
    struct relay_received *first, *last;

    (void)state;
    d.attributes = &attribute;
    d.n_attributes = 1;
    assert_int_equal(relay_received_room(atomic_load(&held)), RELAY_HELD_BYTES_MAX);
    d.body.n = RELAY_HELD_BYTES_MAX - more - 1;
    first = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_int_equal(relay_received_room(atomic_load(&held)), 1);
    relay_received_free(first);
    d.body.n++;
    first = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_int_equal(relay_received_room(atomic_load(&held)), 0);
    last = relay_received_copy(&d, 1, STR_NONE, &held);
    assert_int_equal(relay_received_room(atomic_load(&held)), 0);
    relay_received_free(first);
    assert_int_equal(relay_received_room(atomic_load(&held)), 0);
    relay_received_free(last);
    assert_int_equal(relay_received_room(atomic_load(&held)), RELAY_HELD_BYTES_MAX);
    mem_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(received__is_a_copy_of_everything),
        cmocka_unit_test(received__has_texts_of_so_many_bytes_and_no_more),
        cmocka_unit_test(received__has_attributes_of_so_many_bytes_and_no_more),
        cmocka_unit_test(received__has_so_many_attributes_and_no_more),
        cmocka_unit_test(received__is_own_where_its_origin_is_this_logs),
        cmocka_unit_test(received__is_not_own_where_another_answers_with_our_headers),
        cmocka_unit_test(received__is_counted_until_it_is_freed_and_leaves_so_much_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages as CloudEvents. The golden file holds one of each type, as outside contexts have built
 * upon it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/app/event_codec.h"
#include "orderly/base/check.h"
#include "orderly/infra/render/cloud_event.h"
#include "orderly/infra/render/render_event.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSITION 42

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

/* ---- the golden file ------------------------------------------------------------------------- */

static FILE *golden_open(const char *name)
{
    struct str here = str_of(__FILE__);
    char path[4096];
    size_t n = here.n;
    FILE *file;

    for (unsigned up = 0; up < 4; up++) { /* tests/unit/infra/render/this file */
        while (n > 0 && here.p[n - 1] != '/')
            n--;
        n -= n > 0;
    }
    snprintf(path, sizeof(path), "%.*s/golden/%s", (int)n, here.p, name);
    file = fopen(path, "r");
    if (!file)
        fail_msg("no %s", path);
    return file;
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The next event of the golden rows of the log; false at their end. */
static bool golden_next(FILE *file, struct event *out)
{
    char line[8192];

    while (fgets(line, sizeof(line), file)) {
        struct str text = str_trim(str_of(line));
        const char *hex = strchr(line, ' ');
        size_t n = 0;
        char *bytes;

        if (line[0] == '#' || line[0] == '\n')
            continue;
        assert_non_null(hex);
        text.n -= text.p[text.n - 1] == '\n';
        bytes = arena_alloc(&arena, text.n);
        for (hex++; hex + 1 < text.p + text.n; hex += 2)
            bytes[n++] = (char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
        assert_int_equal(event_decode((struct str){ bytes, n }, POSITION, out, &arena), ERR_OK);
        return true;
    }
    return false;
}

static const struct cloud_config config = { .source = { CLOUD_SOURCE_DEFAULT, 8 } };

static struct str written(const struct cloud_config *c, const struct event *e)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };
    struct str text;

    cloud_event_write(&o, c, e);
    text = json_out_take(&o, &arena);
    json_out_deinit(&o);
    return text;
}

/* tests/golden/cloud_events.txt: a message a line. With ORDERLY_GOLDEN=write they are printed. */
static void cloud_event__of_every_message_is_as_it_was(void **state)
{
    FILE *rows = golden_open("events.txt");
    FILE *events = golden_open("cloud_events.txt");
    bool is_writing = getenv("ORDERLY_GOLDEN") != NULL;
    char line[8192];
    struct event e;
    unsigned n = 0;

    (void)state;
    while (golden_next(rows, &e)) {
        struct str text;

        if (event_infos[e.type].topic.n == 0)
            continue; /* never a message */
        text = written(&config, &e);
        n++;
        if (is_writing) {
            printf("%s\n", text.p);
            continue;
        }
        if (!fgets(line, sizeof(line), events))
            fail_msg("no golden message of %s", event_infos[e.type].type.p);
        line[strcspn(line, "\n")] = 0;
        assert_string_equal(text.p, line);
    }
    assert_int_equal(n, EVENT_TYPE_COUNT - 1 - 4); /* all but the four of subscriptions */
    assert_true(is_writing || !fgets(line, sizeof(line), events));
    fclose(rows);
    fclose(events);
}

/* ---- the two forms --------------------------------------------------------------------------- */

static void first_event(struct event *e)
{
    FILE *rows = golden_open("events.txt");

    assert_true(golden_next(rows, e));
    fclose(rows);
}

/* Whoever puts them together again has the structured form: nothing is in one of them alone. */
static void cloud_event__says_the_same_in_both_forms(void **state)
{
    FILE *rows = golden_open("events.txt");
    struct event e;

    (void)state;
    while (golden_next(rows, &e)) {
        struct json_out o = { .buf = { NULL, 0, 0 } };
        struct cloud_attributes a;

        if (event_infos[e.type].topic.n == 0)
            continue;
        cloud_attributes_of(&a, &config, &e);
        json_open(&o, '{');
        for (unsigned i = 0; i < a.n; i++) {
            assert_true(a.list[i].value.n > 0);
            json_key(&o, a.list[i].name);
            json_str(&o, a.list[i].value);
        }
        JSON_KEY(&o, "datacontenttype");
        json_str(&o, CLOUD_DATA_TYPE);
        JSON_KEY(&o, "data");
        render_payload(&o, &e);
        json_close(&o, '}');
        assert_true(str_eq(buf_str(&o.buf), written(&config, &e)));
        json_out_deinit(&o);
    }
    fclose(rows);
}

static struct str attribute(const struct cloud_attributes *a, const char *name)
{
    for (unsigned i = 0; i < a->n; i++) {
        if (str_eq(a->list[i].name, str_of(name)))
            return a->list[i].value;
    }
    return STR_NONE;
}

static void assert_attribute(const struct cloud_attributes *a, const char *name,
                             const char *expected)
{
    struct str value = attribute(a, name);

    if (!str_eq(value, str_of(expected)))
        fail_msg("%s is '%.*s' and not '%s'", name, STR_ARG(value), expected);
}

static void cloud_event__has_the_attributes_of_its_message(void **state)
{
    struct cloud_config c = { STR("https://shop.example/orders"), STR("com.example.") };
    struct cloud_attributes a;
    struct event e;

    (void)state;
    first_event(&e);
    e.traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    cloud_attributes_of(&a, &c, &e);
    assert_attribute(&a, "specversion", "1.0");
    assert_attribute(&a, "id", "0199a1f3-0000-7000-8000-00000000002a");
    assert_attribute(&a, "source", "https://shop.example/orders");
    assert_attribute(&a, "type", "com.example.order.placed");
    assert_attribute(&a, "subject", "0199a1f3-0000-7000-8000-000000000001");
    assert_attribute(&a, "partitionkey", "0199a1f3-0000-7000-8000-000000000001");
    assert_attribute(&a, "correlationid", "0199a1f3-0000-7000-8000-000000000001");
    assert_attribute(&a, "causationid", "0199a1f3-0000-7000-8000-000000000029");
    assert_attribute(&a, "sequence", "00000000000000000042");
    assert_attribute(&a, "traceparent", e.traceparent.p);
    assert_int_equal(attribute(&a, "time").n, TIMETEXT_LEN);
    assert_int_equal(a.n, 11);

    e.cause_message_id = STR("prov-77"); /* as the sender of what caused it calls it */
    cloud_attributes_of(&a, &c, &e);
    assert_attribute(&a, "causationid", "prov-77");

    e.cause_message_id = STR_NONE;
    e.traceparent = STR_NONE;
    memset(&e.cause, 0, sizeof(e.cause));
    cloud_attributes_of(&a, &c, &e);
    assert_int_equal(a.n, 9);
    assert_null(attribute(&a, "causationid").p);
    assert_null(attribute(&a, "traceparent").p);
}

static void cloud_event__has_the_largest_position_and_prefix_in_it(void **state)
{
    char prefix[CLOUD_TYPE_PREFIX_MAX];
    struct cloud_config c = { STR("/"), { prefix, sizeof(prefix) } };
    struct cloud_attributes a;
    struct event e;

    (void)state;
    memset(prefix, 'x', sizeof(prefix));
    first_event(&e);
    e.position = UINT64_MAX;
    cloud_attributes_of(&a, &c, &e);
    assert_attribute(&a, "sequence", "18446744073709551615");
    assert_int_equal(attribute(&a, "type").n, CLOUD_TYPE_PREFIX_MAX + strlen("order.placed"));
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
        assert_true(event_infos[t].topic.n <= CLOUD_TOPIC_MAX);
}

/* ---- what is configured ---------------------------------------------------------------------- */

static void cloud_event__takes_a_source_of_up_to_its_bound(void **state)
{
    char text[CLOUD_SOURCE_MAX + 1];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(cloud_source_is_valid(STR(CLOUD_SOURCE_DEFAULT)));
    assert_true(cloud_source_is_valid((struct str){ text, CLOUD_SOURCE_MAX }));
    assert_false(cloud_source_is_valid((struct str){ text, CLOUD_SOURCE_MAX + 1 }));
    assert_false(cloud_source_is_valid(STR_NONE));
    assert_false(cloud_source_is_valid(STR("our shop")));
}

static void cloud_event__takes_a_prefix_of_up_to_its_bound(void **state)
{
    char text[CLOUD_TYPE_PREFIX_MAX + 1];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(cloud_type_prefix_is_valid(STR_NONE));
    assert_true(cloud_type_prefix_is_valid(STR("com.example_9:/-Z.")));
    assert_true(cloud_type_prefix_is_valid((struct str){ text, CLOUD_TYPE_PREFIX_MAX }));
    assert_false(cloud_type_prefix_is_valid((struct str){ text, CLOUD_TYPE_PREFIX_MAX + 1 }));
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c;
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        assert_int_equal(cloud_type_prefix_is_valid((struct str){ &byte, 1 }),
                         is_alnum || (c && strchr("._:/-", (int)c)));
    }
}

static void cloud_event__is_one_of_the_encodings(void **state)
{
    enum cloud_encoding encoding;

    (void)state;
    assert_true(cloud_encoding_parse(STR("json"), &encoding));
    assert_int_equal(encoding, CLOUD_ENCODING_JSON);
    assert_true(cloud_encoding_parse(STR("cloudevents"), &encoding));
    assert_int_equal(encoding, CLOUD_ENCODING_CLOUDEVENTS);
    assert_false(cloud_encoding_parse(STR("CloudEvents"), &encoding));
    assert_false(cloud_encoding_parse(STR(""), &encoding));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(cloud_event__of_every_message_is_as_it_was),
        TEST(cloud_event__says_the_same_in_both_forms),
        TEST(cloud_event__has_the_attributes_of_its_message),
        TEST(cloud_event__has_the_largest_position_and_prefix_in_it),
        TEST(cloud_event__takes_a_source_of_up_to_its_bound),
        TEST(cloud_event__takes_a_prefix_of_up_to_its_bound),
        TEST(cloud_event__is_one_of_the_encodings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Events as rows: what is written can be read, for ever; what is damaged is found. */
#include "codec_fixture.h"

static struct buf row;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    row = (struct buf){ 0 };
    arena_init(&arena, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&row);
    arena_deinit(&arena);
    return 0;
}

static struct str encoded(const struct event *e)
{
    row.n = 0;
    event_encode(e, &row);
    return buf_str(&row);
}

static void event__of_every_type_comes_back_as_it_was(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e, out;

        an_event((enum event_type)t, &e);
        assert_int_equal(event_decode(encoded(&e), e.position, &out, &arena), ERR_OK);
        assert_same_event(&e, &out);
    }
}

static void event__without_any_field_comes_back_empty(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e = { .type = (enum event_type)t }, out;

        assert_int_equal(event_decode(encoded(&e), 0, &out, &arena), ERR_OK);
        assert_int_equal(out.version, event_infos[t].version); /* 0 was the catalogue's */
        e.version = out.version;
        assert_same_event(&e, &out);
    }
}

static void event__from_outside_keeps_its_text_and_metadata(void **state)
{
    struct event e, out;
    char raw[5000];

    (void)state;
    memset(raw, 'r', sizeof(raw));
    an_event(EVENT_PAYMENT_APPROVED, &e);
    e.cause = (struct event_id){ { { 0 } } };
    e.handled_by = SUBSCRIPTION_NONE;
    e.verdict = VERDICT_PAYMENT_TAKEN;
    e.user_id = STR("user-1");
    e.traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    e.message_id = STR("prov-77");
    e.p.order_id = (struct order_id){ { { 0 } } };
    e.p.foreign_order_id = STR("not-a-uuid");
    e.p.flow = FLOW_NONE;
    for (size_t n = 250; n < 260; n++) { /* around the longest short text */
        e.raw_payload = (struct str){ raw, n };
        assert_int_equal(event_decode(encoded(&e), e.position, &out, &arena), ERR_OK);
        assert_same_event(&e, &out);
    }
    e.raw_payload = (struct str){ raw, sizeof(raw) };
    assert_int_equal(event_decode(encoded(&e), e.position, &out, &arena), ERR_OK);
    assert_same_event(&e, &out);
}

static void event__that_follows_from_an_outside_message_keeps_its_name(void **state)
{
    char id[TEXT_ID_MAX];
    struct event cause, e, out;

    (void)state;
    memset(id, 'm', sizeof(id));
    an_event(EVENT_PAYMENT_APPROVED, &cause);
    an_event(EVENT_ORDER_PAID, &e);
    event_follows(&e, &cause);
    assert_true(uuid_eq(e.cause.u, cause.id.u));
    assert_int_equal(e.cause_message_id.n, 0); /* it was our own */
    for (size_t n = 1; n <= sizeof(id); n++) {
        cause.message_id = (struct str){ id, n };
        event_follows(&e, &cause);
        assert_int_equal(event_decode(encoded(&e), e.position, &out, &arena), ERR_OK);
        assert_int_equal(out.cause_message_id.n, n);
        assert_same_event(&e, &out);
    }
}

static void event__holds_negative_and_extreme_numbers(void **state)
{
    static const int64_t numbers[] = { -1, 1, INT64_MIN, INT64_MAX, -3 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct event e, out;

        an_event(EVENT_STOCK_ADJUSTED, &e);
        e.p.stock_delta = numbers[i];
        e.sequence = UINT64_MAX;
        e.occurred_at_ms = numbers[i];
        assert_int_equal(event_decode(encoded(&e), UINT64_MAX, &out, &arena), ERR_OK);
        e.position = UINT64_MAX;
        assert_same_event(&e, &out);
    }
}

static void text__of_a_decoded_event_is_a_view_of_the_row(void **state)
{
    struct event e, out;
    struct str s;

    (void)state;
    an_event(EVENT_ORDER_SHIPPED, &e);
    s = encoded(&e);
    assert_int_equal(event_decode(s, 1, &out, &arena), ERR_OK);
    assert_true(out.p.tracking_number.p > s.p);
    assert_true(out.p.tracking_number.p < s.p + s.n);
}

static void row__of_a_typical_event_is_compact(void **state)
{
    struct event e;

    (void)state;
    an_event(EVENT_ORDER_PAID, &e);
    assert_true(encoded(&e).n < 256);
}

static void row__that_is_cut_or_too_long_is_damage(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e, out;
        struct str s;

        an_event((enum event_type)t, &e);
        s = encoded(&e);
        for (size_t n = 0; n < s.n; n++) {
            struct str cut = tight_copy((struct str){ s.p, n });

            assert_int_equal(event_decode(cut, 1, &out, &arena), ERR_DAMAGED);
            tight_free(cut);
        }
        buf_add(&row, "x", 1);
        assert_int_equal(event_decode(buf_str(&row), 1, &out, &arena), ERR_DAMAGED);
        arena_reset(&arena);
    }
    assert_int_equal(event_decode(STR_NONE, 1, &(struct event){ 0 }, &arena), ERR_DAMAGED);
}

/* Places of the envelope, for the tests that break it. */
enum {
    AT_FORMAT = 0,
    AT_TYPE = 1,
    AT_VERSION = 3,
    AT_VERDICT = 5,
    AT_BY = 6,
    AT_FLAGS = 7,
    AT_AGGREGATE = 8,
    AT_ID_LENGTH = 9
};

static enum err decode_with(size_t at, unsigned byte)
{
    struct event e, out;

    an_event(EVENT_ORDER_SHIPPED, &e);
    encoded(&e);
    row.p[at] = (char)byte;
    return event_decode(buf_str(&row), 1, &out, &arena);
}

static void envelope__of_an_unknown_kind_is_damage(void **state)
{
    (void)state;
    assert_int_equal(decode_with(AT_FORMAT, 1), ERR_OK);
    assert_int_equal(decode_with(AT_FORMAT, 2), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_TYPE, 0x7f), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_TYPE + 1, 0), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_TYPE + 1, EVENT_TYPE_COUNT), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_VERSION + 1, 0), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_VERSION + 1, event_infos[EVENT_ORDER_SHIPPED].version + 1u),
                     ERR_DAMAGED); /* of a newer server */
    assert_int_equal(decode_with(AT_VERDICT, VERDICT_COUNT), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_BY, SUBSCRIPTION_COUNT), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_FLAGS, 0x81), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_AGGREGATE, AGGREGATE_COUNT), ERR_DAMAGED);
    assert_int_equal(decode_with(AT_ID_LENGTH, TEXT_ID_MAX + 1), ERR_DAMAGED);
}

/* A row of OrderDelivered (nothing but shipmentId and a time) with its fields replaced. */
static enum err decode_fields(const void *fields, size_t n, struct event *out)
{
    struct event e = { .type = EVENT_ORDER_DELIVERED };

    encoded(&e);
    row.n--; /* the count of fields, which is 0 */
    buf_add(&row, fields, n);
    return event_decode(buf_str(&row), 1, out, &arena);
}

static void field__that_is_unknown_twice_there_or_of_another_event_is_damage(void **state)
{
    static const uint8_t fine[] = { 1, FIELD_SHIPMENT_ID, 1, 'S' };
    static const uint8_t unknown[] = { 1, FIELD_COUNT, 1, 'S' };
    static const uint8_t zero[] = { 1, FIELD_NONE, 1, 'S' };
    static const uint8_t high[] = { 1, 255, 1, 'S' };
    static const uint8_t twice[] = { 2, FIELD_SHIPMENT_ID, 1, 'S', FIELD_SHIPMENT_ID, 1, 'T' };
    static const uint8_t other[] = { 1, FIELD_PAYMENT_ID, 1, 'P' };
    static const uint8_t longer[] = { 1, FIELD_SHIPMENT_ID, 65, 'S' };
    static const uint8_t no_flow[] = { 1, FIELD_FLOW, 7 };
    static const uint8_t no_form[] = { 1, FIELD_ORDER_ID, 9 };
    static const uint8_t mixed_up[] = { 2, FIELD_SHIPMENT_ID, 1, 'S', FIELD_FLOW, FLOW_PAY_FIRST };
    struct event out;

    (void)state;
    assert_int_equal(decode_fields(fine, sizeof(fine), &out), ERR_OK);
    assert_true(str_eq(text_id_str(&out.p.shipment_id.t), STR("S")));
    assert_int_equal(decode_fields(unknown, sizeof(unknown), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(zero, sizeof(zero), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(high, sizeof(high), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(twice, sizeof(twice), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(other, sizeof(other), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(longer, sizeof(longer), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(no_flow, sizeof(no_flow), &out), ERR_DAMAGED);
    assert_int_equal(decode_fields(no_form, sizeof(no_form), &out), ERR_DAMAGED);
    /* The order of fields may change in the catalogue without a new version. */
    assert_int_equal(decode_fields(mixed_up, sizeof(mixed_up), &out), ERR_OK);
}

static void count__beyond_the_row_takes_no_memory(void **state)
{
    struct event e = { .type = EVENT_ORDER_STOCK_RESERVED }, out;
    static const uint8_t fields[] = { 1, FIELD_STOCK_LINES, 0xff, 0xff, 1, 'A', 0, 0 };

    (void)state;
    encoded(&e);
    row.n--;
    buf_add(&row, fields, sizeof(fields));
    assert_int_equal(event_decode(buf_str(&row), 1, &out, &arena), ERR_DAMAGED);
    assert_true(arena.total < 1024);
}

static void row__of_any_bytes_is_read_within_its_bounds(void **state)
{
    uint64_t random = seed_of_run();

    (void)state;
    for (unsigned run = 0; run < 20000; run++) {
        struct event e, out;
        struct str broken;

        an_event((enum event_type)(1 + below(&random, EVENT_TYPE_COUNT - 1)), &e);
        encoded(&e);
        for (unsigned flips = 1 + below(&random, 4); flips > 0; flips--)
            row.p[below(&random, (unsigned)row.n)] = (char)below(&random, 256);
        if (below(&random, 4) == 0)
            row.n = below(&random, (unsigned)row.n);
        broken = tight_copy(buf_str(&row));
        if (event_decode(broken, 1, &out, &arena) == ERR_OK)
            encoded(&out); /* and what was read can be written */
        tight_free(broken);
        arena_reset(&arena);
    }
}

/* ---- old payloads ----------------------------------------------------------------------------- */

/* As if OrderShipped had called the tracking number a reason in version 1, and had gained a name for
 * it in version 3. */
static void lift_reason(struct payload *p, struct arena *a)
{
    (void)a;
    p->tracking_number = p->reason;
    p->reason = STR_NONE;
}

static void lift_prefix(struct payload *p, struct arena *a)
{
    p->tracking_number = arena_printf(a, "TRK-" STR_FMT, STR_ARG(p->tracking_number));
}

static const struct event_lift_step steps[] = {
    { EVENT_ORDER_SHIPPED, 2, lift_prefix },
    { EVENT_ORDER_PAID, 1, lift_prefix },
    { EVENT_ORDER_SHIPPED, 1, lift_reason },
};

static void old_payload__is_lifted_step_by_step(void **state)
{
    struct event e = { .type = EVENT_ORDER_SHIPPED, .version = 1, .p.reason = STR("77") };

    (void)state;
    assert_int_equal(event_lift(&e, 3, steps, ARRAY_LEN(steps), &arena), ERR_OK);
    assert_int_equal(e.version, 3);
    assert_true(str_eq(e.p.tracking_number, STR("TRK-77")));
    assert_int_equal(e.p.reason.n, 0);
    assert_int_equal(event_lift(&e, 3, steps, ARRAY_LEN(steps), &arena), ERR_OK);
    assert_true(str_eq(e.p.tracking_number, STR("TRK-77"))); /* already there */
}

static void old_payload__without_a_step_or_from_the_future_is_damage(void **state)
{
    struct event e = { .type = EVENT_ORDER_SHIPPED, .version = 3 };

    (void)state;
    assert_int_equal(event_lift(&e, 4, steps, ARRAY_LEN(steps), &arena), ERR_DAMAGED);
    e.version = 5;
    assert_int_equal(event_lift(&e, 4, steps, ARRAY_LEN(steps), &arena), ERR_DAMAGED);
}

/* ---- golden rows ------------------------------------------------------------------------------ */

static void golden_path(char *path, size_t size)
{
    struct str here = str_of(__FILE__);
    size_t n = here.n;

    for (unsigned up = 0; up < 3; up++) { /* tests/unit/app/this file */
        while (n > 0 && here.p[n - 1] != '/')
            n--;
        n -= n > 0;
    }
    snprintf(path, size, "%.*s/golden/events.txt", (int)n, here.p);
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void check_golden(struct str name, struct str hex, uint64_t *seen)
{
    enum event_type type;
    struct event expected, out;
    struct buf bytes = { 0 };

    if (!event_type_parse(name, &type))
        fail_msg("golden row of an unknown type '%.*s'", STR_ARG(name));
    assert_int_equal(hex.n % 2, 0);
    for (size_t i = 0; i < hex.n; i += 2) {
        char byte = (char)(hex_digit(hex.p[i]) << 4 | hex_digit(hex.p[i + 1]));

        buf_add(&bytes, &byte, 1);
    }
    an_event(type, &expected);
    assert_int_equal(event_decode(buf_str(&bytes), expected.position, &out, &arena), ERR_OK);
    expected.version = event_infos[type].version;
    assert_same_event(&expected, &out);
    buf_deinit(&bytes);
    *seen |= UINT64_C(1) << type;
}

/* tests/golden/events.txt: a type and a row a line. Lines are added, never changed: such rows lie in
 * somebody's log. With ORDERLY_GOLDEN=write the rows of types without a line are printed. */
static void golden_rows__can_be_read_for_ever(void **state)
{
    char path[4096], line[8192];
    uint64_t seen = 0;
    bool is_writing = getenv("ORDERLY_GOLDEN") != NULL;
    FILE *file;

    (void)state;
    golden_path(path, sizeof(path));
    file = fopen(path, "r");
    if (!file && !is_writing)
        fail_msg("no %s", path);
    while (file && fgets(line, sizeof(line), file)) {
        struct str text = str_of(line);
        const char *blank = memchr(line, ' ', text.n);

        if (line[0] == '#' || line[0] == '\n')
            continue;
        assert_non_null(blank);
        text.n -= text.p[text.n - 1] == '\n';
        check_golden((struct str){ line, (size_t)(blank - line) },
                     (struct str){ blank + 1, (size_t)(text.p + text.n - blank - 1) }, &seen);
    }
    if (file)
        fclose(file);
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e;
        struct str s;

        if (seen & (UINT64_C(1) << t))
            continue;
        if (!is_writing)
            fail_msg("no golden row of %s", event_infos[t].type.p);
        an_event((enum event_type)t, &e);
        s = encoded(&e);
        printf("GOLDEN %s ", event_infos[t].type.p);
        for (size_t i = 0; i < s.n; i++)
            printf("%02x", (unsigned char)s.p[i]);
        printf("\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(event__of_every_type_comes_back_as_it_was, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(event__without_any_field_comes_back_empty, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(event__from_outside_keeps_its_text_and_metadata, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(event__that_follows_from_an_outside_message_keeps_its_name,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(event__holds_negative_and_extreme_numbers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(text__of_a_decoded_event_is_a_view_of_the_row, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(row__of_a_typical_event_is_compact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row__that_is_cut_or_too_long_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(envelope__of_an_unknown_kind_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            field__that_is_unknown_twice_there_or_of_another_event_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(count__beyond_the_row_takes_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row__of_any_bytes_is_read_within_its_bounds, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(old_payload__is_lifted_step_by_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_payload__without_a_step_or_from_the_future_is_damage,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(golden_rows__can_be_read_for_ever, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

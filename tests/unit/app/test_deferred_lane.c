/* The row of a deferred lane: what is written comes back, and nothing else is taken for one. */
#include "orderly/app/deferred_lane.h"
#include "orderly/app/lanes.h"
#include "orderly/base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Where the row holds what a test breaks. */
#define AT_VERSION 0
#define AT_HEAD 1
#define AT_FLAGS 13

struct row {
    char key[DEFERRED_LANE_KEY_LEN];
    struct buf value;
};

static struct deferred_lane a_lane(void)
{
    struct deferred_lane d = {
        .subscription = SUBSCRIPTION_PAYMENTS,
        .head_position = 77,
        .attempts = 3,
        .is_parked = true,
        .payload_position = 78,
        .first_failed_at_ms = 1000,
        .last_failed_at_ms = 2000,
        .due_wall_ms = 3000,
        .error_code = STR("handler_failed"),
        .error_detail = STR("It is set to fail."),
    };

    memset(d.lane.u.b, 'l', sizeof(d.lane.u.b));
    memset(d.dead_letter_id.u.b, 'd', sizeof(d.dead_letter_id.u.b));
    return d;
}

static void row_init(struct row *r, const struct deferred_lane *d)
{
    *r = (struct row){ .value = { 0 } };
    deferred_lane_key(d->subscription, d->lane, r->key);
    deferred_lane_encode(d, &r->value);
}

static enum err row_decode(const struct row *r, size_t n_key, size_t n, struct deferred_lane *out)
{
    return deferred_lane_decode((struct str){ r->key, n_key }, (struct str){ r->value.p, n }, out);
}

static void a_row__comes_back_as_it_was_written(void **state)
{
    const struct deferred_lane kinds[] = { a_lane(), a_lane(), a_lane() };
    struct deferred_lane lanes[ARRAY_LEN(kinds)], d;

    (void)state;
    memcpy(lanes, kinds, sizeof(kinds));
    lanes[1].is_parked = false;
    lanes[2].is_alone = true;
    lanes[2].error_detail = STR("");
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
        struct row r;

        row_init(&r, &lanes[i]);
        assert_int_equal(row_decode(&r, sizeof(r.key), r.value.n, &d), ERR_OK);
        assert_int_equal(d.subscription, lanes[i].subscription);
        assert_memory_equal(d.lane.u.b, lanes[i].lane.u.b, 16);
        assert_memory_equal(d.dead_letter_id.u.b, lanes[i].dead_letter_id.u.b, 16);
        assert_int_equal(d.head_position, 77);
        assert_int_equal(d.attempts, 3);
        assert_int_equal(d.is_parked, lanes[i].is_parked);
        assert_int_equal(d.is_alone, lanes[i].is_alone);
        assert_int_equal(d.payload_position, 78);
        assert_int_equal(d.first_failed_at_ms, 1000);
        assert_int_equal(d.last_failed_at_ms, 2000);
        assert_int_equal(d.due_wall_ms, 3000);
        assert_true(str_eq(d.error_code, lanes[i].error_code));
        assert_true(str_eq(d.error_detail, lanes[i].error_detail));
        buf_deinit(&r.value);
    }
}

static void a_row__that_is_cut_anywhere_is_damaged(void **state)
{
    struct deferred_lane lane = a_lane(), d;
    struct row r;

    (void)state;
    row_init(&r, &lane);
    for (size_t n = 0; n < r.value.n; n++)
        assert_int_equal(row_decode(&r, sizeof(r.key), n, &d), ERR_DAMAGED);
    buf_add(&r.value, "x", 1);
    assert_int_equal(row_decode(&r, sizeof(r.key), r.value.n, &d), ERR_DAMAGED);
    buf_deinit(&r.value);
}

static void a_row__of_another_form_is_damaged(void **state)
{
    static const struct {
        size_t at;
        char value;
    } wrong[] = { { AT_VERSION, 99 }, { AT_FLAGS, 4 }, { AT_FLAGS, (char)0x80 } };
    struct deferred_lane lane = a_lane(), d;
    struct row r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        row_init(&r, &lane);
        r.value.p[wrong[i].at] = wrong[i].value;
        assert_int_equal(row_decode(&r, sizeof(r.key), r.value.n, &d), ERR_DAMAGED);
        buf_deinit(&r.value);
    }
    row_init(&r, &lane);
    memset(r.value.p + AT_HEAD, 0, 8); /* no position is 0 */
    assert_int_equal(row_decode(&r, sizeof(r.key), r.value.n, &d), ERR_DAMAGED);
    buf_deinit(&r.value);
}

static void a_row__under_another_key_is_damaged(void **state)
{
    static const char nobody[] = { SUBSCRIPTION_NONE, SUBSCRIPTION_COUNT, (char)0xFF };
    struct deferred_lane lane = a_lane(), d;
    struct row r;

    (void)state;
    row_init(&r, &lane);
    assert_int_equal(row_decode(&r, sizeof(r.key) - 1, r.value.n, &d), ERR_DAMAGED);
    assert_int_equal(row_decode(&r, 0, r.value.n, &d), ERR_DAMAGED);
    for (size_t i = 0; i < sizeof(nobody); i++) {
        r.key[0] = nobody[i];
        assert_int_equal(row_decode(&r, sizeof(r.key), r.value.n, &d), ERR_DAMAGED);
    }
    buf_deinit(&r.value);
}

/* ---- what a lane and a correlation are named after ---------------------------------- */

static void a_lane__of_a_text_is_its_own_and_of_an_id_is_the_id(void **state)
{
    struct lane_id a = lane_of_correlation(STR("their-order-1"));
    struct lane_id b = lane_of_correlation(STR("their-order-2"));
    struct lane_id id = lane_of_correlation(STR("01a1fa7f-0baa-7806-9d6b-47ddf7f4440c"));
    char text[UUID_TEXT_LEN];

    (void)state;
    assert_memory_not_equal(a.u.b, b.u.b, 16);
    uuid_format(id.u, text);
    assert_memory_equal(text, "01a1fa7f-0baa-7806-9d6b-47ddf7f4440c", sizeof(text));
}

static void a_correlation__is_cut_where_it_is_longer_than_an_id_may_be(void **state)
{
    char text[2 * sizeof(((struct text_id *)0)->s)];
    struct event e = { .stream = { .type = AGGREGATE_ORDER } };
    struct text_id id;

    (void)state;
    memset(text, 'x', sizeof(text));
    e.p.foreign_order_id = (struct str){ text, sizeof(text) };
    id = correlation_of_event(&e);
    assert_int_equal(id.n, sizeof(id.s));
    assert_memory_equal(id.s, text, id.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row__comes_back_as_it_was_written),
        cmocka_unit_test(a_row__that_is_cut_anywhere_is_damaged),
        cmocka_unit_test(a_row__of_another_form_is_damaged),
        cmocka_unit_test(a_row__under_another_key_is_damaged),
        cmocka_unit_test(a_lane__of_a_text_is_its_own_and_of_an_id_is_the_id),
        cmocka_unit_test(a_correlation__is_cut_where_it_is_longer_than_an_id_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

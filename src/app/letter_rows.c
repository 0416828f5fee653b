/* What the bus writes about failures, into an append that is open: dead letters with their events,
 * and the rows of deferred lanes. */
#include "bus_private.h"
#include "orderly/app/dead_letters.h"
#include "orderly/base/bytes.h"

/* ---- dead letters ---------------------------------------------------------------------------- */

void letter_put_counts(struct append *a, const struct subscription *s)
{
    char key[sizeof(BUS_META_LETTERS)] = BUS_META_LETTERS, value[16];

    key[sizeof(key) - 1] = (char)s->config.id;
    bytes_put_u64(value, s->sequence);
    bytes_put_u64(value + 8, s->n_letters);
    append_put(a, DB_META, (struct str){ key, sizeof(key) }, (struct str){ value, sizeof(value) });
}

void letter_put(struct append *a, const struct dead_letter *letter)
{
    struct buf row = { 0 };

    dead_letter_encode(letter, &row);
    append_put(a, DB_DEAD_LETTERS, uuid_bytes(&letter->id.u), buf_str(&row));
    buf_deinit(&row);
}

void letter_append_event(struct append *a, const struct subscription *s, struct event *e)
{
    e->stream = (struct stream_id){ .type = AGGREGATE_SUBSCRIPTION };
    e->stream.id.n = (uint8_t)strlen(s->config.name);
    REQUIRE(e->stream.id.n <= TEXT_ID_MAX);
    memcpy(e->stream.id.s, s->config.name, e->stream.id.n);
    e->sequence = s->sequence;
    e->p.subscription = str_of(s->config.name);
    append_event(a, e);
}

void letter_append_new(struct append *a, const struct subscription *s,
                       const struct dead_letter *letter, const struct payload *of)
{
    struct event e = {
        .type = EVENT_DEAD_LETTERED,
        .lane = letter->lane,
        .cause = letter->message_id,
        .handled_by = letter->subscription,
        .p = {
            .order_id = of->order_id,
            .foreign_order_id = of->foreign_order_id,
            .error_code = letter->error_code,
            .error_detail = letter->error_detail,
            .dead_letter_id = letter->id,
            .message_position = letter->position,
            .attempts = letter->attempts,
        },
    };
    char by_lane[32];

    letter_append_event(a, s, &e);
    letter_put(a, letter);
    memcpy(by_lane, letter->lane.u.b, 16);
    memcpy(by_lane + 16, letter->id.u.b, 16);
    append_put(a, DB_DEAD_LETTERS_BY_LANE, (struct str){ by_lane, sizeof(by_lane) }, STR_NONE);
    letter_put_counts(a, s);
}

void letter_append(struct append *a, const struct deferral *d)
{
    const struct subscription *s = d->lane->subscription;
    const struct event *failed = &lane_head(d->lane)->message->event;
    struct dead_letter letter = {
        .id = d->dead_letter_id,
        .subscription = s->config.id,
        .state = d->verdict == FAILED_PARK ? DEAD_LETTER_PARKED : DEAD_LETTER_OPEN,
        .is_parking = d->verdict == FAILED_PARK,
        .lane = failed->lane,
        .message_id = failed->id,
        .type = failed->type,
        .position = d->head_position,
        .payload_position = d->payload_position,
        .attempts = d->attempts,
        .first_failed_at_ms = d->first_failed_at_ms,
        .last_failed_at_ms = d->last_failed_at_ms,
        .error_code = d->error_code,
        .error_detail = d->error_detail,
    };

    letter_append_new(a, s, &letter, &failed->p);
}

/* ---- deferred lanes -------------------------------------------------------------------------- */

void lane_put_row(struct append *a, const struct deferred_lane *lane)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct buf row = { 0 };

    deferred_lane_key(lane->subscription, lane->lane, key);
    deferred_lane_encode(lane, &row);
    append_put(a, DB_LANES, (struct str){ key, sizeof(key) }, buf_str(&row));
    buf_deinit(&row);
}

void deferral_put_row(struct append *a, const struct deferral *d)
{
    struct deferred_lane lane = {
        .subscription = d->lane->subscription->config.id,
        .lane = d->lane->id,
        .head_position = d->head_position,
        .attempts = d->attempts,
        .is_parked = d->verdict == FAILED_PARK,
        .is_alone = d->is_alone,
        .payload_position = d->payload_position,
        .first_failed_at_ms = d->first_failed_at_ms,
        .last_failed_at_ms = d->last_failed_at_ms,
        .due_wall_ms = d->due_wall_ms,
        .error_code = d->error_code,
        .error_detail = d->error_detail,
    };

    if (lane.is_parked)
        lane.dead_letter_id = d->dead_letter_id;
    lane_put_row(a, &lane);
}

void deferral_put_passed(struct append *a, const struct deferral *d, uint64_t position)
{
    struct deferred_lane lane = {
        .subscription = d->lane->subscription->config.id,
        .lane = d->lane->id,
        .head_position = position + 1,
    };
    char key[DEFERRED_LANE_KEY_LEN];

    REQUIRE(d->is_stored);
    if (!d->is_alone) {
        lane_put_row(a, &lane);
        return;
    }
    deferred_lane_key(lane.subscription, lane.lane, key);
    append_delete(a, DB_LANES, (struct str){ key, sizeof(key) });
}

void delivery_put_handled(const struct delivery *d, struct append *a)
{
    if (lane_is_deferred(d->lane))
        deferral_put_passed(a, d->lane->deferral, d->message->event.position);
    else
        bus_put_clear(d->subscription, d->lane->id, a);
}

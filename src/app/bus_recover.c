#include "bus_private.h"

static void lane_recover(struct subscription *s, const struct deferred_lane *row, int64_t now_ms)
{
    struct lane *l = lane_create(s, row->lane);
    struct deferral *d = deferral_create(l);
    bool is_head_known;

    REQUIRE(row->subscription == s->config.id);
    d->is_stored = true;
    d->is_alone = row->is_alone;
    d->verdict = row->is_parked ? FAILED_PARK : FAILED_RETRY;
    d->head_position = row->head_position;
    d->attempts = row->attempts;
    d->first_failed_at_ms = row->first_failed_at_ms;
    d->last_failed_at_ms = row->last_failed_at_ms;
    d->due_wall_ms = row->due_wall_ms;
    d->dead_letter_id = row->dead_letter_id;
    d->payload_position = row->payload_position;
    deferral_set_error(d, row->error_code, row->error_detail);
    d->read_position = row->head_position - 1;
    /* Which of the messages up to the cursor are the lane's is not known without reading. Where the
     * row's head was done with there may be none there yet, nor anything behind it. */
    is_head_known = row->is_parked || row->attempts > 0 || row->is_alone;
    d->seen_position = is_head_known ? row->head_position : d->read_position;
    if (!row->is_alone && s->taken_position > d->seen_position)
        d->seen_position = s->taken_position;
    l->n_known = is_head_known;
    s->n_deferred++;
    if (row->is_parked) {
        l->phase = LANE_PHASE_PARKED;
        s->n_parked++;
    } else {
        int64_t delay_ms = row->due_wall_ms - now_ms;

        /* The wall clock may have been set since the row was written. */
        if (delay_ms < 0)
            delay_ms = 0;
        if (delay_ms > s->config.retry_max_ms)
            delay_ms = s->config.retry_max_ms;
        deferral_wait(d, delay_ms);
    }
}

void bus_recover_subscription(struct subscription *s, uint64_t cursor,
                              const struct deferred_lane *lanes, size_t n_lanes)
{
    struct bus *b = s->bus;
    int64_t now_ms = scheduler_wall_ms(b->scheduler);

    REQUIRE(b != NULL);
    REQUIRE(b->log->durable_position >= b->published_position);
    REQUIRE(cursor <= b->log->durable_position);
    REQUIRE(s->n_in_work == 0);
    REQUIRE(s->lanes.len == 0);
    b->published_position = b->log->durable_position;
    s->recovered_position = b->published_position;
    s->taken_position = s->stored_cursor = cursor;
    s->is_live = false;
    for (size_t i = 0; i < n_lanes; i++)
        lane_recover(s, &lanes[i], now_ms);
    bus_wake(b);
}

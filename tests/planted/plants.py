"""The faults that are planted: each a change of one source file of the server, and who has to find it.

A change is a text that stands in the file exactly once, and what stands there instead. The server's
sources know nothing of this; where they change so that a text is not found, the test says so, and the
plant is written anew.

`finds` names the invariants of `orderly sim --help` that may find it: mostly one, more where the seed
decides which consequence shows first. A failed check of the server itself does not count.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    name: str
    file: str
    changes: tuple
    finds: tuple


PLANTS = [
    Plant(
        # Every append is called durable as soon as it was handed over; the store gets a copy of it.
        "answer_before_fsync",
        "src/app/event_log.c",
        (
            (
                """        struct append *a = container_of(w, struct append, write);

        /* At once,""",
                """        struct append *a = NULL;

        mem_free(w);
        continue;
        /* At once,""",
            ),
            (
                """    err = store_write_start(log->store, &a->write);
    ENSURE(err == ERR_OK); /*""",
                """    {
        size_t rows_n = a->write.n_rows * sizeof(struct store_row);
        char *copy = mem_alloc(sizeof(a->write) + rows_n + a->write.n_bytes);
        struct store_write *late = (void *)copy;
        struct store_row *rows = (void *)(copy + sizeof(*late));
        char *at = copy + sizeof(*late) + rows_n;

        *late = a->write;
        late->rows = rows;
        for (unsigned i = 0; i < a->write.n_rows; i++) {
            rows[i] = a->rows[i];
            if (rows[i].key.n)
                memcpy(at, rows[i].key.p, rows[i].key.n);
            rows[i].key.p = at;
            at += rows[i].key.n;
            if (rows[i].value.n)
                memcpy(at, rows[i].value.p, rows[i].value.n);
            rows[i].value.p = at;
            at += rows[i].value.n;
        }
        err = store_write_start(log->store, late);
        a->write.status = ERR_OK;
        log->n_written++;
        list_push_back(&log->written, &a->link);
        scheduler_wake(log->scheduler);
    }
    ENSURE(err == ERR_OK); /*""",
            ),
        ),
        ("ACKNOWLEDGED",),
    ),
    Plant(
        # The cursor forgets what is still in somebody's hands.
        "cursor_early",
        "src/app/bus.c",
        (
            (
                "    if (list_is_empty(&s->in_work))\n        return s->taken_position;",
                "    if (s)\n        return s->taken_position;",
            ),
        ),
        ("CURSOR",),
    ),
    Plant(
        # Keys are stored, and nobody looks them up.
        "dedupe_off",
        "src/app/command.c",
        (("    if (!idempotency_may_hold(i, &c->key)) {", "    if (i) {"),),
        ("ONCE",),
    ),
    Plant(
        # Each message goes its own way, beside those of the same order.
        "lane_not_held",
        "src/app/bus.c",
        (
            (
                "    struct lane *l = lane_find(s, m->event.lane);\n"
                "    uint64_t position = m->event.position;",
                "    struct lane_id own = { m->event.id.u };\n"
                "    struct lane *l = lane_find(s, own);\n"
                "    uint64_t position = m->event.position;",
            ),
            ("        l = lane_create(s, m->event.lane);", "        l = lane_create(s, own);"),
        ),
        ("LANE_ORDER", "CURSOR"),
    ),
    Plant(
        # Behind the dead letter the order's next message is handed over.
        "parked_order_overtaken",
        "src/app/lane_deferral.c",
        (
            (
                """        lane_forget_messages(l);
        l->phase = LANE_PHASE_PARKED;
        s->n_parked++;
        break;""",
                """        delivery_forget(lane_head(l));
        d->attempts = 0;
        l->n_known -= l->n_known > 0;
        lane_go_on(l);
        break;""",
            ),
        ),
        ("LANE_ORDER", "CURSOR"),
    ),
    Plant(
        # An hour too soon, a key is as good as new.
        "key_expired_early",
        "src/app/command.c",
        (
            (
                "s.expires_ms <= scheduler_wall_ms(c->app->scheduler)",
                "s.expires_ms - 3600000 <= scheduler_wall_ms(c->app->scheduler)",
            ),
        ),
        ("ONCE",),
    ),
    Plant(
        # A reservation that the full disk did not take stays counted in memory.
        "decided_stock_not_given_back",
        "src/app/handling.c",
        (("            stock_change_revoke(&h->stock[i]);", "            (void)h->stock[i];"),),
        ("STOCK",),
    ),
    Plant(
        # A cancelled order keeps what it was paid.
        "refund_lost",
        "src/domain/order_decide.c",
        (("    p->refund.set = true;", "    p->refund.set = false;"),),
        ("REFUNDED",),
    ),
    Plant(
        # A start does not look when the next payment is due.
        "timer_lost_on_restart",
        "src/app/startup.c",
        (
            (
                "        deadlines_note(app, s->next_deadline_ms);",
                "        s->next_deadline_ms = INT64_MAX;",
            ),
        ),
        ("TIMER",),
    ),
    Plant(
        # Orders decides on the version that it has read, without waiting for who is writing.
        "version_not_checked",
        "src/app/contexts/orders.c",
        (
            (
                "    handling_take_turn(h, &h->dossier->turn, orders_decide);",
                "    orders_decide(h);",
            ),
        ),
        ("STREAM",),
    ),
    Plant(
        # A payment that is said again is taken for a second one.
        "duplicate_applied",
        "src/domain/order_decide_messages.c",
        (
            (
                "    if (order_find_effect(o, EFFECT_PAYMENT, text_id_str(&id->t)))\n",
                "    if (o == NULL)\n",
            ),
        ),
        ("REFUNDED",),
    ),
    Plant(
        # The list of orders by status stands still.
        "read_model_skipped",
        "src/app/order_rows.c",
        (("    move_status(a, before, after);\n", ""),),
        ("READ_MODEL",),
    ),
    Plant(
        # The row holds the order as it was before the event.
        "snapshot_older_than_its_event",
        "src/app/order_rows.c",
        (("    put_snapshot(a, after);", "    put_snapshot(a, before ? before : after);"),),
        ("READ_MODEL",),
    ),
    Plant(
        # What came about by a retry is taken for a failure of the store, and done again.
        "event_appended_twice_on_retry",
        "src/app/handling.c",
        (
            (
                "    if (!ok) {\n        handling_unavailable(h);",
                "    if (!ok || h->delivery->attempt > 1) {\n        handling_unavailable(h);",
            ),
        ),
        ("STREAM", "READ_MODEL"),
    ),
    Plant(
        # A start forgets that an order is parked.
        "letter_lost_on_crash",
        "src/app/startup.c",
        (
            (
                "    if (err != ERR_OK)\n        return err;\n    id = lane.subscription;",
                "    if (err != ERR_OK || lane.is_parked)\n        return err;\n"
                "    id = lane.subscription;",
            ),
        ),
        ("LANE_ORDER", "CURSOR", "ANSWER"),
    ),
    Plant(
        # With the key, another answer is kept than the one that was given.
        "stored_answer_of_another_request",
        "src/app/command.c",
        (
            (
                "&c->request, &c->answer,",
                "&c->request, &(const struct answer){ .status = c->answer.status },",
            ),
        ),
        ("ONCE",),
    ),
    Plant(
        # Payments does not look whether it has charged the order before.
        "charged_twice",
        "src/app/contexts/payments.c",
        (
            (
                "    struct part *own = dossier_own_part(h->dossier, AGGREGATE_PAYMENT);",
                "    struct part *own = NULL;",
            ),
        ),
        ("CHARGED_ONCE",),
    ),
    Plant(
        # The row of a lane always says that its head failed once.
        "attempts_not_counted",
        "src/app/letter_rows.c",
        (
            (
                "        .head_position = d->head_position,\n        .attempts = d->attempts,",
                "        .head_position = d->head_position,\n        .attempts = 1,",
            ),
        ),
        ("DEAD_LETTER",),
    ),
    Plant(
        # What is published to a lane that waits is not noted, so nobody reads it.
        "message_forgotten_behind_a_retry",
        "src/app/bus.c",
        (
            (
                "            l->deferral->seen_position = position;\n",
                "",
            ),
        ),
        ("LANE_ORDER", "CURSOR"),
    ),
    Plant(
        # A start does not set the clock for lanes that wait for their next attempt.
        "retry_lost_on_restart",
        "src/app/bus_recover.c",
        (
            (
                "        deferral_wait(d, delay_ms);",
                "        l->phase = LANE_PHASE_WAITING;",
            ),
        ),
        ("SETTLED",),
    ),
    Plant(
        # The answer names the version before the one that it shows.
        "answer_of_another_version",
        "src/infra/api/commands.c",
        (
            (
                "etag_of(a, r->order->sequence)",
                "etag_of(a, r->order->sequence - (r->order->sequence > 1))",
            ),
        ),
        ("ANSWER",),
    ),
    Plant(
        # An order that has ended is not found any more.
        "order_not_found_once_ended",
        "src/app/order_read.c",
        (
            (
                "    r->done(r, d->order, ERR_OK); /*",
                "    r->done(r, d->order && order_is_final(d->order) ? NULL : d->order, ERR_OK); /*",
            ),
        ),
        ("ACKNOWLEDGED",),
    ),
    Plant(
        # A start goes by the settings that a server has at first.
        "settings_lost_on_restart",
        "src/app/startup.c",
        (
            (
                "            return settings_decode(value, (enum simulator)i, &s->simulators);",
                "            return (void)value, ERR_OK;",
            ),
        ),
        ("ANSWER", "HEARD"),
    ),
    Plant(
        # What can't be reserved is sometimes passed over, and the order waits for ever.
        "rejection_passed_over",
        "src/domain/order_decide_messages.c",
        (
            (
                "    return row ? order_end(o, row, reason, out) : ORDER_OUTCOME_IGNORED;",
                "    return row && reason.n < 12 ? order_end(o, row, reason, out)\n"
                "                                : ORDER_OUTCOME_IGNORED;",
            ),
        ),
        ("HEARD",),
    ),
    Plant(
        # Shipments says that it has handled what it has not.
        "shipment_not_made",
        "src/app/contexts/shipments.c",
        (
            (
                "    if (dossier_own_part(h->dossier, AGGREGATE_SHIPMENT)) {",
                "    if (h->event->position % 7 == 0 ||\n"
                "        dossier_own_part(h->dossier, AGGREGATE_SHIPMENT)) {",
            ),
        ),
        ("HEARD",),
    ),
    Plant(
        # Orders is deaf to the carrier's last word.
        "delivery_not_heard",
        "src/domain/flow_stock_first.c",
        (
            (
                "    { EVENT_SHIPMENT_DELIVERED, CONTEXT_ORDERS, { EVENT_ORDER_DELIVERED } },\n",
                "",
            ),
        ),
        ("CURSOR", "SETTLED"),
    ),
    Plant(
        # Nobody takes old keys away.
        "keys_never_swept",
        "src/app/key_sweep.c",
        (
            (
                "    if (!app->is_draining)\n        timer_start",
                "    if (!app)\n        timer_start",
            ),
        ),
        ("ONCE",),
    ),
    Plant(
        # From some time on nobody can order any more.
        "door_stays_closed",
        "src/app/place_order.c",
        (
            (
                "    if (why == REFUSED_COUNT)\n        return false;",
                "    if (why == REFUSED_COUNT && c->app->log.last_position < 700)\n"
                "        return false;",
            ),
        ),
        ("SETTLED",),
    ),
    Plant(
        # What a slow reader's connection refused is taken for sent.
        "streamed_past_a_full_queue",
        "src/app/feed.c",
        (
            (
                "    if (fd->batch.n && f->ops->send(f, buf_str(&fd->batch)) != ERR_OK) {\n",
                "    if (fd->batch.n && f->ops->send(f, buf_str(&fd->batch)) != ERR_OK) {\n"
                "        f->position = position;\n",
            ),
        ),
        ("STREAMED",),
    ),
    Plant(
        # Who waits for a state is told of every second change only.
        "wait_not_woken",
        "src/app/order_watch.c",
        (
            (
                "        if (order_watch_is_met(w, d->order)) {",
                "        if (order_watch_is_met(w, d->order) && d->order->sequence % 2) {",
            ),
        ),
        ("STREAMED",),
    ),
    Plant(
        # The broker may forget what is only on its way to the disk.
        "received_before_it_is_durable",
        "src/infra/inbound/inlet.c",
        (
            (
                "    item->u.receive.command = command;\n",
                "    item->u.receive.command = command;\n"
                "    if (item->handle)\n"
                "        item->inlet->config.done(item->inlet->config.ctx, item->handle, true);\n"
                "    item->handle = 0;\n",
            ),
            (
                "    b->config.done(b->config.ctx, handle, is_durable); /*",
                "    if (handle)\n        b->config.done(b->config.ctx, handle, is_durable); /*",
            ),
        ),
        ("RECEIVED",),
    ),
    Plant(
        # What is refused for now is dropped, as if it were durable.
        "received_and_dropped",
        "src/infra/inbound/inlet.c",
        (("        item_hold(item);\n", "        item_durable(item);\n"),),
        ("RECEIVED",),
    ),
    Plant(
        # A charge, which comes by a broker only, is not known again.
        "received_twice",
        "src/app/receive_message.c",
        (
            (
                "    c->request = m->content;\n",
                "    if (m->message_id.p[0] == 'c')\n"
                "        c->key.b[0] ^= (uint8_t)scheduler_wall_ms(c->app->scheduler);\n"
                "    c->request = m->content;\n",
            ),
        ),
        ("ONCE",),
    ),
    Plant(
        # A message that failed once is called passed on when it is tried again.
        "relay_gives_up",
        "src/app/relays.c",
        (
            (
                "    r->handle(r, d);",
                "    if (d->attempt > 1)\n        delivery_done(d);\n    else\n        r->handle(r, d);",
            ),
        ),
        ("RELAYED",),
    ),
    Plant(
        # What was said from outside goes out again.
        "relay_echo",
        "src/app/relays.c",
        (("->topics[e->type] && e->message_id.n == 0;", "->topics[e->type];"),),
        ("LANE_ORDER",),
    ),
]

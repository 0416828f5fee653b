/* ANSWER, of what is granted: an order's answer is a function of its ETag, says the status that its
 * events say, and is never older than what was read before it was asked for. In a product's answer what
 * is reserved and what is available make what is on hand. A dead letter that was retried or discarded
 * is. */
#include "orderly/base/check.h"
#include "witness_private.h"
#include <stdio.h>

bool text_of(struct str body, const char *name, struct str *out)
{
    char quoted[48];
    int n = snprintf(quoted, sizeof(quoted), "\"%s\":\"", name);
    const char *at = body.n ? memmem(body.p, body.n, quoted, (size_t)n) : NULL;
    const char *end;

    if (!at)
        return false;
    at += n;
    end = memchr(at, '"', (size_t)(body.p + body.n - at));
    *out = (struct str){ at, end ? (size_t)(end - at) : 0 };
    return end != NULL;
}

static bool number_of(struct str body, const char *name, int64_t *out)
{
    char quoted[48];
    int n = snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = body.n ? memmem(body.p, body.n, quoted, (size_t)n) : NULL;
    const char *end = body.p + body.n;
    uint64_t value;
    size_t len = 0;

    if (!at)
        return false;
    at += n;
    while (at + len < end && at[len] >= '0' && at[len] <= '9')
        len++;
    if (!str_to_u64((struct str){ at, len }, &value) || value > INT64_MAX)
        return false;
    *out = (int64_t)value;
    return true;
}

/* ---- orders ------------------------------------------------------------------------------------ */

static bool shows_order(enum sim_command c)
{
    switch (c) {
    case SIM_PLACE:
    case SIM_CHECKOUT:
    case SIM_CANCEL:
    case SIM_APPROVE:
    case SIM_MARK_PAID:
    case SIM_READY:
    case SIM_COMPLETE:
    case SIM_READ:
    case SIM_WAIT:
        return true;
    default:
        return false;
    }
}

/* The same ETag, the same bytes. */
static void same_as_before(struct witness *w, const struct sim_answer *a, struct seen_lane *l)
{
    struct digest16 body;

    digest16_of(&body, &a->body, 1);
    if (l->shown_sequence == a->sequence && memcmp(&body, &l->shown, sizeof(body)) != 0)
        witness_violate(w, SIM_ANSWER, l, "is shown in two ways, both of sequence %llu",
                        (unsigned long long)a->sequence);
    if (l->shown_sequence <= a->sequence) {
        l->shown_sequence = a->sequence;
        l->shown = body;
    }
}

static void no_older(struct witness *w, const struct sim_answer *a, struct seen_lane *l)
{
    if (!a->is_replayed && a->asked_us > l->read_us && a->sequence < l->read_sequence)
        witness_violate(w, SIM_ANSWER, l,
                        "sequence %llu was read, and then asked for again it was %llu",
                        (unsigned long long)l->read_sequence, (unsigned long long)a->sequence);
    if (a->sequence > l->read_sequence) {
        l->read_sequence = a->sequence;
        l->read_us = w->mono_us;
    }
}

/* What an order has once it has been there. */
static const struct {
    uint32_t been; /* bits: in one of these */
    const char *name;
    bool may_be; /* there before */
} members[] = {
    { 1u << ORDER_PAID, "paymentId", true },
    { 1u << ORDER_STOCK_RESERVED | 1u << ORDER_CONFIRMED, "reservationId", false },
    { 1u << ORDER_SHIPPED, "shipmentId", false },
    { 1u << ORDER_COMPLETED, "invoiceId", false },
    { 1u << ORDER_CANCELLED, "cancellationReason", false },
    { 1u << ORDER_REJECTED, "rejectionReason", false },
    { 1u << ORDER_PAYMENT_FAILED, "paymentFailureReason", false },
};

/* The first member of this name is a text, not null. */
static bool has_text(struct str body, const char *name)
{
    char quoted[48];
    int n = snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = memmem(body.p, body.n, quoted, (size_t)n);

    return at && at + n < body.p + body.n && at[n] == '"';
}

static void is_complete(struct witness *w, const struct sim_answer *a, const struct seen_lane *l)
{
    uint32_t been = 0;

    for (uint64_t n = 0; n < a->sequence; n++)
        been |= 1u << l->statuses[n];
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (((been & members[i].been) != 0) != has_text(a->body, members[i].name) &&
            !(members[i].may_be && !(been & members[i].been)))
            witness_violate(w, SIM_ANSWER, l, "its %s is not what sequence %llu makes of it",
                            members[i].name, (unsigned long long)a->sequence);
}

/* l->sequence >= a->sequence, that was judged before. */
static void order_shown(struct witness *w, const struct sim_answer *a, struct seen_lane *l)
{
    enum order_status status;
    struct str text;
    int64_t sequence = 0;

    (void)number_of(a->body, "sequence", &sequence);
    if ((uint64_t)sequence != a->sequence) {
        witness_violate(w, SIM_ANSWER, l, "its ETag is %llu, and its body says %lld",
                        (unsigned long long)a->sequence, (long long)sequence);
        return;
    }
    if (a->sequence == 0)
        return;
    if (!text_of(a->body, "status", &text) || !order_status_parse(text, &status) ||
        l->statuses[a->sequence - 1] != status) {
        witness_violate(w, SIM_ANSWER, l, "is not what sequence %llu makes of it",
                        (unsigned long long)a->sequence);
        return;
    }
    /* The command holds already, or makes one event of that version. */
    if (a->if_match > 0 && (a->sequence < a->if_match || a->sequence > a->if_match + 1)) {
        witness_violate(w, SIM_ANSWER, l, "was to be of version %llu, and came to be %llu",
                        (unsigned long long)a->if_match, (unsigned long long)a->sequence);
        return;
    }
    if (a->sequence != l->shown_sequence)
        is_complete(w, a, l);
    same_as_before(w, a, l);
    no_older(w, a, l);
}

/* ---- settings ---------------------------------------------------------------------------------- */

/* So long, awake, after a change has become durable it is what is shown. */
#define SETTLED_US (INT64_C(5) * 1000 * 1000)

static void settings_shown(struct witness *w, const struct sim_answer *a)
{
    const struct simulators *s = &w->settings;
    const bool on[] = { s->payments.enabled, s->inventory.enabled, s->shipments.enabled };
    const unsigned fails[] = { s->payments.fail_first, s->inventory.fail_first,
                               s->shipments.fail_first };
    static const char *const payments[] = { "approve", "decline", "wait" },
                             *const inventory[] = { "auto", "reject" },
                             *const shipments[] = { "auto", "wait" };
    const char *const modes[] = { payments[s->payments.mode], inventory[s->inventory.mode],
                                  shipments[s->shipments.mode] };
    unsigned i = a->simulator;
    int64_t n = 0;
    struct str mode;

    if (a->command == SIM_SETTINGS) {
        if (!w->has_settings[i] || w->settings_mono_us[i] < a->asked_us)
            witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                            "a client read 200 for settings of " STR_FMT " that are not durable",
                            STR_ARG(simulator_name(a->simulator)));
    } else if (w->has_settings[i] && w->settings_us[i] + SETTLED_US < a->asked_awake_us &&
               w->settings_mono_us[i] < a->asked_us &&
               (!text_of(a->body, "mode", &mode) || !str_eq(mode, str_of(modes[i])) ||
                !number_of(a->body, "failFirst", &n) || n != (int64_t)fails[i] ||
                on[i] != (memmem(a->body.p, a->body.n, "\"enabled\":true", 14) != NULL))) {
        witness_violate(w, SIM_ANSWER, NULL, "the settings of " STR_FMT " are shown as others",
                        STR_ARG(simulator_name(a->simulator)));
    }
}

/* ---- carts, products, dead letters ------------------------------------------------------------- */

static void cart_shown(struct witness *w, const struct sim_answer *a, struct str id)
{
    if (stream_length(w, AGGREGATE_CART, id) < a->sequence || a->sequence == 0)
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a client read sequence %llu of cart " STR_FMT ", which is not durable",
                        (unsigned long long)a->sequence, STR_ARG(id));
}

static void product_shown(struct witness *w, const struct sim_answer *a, struct str sku)
{
    int64_t on_hand = 0, reserved = 0, available = 0, sequence = 0, first = 0;
    bool is_whole =
        number_of(a->body, "onHand", &on_hand) && number_of(a->body, "reserved", &reserved) &&
        number_of(a->body, "available", &available) && number_of(a->body, "sequence", &sequence);

    if (!is_whole || on_hand != reserved + available)
        witness_violate(w, SIM_STOCK, NULL,
                        "a client read of " STR_FMT " that %lld are on hand, %lld reserved, %lld "
                        "available",
                        STR_ARG(sku), (long long)on_hand, (long long)reserved,
                        (long long)available);
    else if (stream_length(w, AGGREGATE_PRODUCT, sku) < (uint64_t)sequence || sequence == 0 ||
             a->sequence == 0 || a->sequence > w->n_events)
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a client read sequence %lld of " STR_FMT ", which is not durable",
                        (long long)sequence, STR_ARG(sku));
    else if (a->status == 201 && (!stock_first(w, sku, &first) || first != on_hand))
        witness_violate(w, SIM_ANSWER, NULL,
                        "a client read that " STR_FMT " was added with %lld, and it is %lld",
                        STR_ARG(sku), (long long)on_hand, (long long)first);
}

static void letter_shown(struct witness *w, const struct sim_answer *a, struct str id)
{
    enum dead_letter_state state =
        a->command == SIM_RETRY ? DEAD_LETTER_RETRIED : DEAD_LETTER_DISCARDED;
    struct uuid uuid;
    struct str text;

    if (!uuid_parse(id, &uuid) || !letters_are(w, uuid, state))
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a client read %d for dead letter " STR_FMT ", which is not " STR_FMT,
                        a->status, STR_ARG(id), STR_ARG(dead_letter_state_name(state)));
    else if (!text_of(a->body, "state", &text) || !str_eq(text, dead_letter_state_name(state)))
        witness_violate(w, SIM_ANSWER, NULL,
                        "dead letter " STR_FMT " was closed, and the answer says otherwise",
                        STR_ARG(id));
}

void bodies_answered(struct witness *w, const struct sim_answer *a)
{
    struct seen_lane *l = a->has_order ? history_find_lane(w, lane_of_order(a->order)) : NULL;
    struct str id;

    if (l && shows_order(a->command)) {
        order_shown(w, a, l);
        if (a->command == SIM_WAIT && a->sequence > 0 && !w->is_violated)
            waits_answered(w, a, l);
    } else if (a->command == SIM_SETTINGS || a->command == SIM_READ_SETTINGS) {
        settings_shown(w, a);
    } else if (a->command == SIM_OTHER_COMMAND) {
        if (text_of(a->body, "cartId", &id))
            cart_shown(w, a, id);
        else if (text_of(a->body, "sku", &id))
            product_shown(w, a, id);
    } else if ((a->command == SIM_RETRY || a->command == SIM_DISCARD) &&
               text_of(a->body, "deadLetterId", &id)) {
        letter_shown(w, a, id);
    }
}

/* ANSWER, of what is refused: the clients of the simulation ask for nothing that is not there and send
 * nothing that can't be read, so a refusal has to have a reason that is durable: the state of the
 * order, by the drawing and not by the flows' own tables. */
#include "orderly/base/check.h"
#include "witness_private.h"

/* So long, awake, after it is durable that a shipment is confirmed it may be dispatched. */
#define SETTLED_US (INT64_C(5) * 1000 * 1000)

static bool says(const struct sim_answer *a, const char *code)
{
    struct str text;

    return text_of(a->body, "code", &text) && str_eq(text, str_of(code));
}

/* ---- the order's own commands ------------------------------------------------------------------ */

#define S(name) (1u << ORDER_##name)

static uint32_t legal_in(const struct seen_lane *l, enum sim_command c)
{
    bool pays_first = l->flow == FLOW_PAY_FIRST;

    switch (c) {
    case SIM_CANCEL:
        return pays_first ? S(AWAITING_PAYMENT) | S(PAID) | S(STOCK_RESERVED) | S(READY)
                          : S(PENDING) | S(CONFIRMED) | S(PAID);
    case SIM_APPROVE:
        return pays_first ? S(AWAITING_PAYMENT) : S(CONFIRMED);
    case SIM_MARK_PAID:
        /* A payment that is going back can't pay any more. */
        return l->n_money > 0 ? 0 : pays_first ? S(AWAITING_PAYMENT) : S(CONFIRMED);
    case SIM_READY:
        return pays_first ? S(STOCK_RESERVED) : 0;
    case SIM_COMPLETE:
        return pays_first ? S(READY) : 0;
    default:
        return 0;
    }
}

#undef S

/* Whether the order has had the state since a client read of it what came before the asking. */
static bool has_had(const struct seen_lane *l, const struct sim_answer *a, enum order_status s)
{
    uint64_t first =
        !a->is_replayed && a->asked_us > l->read_us && l->read_sequence > 0 ? l->read_sequence : 1;

    for (uint64_t n = first; n <= l->sequence; n++)
        if (l->statuses[n - 1] == s)
            return true;
    return false;
}

static void illegal_for_order(struct witness *w, const struct sim_answer *a,
                              const struct seen_lane *l)
{
    enum order_status status;
    struct str text;

    if (!text_of(a->body, "currentStatus", &text) || !order_status_parse(text, &status))
        witness_violate(w, SIM_ANSWER, l, "is refused a command, and not told its status");
    else if (!has_had(l, a, status))
        witness_violate(w, SIM_ANSWER, l, "is called " STR_FMT ", which it is not", STR_ARG(text));
    else if (legal_in(l, a->command) & 1u << status)
        witness_violate(w, SIM_ANSWER, l, "is refused what is possible in " STR_FMT, STR_ARG(text));
}

static void illegal_for_shipment(struct witness *w, const struct sim_answer *a,
                                 const struct seen_lane *l)
{
    struct str text;

    if (!text_of(a->body, "currentStatus", &text) ||
        str_eq(text, a->command == SIM_DISPATCH ? STR("CREATED") : STR("DISPATCHED")))
        witness_violate(w, SIM_ANSWER, l, "its shipment is refused what is possible");
}

/* Its shipment has long been confirmed. */
static bool is_confirmed_before(const struct seen_lane *l, const struct sim_answer *a)
{
    return l->is_confirmed && l->confirmed_us + SETTLED_US < a->asked_awake_us && !a->is_replayed;
}

static void conflict(struct witness *w, const struct sim_answer *a, const struct seen_lane *l)
{
    bool is_of_shipment = a->command == SIM_DISPATCH || a->command == SIM_DELIVER;
    bool is_of_letter = a->command == SIM_RETRY || a->command == SIM_DISCARD;
    bool is_fine = false;

    if (says(a, "idempotency_in_flight"))
        is_fine = a->key.n > 0 || a->command == SIM_MESSAGE;
    else if (says(a, "cart_converted") || says(a, "duplicate_sku"))
        is_fine = a->command == SIM_OTHER_COMMAND;
    else if (says(a, "not_confirmed"))
        is_fine = is_of_shipment && l && !is_confirmed_before(l, a);
    else if (says(a, "force_needed") || says(a, "retry_running"))
        is_fine = is_of_letter;
    else if (says(a, "illegal_state"))
        is_fine = is_of_letter || a->command == SIM_OTHER_COMMAND || l != NULL;
    if (!is_fine) {
        witness_violate(w, SIM_ANSWER, l, "a client read 409 for what is no conflict: " STR_FMT,
                        (int)(a->body.n < 200 ? a->body.n : 200), a->body.p);
        return;
    }
    if (!l || !says(a, "illegal_state") || is_of_letter)
        return;
    if (is_of_shipment)
        illegal_for_shipment(w, a, l);
    else
        illegal_for_order(w, a, l);
}

/* The order has gone on since the version that the command was sent for. */
static void other_version(struct witness *w, const struct sim_answer *a, const struct seen_lane *l)
{
    if (a->if_match == 0 || !l || l->sequence <= a->if_match)
        witness_violate(w, SIM_ANSWER, l, "is said to be of another version than %llu",
                        (unsigned long long)a->if_match);
}

void refusals_answered(struct witness *w, const struct sim_answer *a)
{
    const struct seen_lane *l = a->has_order ? history_find_lane(w, lane_of_order(a->order)) : NULL;

    w->counts.refused++;
    if (a->status == 404)
        witness_violate(w, SIM_ACKNOWLEDGED, l, "a client read 404 for what it had read of");
    else if (a->status == 409)
        conflict(w, a, l);
    else if (a->status == 412)
        other_version(w, a, l);
    else if (a->status == 400 && a->command == SIM_OTHER_COMMAND)
        return; /* more pieces than a cart takes */
    else if (a->status != 503 && a->status != 408)
        witness_violate(w, SIM_ANSWER, l, "a client read %d: " STR_FMT, a->status,
                        (int)(a->body.n < 200 ? a->body.n : 200), a->body.p);
}

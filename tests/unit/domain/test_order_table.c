/* Every state, every input, both flows: what becomes of the order, of its money, stock and goods.
 *
 * The tables below are the product's rules written down once more, by hand; they know nothing of the
 * tables in the code. A cell is one of these words; a dot says that the case can't be (there is no
 * payment yet that could come a second time).
 *
 *   paid reserved shipped …      moves the order along its drawing, by the event of that name
 *   cancel, +r, +s, +b           OrderCancelled; asks the refund (r), the stock (s) or both (b) back
 *   early second late amount     stays as it is; asks what came back, with that reason
 *   dup ign                      a message that changes nothing
 *   holds illegal not-due        a command or the timer that changes nothing
 *   refunded released            recorded; with an exclamation mark: nobody had asked for it */
#include "domain_fixture.h"

#define COLUMNS_MAX 10

/* ---- the legend ------------------------------------------------------------------------------ */

#define BOTH 3
#define MONEY 1
#define STOCK 2

static const struct word {
    const char *word;
    enum order_outcome outcome;
    const char *event, *reason; /* NULL: not looked at */
    const char *status;         /* NULL: as before */
    unsigned goes_back;         /* MONEY, STOCK asked back by the event itself */
    bool is_unasked;
} words[] = {
    { "paid", ORDER_OUTCOME_CHANGED, "OrderPaid", NULL, "PAID", 0, false },
    { "confirmed", ORDER_OUTCOME_CHANGED, "OrderConfirmed", NULL, "CONFIRMED", 0, false },
    { "reserved", ORDER_OUTCOME_CHANGED, "OrderStockReserved", NULL, "STOCK_RESERVED", 0, false },
    { "ready", ORDER_OUTCOME_CHANGED, "OrderReadied", NULL, "READY", 0, false },
    { "completed", ORDER_OUTCOME_CHANGED, "OrderCompleted", NULL, "COMPLETED", 0, false },
    { "shipped", ORDER_OUTCOME_CHANGED, "OrderShipped", NULL, "SHIPPED", 0, false },
    { "delivered", ORDER_OUTCOME_CHANGED, "OrderDelivered", NULL, "DELIVERED", 0, false },
    { "failed", ORDER_OUTCOME_CHANGED, "OrderPaymentFailed", "Card declined", "PAYMENT_FAILED", 0,
      false },
    { "failed+s", ORDER_OUTCOME_CHANGED, "OrderPaymentFailed", "Card declined", "PAYMENT_FAILED",
      STOCK, false },
    { "rejected", ORDER_OUTCOME_CHANGED, "OrderRejected", "no stock", "REJECTED", 0, false },
    { "no-stock+r", ORDER_OUTCOME_CHANGED, "OrderCancelled", "no stock", "CANCELLED", MONEY,
      false },
    { "timeout", ORDER_OUTCOME_CHANGED, "OrderCancelled", "payment_timeout", "CANCELLED", 0,
      false },
    { "timeout+s", ORDER_OUTCOME_CHANGED, "OrderCancelled", "payment_timeout", "CANCELLED", STOCK,
      false },
    { "no-ship+b", ORDER_OUTCOME_CHANGED, "OrderCancelled", "shipment_cancelled", "CANCELLED", BOTH,
      false },
    { "cancel", ORDER_OUTCOME_CHANGED, "OrderCancelled", "a whim", "CANCELLED", 0, false },
    { "cancel+r", ORDER_OUTCOME_CHANGED, "OrderCancelled", "a whim", "CANCELLED", MONEY, false },
    { "cancel+s", ORDER_OUTCOME_CHANGED, "OrderCancelled", "a whim", "CANCELLED", STOCK, false },
    { "cancel+b", ORDER_OUTCOME_CHANGED, "OrderCancelled", "a whim", "CANCELLED", BOTH, false },
    { "asks", ORDER_OUTCOME_CHANGED, "OrderPaymentRequested", NULL, NULL, 0, false },
    { "early", ORDER_OUTCOME_CHANGED, NULL, "not_expected", NULL, 0, false },
    { "second", ORDER_OUTCOME_CHANGED, NULL, "second", NULL, 0, false },
    { "late", ORDER_OUTCOME_CHANGED, NULL, "late", NULL, 0, false },
    { "amount", ORDER_OUTCOME_CHANGED, NULL, "amount_mismatch", NULL, 0, false },
    { "wrong", ORDER_OUTCOME_CHANGED, NULL, "wrong_flow", NULL, 0, false },
    { "refunded", ORDER_OUTCOME_CHANGED, "OrderRefunded", NULL, NULL, 0, false },
    { "refunded!", ORDER_OUTCOME_CHANGED, "OrderRefunded", NULL, NULL, 0, true },
    { "released", ORDER_OUTCOME_CHANGED, "OrderStockReleased", NULL, NULL, 0, false },
    { "released!", ORDER_OUTCOME_CHANGED, "OrderStockReleased", NULL, NULL, 0, true },
    { "dup", ORDER_OUTCOME_DUPLICATE, NULL, NULL, NULL, 0, false },
    { "ign", ORDER_OUTCOME_IGNORED, NULL, NULL, NULL, 0, false },
    { "holds", ORDER_OUTCOME_HOLDS, NULL, NULL, NULL, 0, false },
    { "illegal", ORDER_OUTCOME_ILLEGAL, NULL, NULL, NULL, 0, false },
    { "not-due", ORDER_OUTCOME_NOT_YET_DUE, NULL, NULL, NULL, 0, false },
};

/* ---- what can come --------------------------------------------------------------------------- */

enum come {
    NEW_PAYMENT,
    OWN_PAYMENT,
    WRONG_AMOUNT,
    WRONG_CURRENCY,
    DECLINE,
    NEW_RESERVATION,
    OWN_RESERVATION,
    REJECTION,
    NEW_SHIPMENT,
    OWN_SHIPMENT,
    OWN_DELIVERED,
    OTHER_DELIVERED,
    OWN_SHIPMENT_CANCELLED,
    OTHER_SHIPMENT_CANCELLED,
    PAST_DEADLINE,
    BEFORE_DEADLINE,
    COMMAND_PAY,
    MARK_PAID,
    MARK_PAID_AGAIN,
    COMMAND_CANCEL,
    COMMAND_READY,
    COMMAND_COMPLETE,
    COMPLETE_WITH_ANOTHER_INVOICE,
    OWN_REFUNDED,
    OTHER_REFUNDED,
    OWN_RELEASED,
    OTHER_RELEASED,
    COMES
};

static const struct {
    const char *text;
    enum order_input input; /* of the drawing; COUNT: none, it only records */
    const char *sends_back; /* the event that asks back what came out of place */
} comes[COMES] = {
    [NEW_PAYMENT] = { "a payment is approved", ORDER_INPUT_PAYMENT_APPROVED,
                      "OrderRefundRequested" },
    [OWN_PAYMENT] = { "its payment is approved again", ORDER_INPUT_PAYMENT_APPROVED, NULL },
    [WRONG_AMOUNT] = { "a payment of another amount", ORDER_INPUT_PAYMENT_APPROVED,
                       "OrderRefundRequested" },
    [WRONG_CURRENCY] = { "a payment in another currency", ORDER_INPUT_PAYMENT_APPROVED,
                         "OrderRefundRequested" },
    [DECLINE] = { "a payment is declined", ORDER_INPUT_PAYMENT_DECLINED, NULL },
    [NEW_RESERVATION] = { "stock is reserved", ORDER_INPUT_STOCK_RESERVED,
                          "OrderReleaseRequested" },
    [OWN_RESERVATION] = { "its reservation comes again", ORDER_INPUT_STOCK_RESERVED, NULL },
    [REJECTION] = { "stock is refused", ORDER_INPUT_STOCK_REJECTED, NULL },
    [NEW_SHIPMENT] = { "a shipment is made", ORDER_INPUT_SHIPMENT_CREATED, "OrderShipmentRefused" },
    [OWN_SHIPMENT] = { "its shipment comes again", ORDER_INPUT_SHIPMENT_CREATED, NULL },
    [OWN_DELIVERED] = { "its shipment is delivered", ORDER_INPUT_SHIPMENT_DELIVERED, NULL },
    [OTHER_DELIVERED] = { "another shipment is delivered", ORDER_INPUT_SHIPMENT_DELIVERED, NULL },
    [OWN_SHIPMENT_CANCELLED] = { "its shipment is cancelled", ORDER_INPUT_SHIPMENT_CANCELLED,
                                 NULL },
    [OTHER_SHIPMENT_CANCELLED] = { "another shipment is cancelled", ORDER_INPUT_SHIPMENT_CANCELLED,
                                   NULL },
    [PAST_DEADLINE] = { "the payment deadline", ORDER_INPUT_PAYMENT_TIMEOUT, NULL },
    [BEFORE_DEADLINE] = { "the timer, too early", ORDER_INPUT_PAYMENT_TIMEOUT, NULL },
    [COMMAND_PAY] = { "pay", ORDER_INPUT_PAY, NULL },
    [MARK_PAID] = { "mark-paid", ORDER_INPUT_MARK_PAID, NULL },
    [MARK_PAID_AGAIN] = { "mark-paid with its payment", ORDER_INPUT_MARK_PAID, NULL },
    [COMMAND_CANCEL] = { "cancel", ORDER_INPUT_CANCEL, NULL },
    [COMMAND_READY] = { "ready", ORDER_INPUT_READY, NULL },
    [COMMAND_COMPLETE] = { "complete", ORDER_INPUT_COMPLETE, NULL },
    [COMPLETE_WITH_ANOTHER_INVOICE] = { "complete, another invoice", ORDER_INPUT_COMPLETE, NULL },
    [OWN_REFUNDED] = { "its payment is refunded", ORDER_INPUT_COUNT, NULL },
    [OTHER_REFUNDED] = { "an unknown payment is refunded", ORDER_INPUT_COUNT, NULL },
    [OWN_RELEASED] = { "its stock is released", ORDER_INPUT_COUNT, NULL },
    [OTHER_RELEASED] = { "unknown stock is released", ORDER_INPUT_COUNT, NULL },
};

static enum order_outcome decide(const struct order *o, enum come come, bool *unasked,
                                 struct event_list *out)
{
    struct payment_id own_p = payment_of("P-1"), other_p = payment_of("P-2");
    struct reservation_id own_r = reservation_of("R-1"), other_r = reservation_of("R-2");
    struct shipment_id own_s = shipment_of("S-1"), other_s = shipment_of("S-2");
    struct invoice_id invoice = invoice_of("I-1"), other_invoice = invoice_of("I-2");

    switch (come) {
    case NEW_PAYMENT:
        return order_mark_as_paid(o, &other_p, TOTAL, USD, out);
    case OWN_PAYMENT:
        return order_mark_as_paid(o, &own_p, TOTAL, USD, out);
    case WRONG_AMOUNT:
        return order_mark_as_paid(o, &other_p, TOTAL - 1, USD, out);
    case WRONG_CURRENCY:
        return order_mark_as_paid(o, &other_p, TOTAL, EUR, out);
    case DECLINE:
        return order_apply_payment_declined(o, &other_p, STR("Card declined"), out);
    case NEW_RESERVATION:
        return order_apply_stock_reserved(o, &other_r, out);
    case OWN_RESERVATION:
        return order_apply_stock_reserved(o, &own_r, out);
    case REJECTION:
        return order_apply_stock_rejected(o, STR("no stock"), out);
    case NEW_SHIPMENT:
        return order_apply_shipment_created(o, &other_s, STR("TRK-2"), out);
    case OWN_SHIPMENT:
        return order_apply_shipment_created(o, &own_s, STR("TRK-1"), out);
    case OWN_DELIVERED:
        return order_apply_shipment_delivered(o, &own_s, PLACED_AT_MS + 9000, out);
    case OTHER_DELIVERED:
        return order_apply_shipment_delivered(o, &other_s, PLACED_AT_MS + 9000, out);
    case OWN_SHIPMENT_CANCELLED:
        return order_apply_shipment_cancelled(o, &own_s, out);
    case OTHER_SHIPMENT_CANCELLED:
        return order_apply_shipment_cancelled(o, &other_s, out);
    case PAST_DEADLINE:
        return order_expire_payment(o, PLACED_AT_MS + TIMEOUT_MS, out);
    case BEFORE_DEADLINE:
        return order_expire_payment(o, PLACED_AT_MS + TIMEOUT_MS - 1, out);
    case COMMAND_PAY:
        return order_request_payment(o, out);
    case MARK_PAID:
        return order_record_external_payment(o, &other_p, out);
    case MARK_PAID_AGAIN:
        return order_record_external_payment(o, &own_p, out);
    case COMMAND_CANCEL:
        return order_cancel(o, STR("a whim"), out);
    case COMMAND_READY:
        return order_make_ready(o, out);
    case COMMAND_COMPLETE:
        return order_complete(o, &invoice, out);
    case COMPLETE_WITH_ANOTHER_INVOICE:
        return order_complete(o, &other_invoice, out);
    case OWN_REFUNDED:
        return order_apply_refunded(o, &own_p, TOTAL, USD, unasked, out);
    case OTHER_REFUNDED:
        return order_apply_refunded(o, &other_p, TOTAL, USD, unasked, out);
    case OWN_RELEASED:
        return order_apply_stock_released(o, &own_r, unasked, out);
    case OTHER_RELEASED:
        return order_apply_stock_released(o, &other_r, unasked, out);
    case COMES:
        break;
    }
    UNREACHABLE("come");
}

/* ---- the tables ------------------------------------------------------------------------------ */

struct column {
    const char *status;
    enum way way[6];
};
struct table {
    enum flow_id flow;
    unsigned n_columns;
    struct column columns[COLUMNS_MAX];
    const char *cells[COMES]; /* one word for each column */
};

/* clang-format off */
static const struct table pay_first = {
    .flow = FLOW_PAY_FIRST,
    .n_columns = 8,
    .columns = {
        {"AWAITING_PAYMENT", {END_OF_WAY}},
        {"PAID",             {PAY_IT}},
        {"STOCK_RESERVED",   {PAY_IT, RESERVE_IT}},
        {"READY",            {PAY_IT, RESERVE_IT, READY_IT}},
        {"COMPLETED",        {PAY_IT, RESERVE_IT, READY_IT, COMPLETE_IT}},
        {"CANCELLED",        {CANCEL_IT}},                       /* before anything came */
        {"CANCELLED",        {PAY_IT, RESERVE_IT, CANCEL_IT}},   /* refund and release due */
        {"PAYMENT_FAILED",   {DECLINE_IT}},
    },
    .cells = {
                                    /* AWAITING  PAID       RESERVED  READY     COMPLETED CANCELLED CANC.+b  FAILED */
        [NEW_PAYMENT]              = "paid       second     second    second    second    late      second   late",
        [OWN_PAYMENT]              = ".          dup        dup       dup       dup       .         dup      .",
        [WRONG_AMOUNT]             = "amount     second     second    second    second    late      second   late",
        [WRONG_CURRENCY]           = "amount     second     second    second    second    late      second   late",
        [DECLINE]                  = "failed     ign        ign       ign       ign       ign       ign      ign",
        [NEW_RESERVATION]          = "early      reserved   second    second    second    late      second   late",
        [OWN_RESERVATION]          = ".          .          dup       dup       dup       .         dup      .",
        [REJECTION]                = "ign        no-stock+r ign       ign       ign       ign       ign      ign",
        [NEW_SHIPMENT]             = "wrong      wrong      wrong     wrong     wrong     wrong     wrong    wrong",
        [OWN_SHIPMENT]             = ".          .          .         .         .         .         .        .",
        [OWN_DELIVERED]            = ".          .          .         .         .         .         .        .",
        [OTHER_DELIVERED]          = "ign        ign        ign       ign       ign       ign       ign      ign",
        [OWN_SHIPMENT_CANCELLED]   = ".          .          .         .         .         .         .        .",
        [OTHER_SHIPMENT_CANCELLED] = "ign        ign        ign       ign       ign       ign       ign      ign",
        [PAST_DEADLINE]            = "timeout    holds      holds     holds     holds     holds     holds    holds",
        [BEFORE_DEADLINE]          = "not-due    holds      holds     holds     holds     holds     holds    holds",
        [COMMAND_PAY]              = "asks       holds      holds     holds     holds     illegal   illegal  illegal",
        [MARK_PAID]                = "paid       illegal    illegal   illegal   illegal   illegal   illegal  illegal",
        [MARK_PAID_AGAIN]          = ".          holds      holds     holds     holds     .         holds    .",
        [COMMAND_CANCEL]           = "cancel     cancel+r   cancel+b  cancel+b  illegal   holds     holds    illegal",
        [COMMAND_READY]            = "illegal    illegal    ready     holds     holds     illegal   illegal  illegal",
        [COMMAND_COMPLETE]         = "illegal    illegal    illegal   completed holds     illegal   illegal  illegal",
        [COMPLETE_WITH_ANOTHER_INVOICE]
                                   = "illegal    illegal    illegal   completed illegal   illegal   illegal  illegal",
        [OWN_REFUNDED]             = ".          refunded!  refunded! refunded! refunded! .         refunded .",
        [OTHER_REFUNDED]           = "refunded!  refunded!  refunded! refunded! refunded! refunded! refunded! refunded!",
        [OWN_RELEASED]             = ".          .          released! released! released! .         released .",
        [OTHER_RELEASED]           = "released!  released!  released! released! released! released! released! released!",
    },
};

static const struct table stock_first = {
    .flow = FLOW_STOCK_FIRST,
    .n_columns = 10,
    .columns = {
        {"PENDING",        {END_OF_WAY}},
        {"CONFIRMED",      {RESERVE_IT}},
        {"PAID",           {RESERVE_IT, PAY_IT}},
        {"SHIPPED",        {RESERVE_IT, PAY_IT, SHIP_IT}},
        {"DELIVERED",      {RESERVE_IT, PAY_IT, SHIP_IT, DELIVER_IT}},
        {"CANCELLED",      {CANCEL_IT}},                                    /* before anything came */
        {"CANCELLED",      {RESERVE_IT, PAY_IT, CANCEL_IT}},                /* refund and release due */
        {"CANCELLED",      {RESERVE_IT, PAY_IT, SHIP_IT, CANCEL_SHIPMENT}}, /* the same, and a shipment */
        {"REJECTED",       {REJECT_IT}},
        {"PAYMENT_FAILED", {RESERVE_IT, DECLINE_IT}},                       /* release due */
    },
    .cells = {
                                    /* PENDING  CONFIRMED PAID      SHIPPED   DELIVERED CANCELLED CANC.+b  NO SHIP. REJECTED FAILED */
        [NEW_PAYMENT]              = "early     paid      second    second    second    late      second   second   late     late",
        [OWN_PAYMENT]              = ".         .         dup       dup       dup       .         dup      dup      .        .",
        [WRONG_AMOUNT]             = "early     amount    second    second    second    late      second   second   late     late",
        [WRONG_CURRENCY]           = "early     amount    second    second    second    late      second   second   late     late",
        [DECLINE]                  = "ign       failed+s  ign       ign       ign       ign       ign      ign      ign      ign",
        [NEW_RESERVATION]          = "confirmed second    second    second    second    late      second   second   late     second",
        [OWN_RESERVATION]          = ".         dup       dup       dup       dup       .         dup      dup      .        dup",
        [REJECTION]                = "rejected  ign       ign       ign       ign       ign       ign      ign      ign      ign",
        [NEW_SHIPMENT]             = "early     early     shipped   second    second    late      late     second   late     late",
        [OWN_SHIPMENT]             = ".         .         .         dup       dup       .         .        dup      .        .",
        [OWN_DELIVERED]            = ".         .         .         delivered dup       .         .        ign      .        .",
        [OTHER_DELIVERED]          = "ign       ign       ign       ign       ign       ign       ign      ign      ign      ign",
        [OWN_SHIPMENT_CANCELLED]   = ".         .         .         no-ship+b ign       .         .        dup      .        .",
        [OTHER_SHIPMENT_CANCELLED] = "ign       ign       ign       ign       ign       ign       ign      ign      ign      ign",
        [PAST_DEADLINE]            = "timeout   timeout+s holds     holds     holds     holds     holds    holds    holds    holds",
        [BEFORE_DEADLINE]          = "not-due   not-due   holds     holds     holds     holds     holds    holds    holds    holds",
        [COMMAND_PAY]              = "illegal   asks      holds     holds     holds     illegal   illegal  illegal  illegal  illegal",
        [MARK_PAID]                = "illegal   paid      illegal   illegal   illegal   illegal   illegal  illegal  illegal  illegal",
        [MARK_PAID_AGAIN]          = ".         .         holds     holds     holds     .         holds    holds    .        .",
        [COMMAND_CANCEL]           = "cancel    cancel+s  cancel+b  illegal   illegal   holds     holds    holds    illegal  illegal",
        [COMMAND_READY]            = "illegal   illegal   illegal   illegal   illegal   illegal   illegal  illegal  illegal  illegal",
        [COMMAND_COMPLETE]         = "illegal   illegal   illegal   illegal   illegal   illegal   illegal  illegal  illegal  illegal",
        [COMPLETE_WITH_ANOTHER_INVOICE]
                                   = "illegal   illegal   illegal   illegal   illegal   illegal   illegal  illegal  illegal  illegal",
        [OWN_REFUNDED]             = ".         .         refunded! refunded! refunded! .         refunded refunded .        .",
        [OTHER_REFUNDED]           = "refunded! refunded! refunded! refunded! refunded! refunded! refunded! refunded! refunded! refunded!",
        [OWN_RELEASED]             = ".         released! released! released! released! .         released released .        released",
        [OTHER_RELEASED]           = "released! released! released! released! released! released! released! released! released! released!",
    },
};
/* clang-format on */

/* ---- walking them ---------------------------------------------------------------------------- */

static struct str cell_of(const char *row, unsigned column)
{
    struct str rest = str_of(row), word = STR_NONE;

    for (unsigned i = 0; i <= column; i++) {
        while (rest.n && *rest.p == ' ')
            rest.p++, rest.n--;
        word.p = rest.p;
        while (rest.n && *rest.p != ' ')
            rest.p++, rest.n--;
        word.n = (size_t)(rest.p - word.p);
    }
    return word;
}

static const struct word *word_of(struct str text)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq(str_of(words[i].word), text))
            return &words[i];
    }
    fail_msg("no word: '%.*s'", STR_ARG(text));
    return NULL;
}

static void check_cell(const struct table *t, unsigned column, enum come come)
{
    struct str text = cell_of(t->cells[come], column);
    const struct word *w;
    struct order *o;
    struct event_list out;
    bool unasked = false;
    enum order_outcome outcome;
    struct str status;

    if (str_eq(text, STR(".")))
        return;
    w = word_of(text);
    o = an_order_after(t->flow, t->columns[column].way);
    status = order_status_name(o->status);
    assert_true(str_eq(status, str_of(t->columns[column].status)));
    event_list_init(&out);
    outcome = decide(o, come, &unasked, &out);
    if (outcome != w->outcome)
        fail_msg("%s: %s: %s, not %s", t->columns[column].status, comes[come].text,
                 order_outcome_name(outcome), order_outcome_name(w->outcome));
    assert_int_equal(unasked, w->is_unasked);
    if (outcome != ORDER_OUTCOME_CHANGED) {
        assert_int_equal(out.n, 0);
    } else {
        const struct event *e = &out.events[0];
        const char *event = w->event ? w->event : comes[come].sends_back;

        assert_int_equal(out.n, 1);
        assert_non_null(event);
        if (!str_eq(event_infos[e->type].type, str_of(event)))
            fail_msg("%s: %s: %s", t->columns[column].status, comes[come].text,
                     event_infos[e->type].type.p);
        if (w->reason)
            assert_true(str_eq(e->p.reason, str_of(w->reason)));
        assert_true(uuid_eq(e->p.order_id.u, o->body->id.u));
        assert_int_equal(e->p.flow, t->flow);
        assert_int_equal(e->p.refund.set, (w->goes_back & MONEY) != 0);
        assert_int_equal(e->p.release.set, (w->goes_back & STOCK) != 0);
        if (w->goes_back & MONEY) {
            assert_true(str_eq(text_id_str(&e->p.refund.payment_id.t), STR("P-1")));
            assert_int_equal(e->p.refund.amount, TOTAL);
            assert_true(currency_eq(e->p.refund.currency, USD));
        }
        if (w->goes_back & STOCK)
            assert_true(str_eq(text_id_str(&e->p.release.reservation_id.t), STR("R-1")));
        apply_all(o, &out);
        if (w->status)
            status = str_of(w->status);
    }
    assert_true(str_eq(order_status_name(o->status), status));

    /* What came and was sent back, or is asked back, is due; and a second time it is a duplicate. */
    if (w->goes_back & MONEY)
        assert_int_equal(order_refund_state(o, NULL), DUE_OPEN);
    if (w->goes_back & STOCK)
        assert_int_equal(order_release_state(o), DUE_OPEN);
    if (outcome == ORDER_OUTCOME_CHANGED && comes[come].sends_back) {
        event_list_init(&out);
        assert_int_equal(decide(o, come, &unasked, &out), ORDER_OUTCOME_DUPLICATE);
        assert_int_equal(out.n, 0);
    }
    order_destroy(o);
}

static void check_table(const struct table *t)
{
    for (unsigned column = 0; column < t->n_columns; column++) {
        for (unsigned come = 0; come < COMES; come++)
            check_cell(t, column, (enum come)come);
    }
}

static void pay_first__answers_every_input_in_every_state(void **state)
{
    (void)state;
    check_table(&pay_first);
}

static void stock_first__answers_every_input_in_every_state(void **state)
{
    (void)state;
    check_table(&stock_first);
}

static void tables__leave_no_state_and_no_input_out(void **state)
{
    const struct table *const tables[] = { &pay_first, &stock_first };
    uint32_t states = 0, inputs = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        const struct table *t = tables[i];
        uint32_t of_flow = 1u << flow_of(t->flow)->start, in_table = 0;

        for (unsigned c = 0; c < t->n_columns; c++) {
            enum order_status s;

            assert_true(order_status_parse(str_of(t->columns[c].status), &s));
            in_table |= 1u << s;
        }
        for (unsigned r = 0; r < flow_of(t->flow)->n_rows; r++)
            of_flow |= 1u << flow_of(t->flow)->rows[r].to;
        assert_int_equal(in_table, of_flow);
        states |= in_table;
        for (unsigned c = 0; c < COMES; c++)
            assert_int_equal(cell_of(t->cells[c], t->n_columns).n, 0);
    }
    for (unsigned c = 0; c < COMES; c++)
        inputs |= 1u << comes[c].input;
    assert_int_equal(states, ((1u << ORDER_STATUS_COUNT) - 1) & ~1u);
    assert_int_equal(inputs & ((1u << ORDER_INPUT_COUNT) - 1), (1u << ORDER_INPUT_COUNT) - 1);
}

/* A row of a flow and its event say the same status. */
static void apply__agrees_with_the_drawing(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);

        for (unsigned i = 0; i < f->n_rows; i++) {
            struct order *o = an_order((enum flow_id)id);
            struct event e = { .type = (enum event_type)f->rows[i].event, .sequence = 2 };

            o->status = f->rows[i].from;
            order_apply(o, &e);
            assert_int_equal(o->status, f->rows[i].to);
            order_destroy(o);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pay_first__answers_every_input_in_every_state),
        cmocka_unit_test(stock_first__answers_every_input_in_every_state),
        cmocka_unit_test(tables__leave_no_state_and_no_input_out),
        cmocka_unit_test(apply__agrees_with_the_drawing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

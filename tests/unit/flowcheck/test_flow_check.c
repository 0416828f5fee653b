/* The flows hold, and the checker finds what is wrong with spoiled copies of them. */
#include "../../../src/flowcheck/world.h"
#include "broken_flow.h"

/* A walk is one thread's and long; the thread sanitizer makes it fifteen times as long and has
 * nothing to find in it. There the shorter flow is enough. */
#ifdef __SANITIZE_THREAD__
#define LAST_FLOW FLOW_PAY_FIRST
#else
#define LAST_FLOW FLOW_STOCK_FIRST
#endif

/* ---- as they are ------------------------------------------------------------------------------ */

static void check_walk(enum flow_id id, enum flow_world world, struct flow_coverage *used)
{
    struct flow_walk *w = flow_walk_create(flow_of(id), world, used);
    struct buf out = { 0 };

    flow_walk_run(w, 0, 0);
    for (unsigned p = 0; p < FLOW_STATUSES; p++) {
        if (flow_walk_holds(w, (enum flow_property)p))
            continue;
        flow_walk_tell(w, (enum flow_property)p, &out);
        fail_msg("%s, %s: %s\n%.*s", flow_of(id)->name, flow_world_text(world),
                 flow_property_text((enum flow_property)p), (int)out.n, out.p);
    }
    assert_true(flow_walk_counts(w)->n_states > 10000); /* it has walked */
    assert_true(flow_walk_counts(w)->n_transitions > flow_walk_counts(w)->n_states);
    assert_true(flow_walk_counts(w)->n_ends > 100);
    flow_walk_destroy(w);
}

static void flows__hold_in_every_interleaving(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id <= LAST_FLOW; id++) {
        struct flow_coverage used = { 0 };

        check_walk((enum flow_id)id, FLOW_WORLD_BUILT_IN, &used);
        assert_true(flow_coverage_holds(&used, flow_of((enum flow_id)id), FLOW_STATUSES));
        assert_true(flow_coverage_holds(&used, flow_of((enum flow_id)id), FLOW_ROWS));
    }
}

/* stock_first's walk is ten times this one: the command's tests wait for it, without sanitizers. */
static void flows__hold_with_contexts_outside(void **state)
{
    struct flow_coverage used = { 0 };

    (void)state;
    if (LAST_FLOW == FLOW_PAY_FIRST)
        skip();
    check_walk(FLOW_PAY_FIRST, FLOW_WORLD_OUTSIDE, &used);
}

/* ---- spoiled ---------------------------------------------------------------------------------- */

/* The property does not hold, and this interleaving says so. */
static void check_broken_in(const struct broken_flow *b, enum flow_world world,
                            enum flow_property p, const char *told)
{
    struct flow_coverage used = { 0 };
    struct flow_walk *w = flow_walk_create(&b->flow, world, &used);
    struct buf out = { 0 };

    flow_walk_run(w, 0, p == FLOW_WAY_ON ? 0 : 1u << p);
    assert_false(flow_walk_holds(w, p));
    for (unsigned other = 0; other < FLOW_STATUSES; other++)
        if (other != p && !flow_walk_holds(w, (enum flow_property)other))
            fail_msg("this is broken, too: %s", flow_property_text((enum flow_property)other));
    flow_walk_tell(w, p, &out);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, told);
    buf_deinit(&out);
    flow_walk_destroy(w);
}

static void check_broken(const struct broken_flow *b, enum flow_property p, const char *told)
{
    check_broken_in(b, FLOW_WORLD_BUILT_IN, p, told);
}

static void order__that_nothing_moves_any_more_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_row(&b, ORDER_PAID, ORDER_INPUT_STOCK_REJECTED);
    check_broken(&b, FLOW_STUCK,
                 "    1  the order is placed, AWAITING_PAYMENT\n"
                 "    2  mark-paid: OrderPaid, AWAITING_PAYMENT -> PAID\n"
                 "    3  Payments hears OrderPlaced, waits: PaymentPending\n"
                 "    4  Inventory hears OrderPaid, no: StockRejected\n"
                 "    5  Orders hears StockRejected: nothing\n"
                 "      the order is PAID, no message is under way, and no timer runs\n");
}

static void order__that_waits_without_a_timer_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_row(&b, ORDER_AWAITING_PAYMENT, ORDER_INPUT_PAYMENT_TIMEOUT);
    check_broken(
        &b, FLOW_STUCK,
        "    1  the order is placed, AWAITING_PAYMENT\n"
        "    2  Payments hears OrderPlaced, waits: PaymentPending\n"
        "      the order is AWAITING_PAYMENT, no message is under way, and no timer runs\n");
}

static void state__without_a_way_on_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_row(&b, ORDER_READY, ORDER_INPUT_COMPLETE);
    remove_row(&b, ORDER_READY, ORDER_INPUT_CANCEL);
    check_broken(&b, FLOW_WAY_ON,
                 "    1  the order is placed, AWAITING_PAYMENT\n"
                 "    2  mark-paid: OrderPaid, AWAITING_PAYMENT -> PAID\n"
                 "    3  Inventory hears OrderPaid: StockReserved\n"
                 "    4  Orders hears StockReserved: OrderStockReserved, PAID -> STOCK_RESERVED\n"
                 "    5  ready: OrderReadied, STOCK_RESERVED -> READY\n"
                 "      the order is READY, and nothing that may happen ends it\n");
}

static void money__that_nobody_gives_back_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_reaction(&b, EVENT_ORDER_CANCELLED, CONTEXT_PAYMENTS);
    check_broken(
        &b, FLOW_MONEY,
        "    1  the order is placed, AWAITING_PAYMENT\n"
        "    2  Payments hears OrderPlaced: PaymentApproved\n"
        "    3  Orders hears PaymentApproved: OrderPaid, AWAITING_PAYMENT -> PAID\n"
        "    4  Inventory hears OrderPaid, no: StockRejected\n"
        "    5  Orders hears StockRejected: OrderCancelled, PAID -> CANCELLED\n"
        "      the order is CANCELLED; payment-1 was charged, asked back, and not given back\n");
}

/* The event of the other end of an order asks for no refund. */
static void money__that_nobody_asks_back_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    row_of(&b, ORDER_PAID, ORDER_INPUT_CANCEL)->to = ORDER_PAYMENT_FAILED;
    row_of(&b, ORDER_PAID, ORDER_INPUT_CANCEL)->event = EVENT_ORDER_PAYMENT_FAILED;
    check_broken(
        &b, FLOW_MONEY,
        "    1  the order is placed, AWAITING_PAYMENT\n"
        "    2  mark-paid: OrderPaid, AWAITING_PAYMENT -> PAID\n"
        "    3  cancel: OrderPaymentFailed, PAID -> PAYMENT_FAILED\n"
        "    4  Payments hears OrderPlaced, waits: PaymentPending\n"
        "    5  Inventory hears OrderPaid, no: StockRejected\n"
        "    6  Orders hears StockRejected: nothing\n"
        "      the order is PAYMENT_FAILED; external-1 was charged, and nobody asked it back\n");
}

static void money__that_orders_never_hears_of_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    remove_reaction(&b, EVENT_PAYMENT_PROCESSED, CONTEXT_ORDERS);
    check_broken(&b, FLOW_MONEY,
                 "    1  the order is placed, PENDING\n"
                 "    2  Inventory hears OrderPlaced: InventoryReserved\n"
                 "    3  Orders hears InventoryReserved: OrderConfirmed, PENDING -> CONFIRMED\n"
                 "    4  Payments hears OrderConfirmed: PaymentProcessed\n"
                 "      the order is CONFIRMED; payment-1 was charged, and nobody asked it back\n");
}

static void stock__that_nobody_releases_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    remove_reaction(&b, EVENT_ORDER_PAYMENT_FAILED, CONTEXT_INVENTORY);
    check_broken(
        &b, FLOW_STOCK,
        "    1  the order is placed, PENDING\n"
        "    2  Inventory hears OrderPlaced: InventoryReserved\n"
        "    3  Orders hears InventoryReserved: OrderConfirmed, PENDING -> CONFIRMED\n"
        "    4  Payments hears OrderConfirmed, no: PaymentFailed\n"
        "    5  Orders hears PaymentFailed: OrderPaymentFailed, CONFIRMED -> PAYMENT_FAILED\n"
        "      the order is PAYMENT_FAILED; reservation-1 is still reserved, asked back, and not "
        "released\n");
}

static void stock__that_left_and_is_still_on_hand_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    remove_reaction(&b, EVENT_SHIPMENT_DISPATCHED, CONTEXT_INVENTORY);
    remove_reaction(&b, EVENT_SHIPMENT_DELIVERED, CONTEXT_INVENTORY);
    check_broken(&b, FLOW_STOCK,
                 "    1  the order is placed, PENDING\n"
                 "    2  Inventory hears OrderPlaced: InventoryReserved\n"
                 "    3  Orders hears InventoryReserved: OrderConfirmed, PENDING -> CONFIRMED\n"
                 "    4  mark-paid: OrderPaid, CONFIRMED -> PAID\n"
                 "    5  Payments hears OrderConfirmed, waits: PaymentPending\n"
                 "    6  Shipments hears OrderPaid: ShipmentCreated\n"
                 "    7  Orders hears ShipmentCreated: OrderShipped, PAID -> SHIPPED\n"
                 "    8  Shipments hears OrderShipped: may be dispatched\n"
                 "    9  the carrier says of shipment-1: ShipmentDispatched\n"
                 "      shipment-1 has left, and its goods were not taken off hand\n");
}

static void goods__of_a_cancelled_order_that_leave_are_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    add_row(&b, ORDER_SHIPPED, ORDER_INPUT_CANCEL, ORDER_CANCELLED, EVENT_ORDER_CANCELLED);
    check_broken(&b, FLOW_GOODS,
                 "    1  the order is placed, PENDING\n"
                 "    2  Inventory hears OrderPlaced: InventoryReserved\n"
                 "    3  Orders hears InventoryReserved: OrderConfirmed, PENDING -> CONFIRMED\n"
                 "    4  mark-paid: OrderPaid, CONFIRMED -> PAID\n"
                 "    5  Shipments hears OrderPaid: ShipmentCreated\n"
                 "    6  Orders hears ShipmentCreated: OrderShipped, PAID -> SHIPPED\n"
                 "    7  cancel: OrderCancelled, SHIPPED -> CANCELLED\n"
                 "    8  Shipments hears OrderShipped: may be dispatched\n"
                 "    9  the carrier says of shipment-1: ShipmentDispatched\n"
                 "      shipment-1 has left, and the order is CANCELLED\n");
}

static void shipment__that_nobody_cancels_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    remove_reaction(&b, EVENT_ORDER_SHIPMENT_REFUSED, CONTEXT_SHIPMENTS);
    check_broken(&b, FLOW_GOODS,
                 "    1  the order is placed, PENDING\n"
                 "    2  Inventory hears OrderPlaced: InventoryReserved\n"
                 "    3  Orders hears InventoryReserved: OrderConfirmed, PENDING -> CONFIRMED\n"
                 "    4  mark-paid: OrderPaid, CONFIRMED -> PAID\n"
                 "    5  cancel: OrderCancelled, PAID -> CANCELLED\n"
                 "    6  Payments hears OrderConfirmed, waits: PaymentPending\n"
                 "    7  Payments hears OrderCancelled: nothing\n"
                 "    8  Inventory hears OrderCancelled: InventoryReleased\n"
                 "    9  Orders hears InventoryReleased: OrderStockReleased\n"
                 "   10  Shipments hears OrderPaid: ShipmentCreated\n"
                 "   11  Orders hears ShipmentCreated: OrderShipmentRefused\n"
                 "      the order is CANCELLED; shipment-1 is not cancelled\n");
}

static void event__that_leads_elsewhere_than_its_row_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    row_of(&b, ORDER_STOCK_RESERVED, ORDER_INPUT_CANCEL)->to = ORDER_REJECTED;
    check_broken(&b, FLOW_TABLE,
                 "    1  the order is placed, AWAITING_PAYMENT\n"
                 "    2  mark-paid: OrderPaid, AWAITING_PAYMENT -> PAID\n"
                 "    3  Inventory hears OrderPaid: StockReserved\n"
                 "    4  Orders hears StockReserved: OrderStockReserved, PAID -> STOCK_RESERVED\n"
                 "    5  cancel: OrderCancelled, STOCK_RESERVED -> CANCELLED\n"
                 "      by the table the order is REJECTED then, by the event it is CANCELLED\n");
}

static void answer__that_the_table_does_not_name_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_STOCK_FIRST);
    reaction_of(&b, EVENT_ORDER_PLACED, CONTEXT_INVENTORY)->answers[1] = EVENT_NONE;
    check_broken(
        &b, FLOW_TABLE,
        "    1  the order is placed, PENDING\n"
        "    2  Inventory hears OrderPlaced, no: InventoryReservationFailed\n"
        "      the table does not name InventoryReservationFailed as an answer of Inventory\n");
}

/* What no built-in context does: the world outside finds it. */
static void shipment__that_orders_never_hears_of_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_reaction(&b, EVENT_SHIPMENT_CREATED, CONTEXT_ORDERS);
    check_broken_in(&b, FLOW_WORLD_OUTSIDE, FLOW_GOODS,
                    "    1  the order is placed, AWAITING_PAYMENT\n"
                    "    2  Payments hears OrderPlaced, no: PaymentFailed\n"
                    "    3  Orders hears PaymentFailed: OrderPaymentFailed, AWAITING_PAYMENT -> "
                    "PAYMENT_FAILED\n"
                    "    4  unexpected: ShipmentCreated\n"
                    "      the order is PAYMENT_FAILED; shipment-2 is not cancelled\n");
}

static void word__of_the_other_flow_that_orders_does_not_know_is_found(void **state)
{
    struct broken_flow b;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_reaction(&b, EVENT_INVENTORY_RELEASED, CONTEXT_ORDERS);
    check_broken_in(&b, FLOW_WORLD_OUTSIDE, FLOW_STOCK,
                    "    1  the order is placed, AWAITING_PAYMENT\n"
                    "    2  Payments hears OrderPlaced, no: PaymentFailed\n"
                    "    3  Orders hears PaymentFailed: OrderPaymentFailed, AWAITING_PAYMENT -> "
                    "PAYMENT_FAILED\n"
                    "    4  unexpected: StockReserved\n"
                    "    5  Orders hears StockReserved: OrderReleaseRequested\n"
                    "    6  Inventory hears OrderReleaseRequested: InventoryReleased\n"
                    "      reservation-2 was released, and the order does not know\n");
}

static void check_unused(const struct flow_coverage *used, const struct flow *f,
                         enum flow_property p, const char *told)
{
    struct buf out = { 0 };

    assert_false(flow_coverage_holds(used, f, p));
    flow_coverage_tell(used, f, p, &out);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, told);
    buf_deinit(&out);
}

static void row__that_nothing_leads_to_is_found(void **state)
{
    struct flow_coverage used = { 0 };
    struct broken_flow b;
    struct flow_walk *w;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    add_row(&b, ORDER_REJECTED, ORDER_INPUT_CANCEL, ORDER_CANCELLED, EVENT_ORDER_CANCELLED);
    w = flow_walk_create(&b.flow, FLOW_WORLD_BUILT_IN, &used);
    flow_walk_run(w, 0, 0);
    check_unused(&used, &b.flow, FLOW_STATUSES, "      REJECTED is never reached\n");
    check_unused(&used, &b.flow, FLOW_ROWS,
                 "      REJECTED -> CANCELLED by cancel is never used\n");
    flow_walk_destroy(w);
}

/* No table can make this come about, so the state is made by hand. */
static void charge__that_comes_twice_is_found(void **state)
{
    struct flow_coverage used = { 0 };
    struct buf out = { 0 };
    struct world w;
    struct state s;

    (void)state;
    world_init(&w, flow_of(FLOW_PAY_FIRST), FLOW_WORLD_BUILT_IN, &used);
    world_begin(&w, &s);
    world_look(&w, &s, UINT32_MAX);
    assert_int_equal(w.faults, 0);
    s.charged[PAYMENT_OWN] = 2;
    s.reserved[PART_STRAY] = 1;
    s.released[PART_STRAY] = 1;
    s.taken[PART_STRAY] = 1;
    w.tell = &out;
    world_look(&w, &s, UINT32_MAX);
    assert_int_equal(w.faults, 1u << FLOW_ONCE);
    buf_add(&out, "", 1);
    assert_string_equal(
        out.p, "      payment-1 was charged 2 times, and given back 0 times\n"
               "      reservation-2 was reserved 1 times, released 1 times, taken 1 times\n");
    buf_deinit(&out);
    world_deinit(&w);
}

/* What an end must not be; by hand, as most of these need a fault in the decisions themselves. */
static void end__that_does_not_add_up_is_found(void **state)
{
    static const struct {
        enum order_status status;
        bool is_paid, has_stock, has_shipment; /* as the order says */
        uint8_t charged, refunded, reserved, released, taken;
        enum shipment_status shipment;
        enum flow_property p;
        const char *told;
    } cases[] = {
        { .status = ORDER_COMPLETED,
          .p = FLOW_MONEY,
          .told = "      the order is COMPLETED, and the money for it is not there\n" },
        { .status = ORDER_READY,
          .is_paid = true,
          .charged = 1,
          .refunded = 1,
          .p = FLOW_MONEY,
          .told = "      payment-1 was given back, and the order does not know\n"
                  "      the order is READY, and the money for it is not there\n" },
        { .status = ORDER_CANCELLED,
          .charged = 1,
          .p = FLOW_MONEY,
          .told =
              "      the order is CANCELLED; payment-1 was charged, and nobody asked it back\n" },
        { .status = ORDER_COMPLETED,
          .p = FLOW_STOCK,
          .told = "      the order is COMPLETED, and the stock for it is not there\n" },
        { .status = ORDER_COMPLETED,
          .has_stock = true,
          .reserved = 1,
          .p = FLOW_STOCK,
          .told =
              "      the order is COMPLETED; reservation-1 is still reserved, and nobody asked it "
              "back\n"
              "      the order is COMPLETED, and the stock for it is not there\n" },
        { .status = ORDER_READY,
          .has_stock = true,
          .reserved = 1,
          .released = 1,
          .p = FLOW_STOCK,
          .told = "      reservation-1 was released, and the order does not know\n"
                  "      the order is READY, and the stock for it is not there\n" },
        { .status = ORDER_SHIPPED,
          .has_stock = true,
          .has_shipment = true,
          .reserved = 1,
          .shipment = SHIPMENT_STATUS_DISPATCHED,
          .p = FLOW_STOCK,
          .told = "      shipment-1 has left, and its goods were not taken off hand\n" },
        { .status = ORDER_CANCELLED,
          .reserved = 1,
          .taken = 1,
          .p = FLOW_GOODS,
          .told = "      the goods were taken, and the order is CANCELLED\n" },
        { .status = ORDER_REJECTED,
          .shipment = SHIPMENT_STATUS_DELIVERED,
          .p = FLOW_GOODS,
          .told = "      shipment-1 has left, and the order is REJECTED\n" },
        { .status = ORDER_PAYMENT_FAILED,
          .shipment = SHIPMENT_STATUS_CREATED,
          .p = FLOW_GOODS,
          .told = "      the order is PAYMENT_FAILED; shipment-1 is not cancelled\n" },
        { .status = ORDER_DELIVERED,
          .has_shipment = true,
          .shipment = SHIPMENT_STATUS_DISPATCHED,
          .p = FLOW_GOODS,
          .told = "      the order is DELIVERED, and shipment-1 is DISPATCHED\n" },
        { .status = ORDER_SHIPPED,
          .has_shipment = true,
          .shipment = SHIPMENT_STATUS_DELIVERED,
          .p = FLOW_GOODS,
          .told = "      the order is SHIPPED, and shipment-1 is DELIVERED\n" },
        { .status = ORDER_PAID,
          .p = FLOW_STUCK,
          .told = "      the order is PAID, no message is under way, and no timer runs\n" },
        { .status = ORDER_CANCELLED,
          .charged = 1,
          .refunded = 2,
          .p = FLOW_ONCE,
          .told = "      payment-1 was charged 1 times, and given back 2 times\n" },
        { .status = ORDER_CANCELLED,
          .reserved = 1,
          .released = 2,
          .p = FLOW_ONCE,
          .told = "      reservation-1 was reserved 1 times, released 2 times, taken 0 times\n" },
    };
    struct flow_coverage used = { 0 };
    struct world w;

    (void)state;
    world_init(&w, flow_of(FLOW_PAY_FIRST), FLOW_WORLD_BUILT_IN, &used);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct shipment shipment = { .status = cases[i].shipment, .is_ours = true };
        struct buf out = { 0 };
        struct state s;

        world_begin(&w, &s);
        memset(s.n, 0, sizeof(s.n));
        s.status = (uint8_t)cases[i].status;
        s.own_payment = cases[i].is_paid;
        s.own_reservation = cases[i].has_stock;
        s.own_shipment = cases[i].has_shipment;
        s.charged[PAYMENT_OWN] = cases[i].charged;
        s.refunded[PAYMENT_OWN] = cases[i].refunded;
        s.reserved[PART_OWN] = cases[i].reserved;
        s.released[PART_OWN] = cases[i].released;
        s.taken[PART_OWN] = cases[i].taken;
        state_set_shipment(&s, PART_OWN, &shipment);
        w.tell = &out;
        world_look(&w, &s, 1u << cases[i].p);
        assert_true(w.faults & 1u << cases[i].p);
        buf_add(&out, "", 1);
        assert_string_equal(out.p, cases[i].told);
        buf_deinit(&out);
    }
    world_deinit(&w);
}

/* A payment that went back takes no money again: an approval of it would stand in the log and be of
 * nothing. No decision says so, so this state is made by hand, too. */
static void event__that_its_own_aggregate_passes_over_is_found(void **state)
{
    struct step step = { .kind = STEP_STRAY, .a = EVENT_PAYMENT_APPROVED };
    const struct payment refunded = { .status = PAYMENT_STATUS_REFUNDED };
    struct flow_coverage used = { 0 };
    struct world w;
    struct state s, next;

    (void)state;
    world_init(&w, flow_of(FLOW_PAY_FIRST), FLOW_WORLD_OUTSIDE, &used);
    world_begin(&w, &s);
    world_step(&w, &s, &step, &next);
    assert_int_equal(w.faults, 0);
    state_set_payment(&s, PAYMENT_STRAY, &refunded);
    world_step(&w, &s, &step, &next);
    assert_int_equal(w.faults, 1u << FLOW_TABLE);
    world_deinit(&w);
}

/* ---- the walk itself -------------------------------------------------------------------------- */

static void walk__says_when_it_was_not_whole(void **state)
{
    struct flow_coverage used = { 0 };
    struct flow_walk *w = flow_walk_create(flow_of(FLOW_PAY_FIRST), FLOW_WORLD_BUILT_IN, &used);
    struct buf out = { 0 };
    static const char end[] = "      there are more states than the walk has room for\n";

    (void)state;
    flow_walk_run(w, 1000, 0);
    assert_false(flow_walk_holds(w, FLOW_WHOLE));
    flow_walk_tell(w, FLOW_WHOLE, &out);
    assert_true(out.n > sizeof(end));
    assert_memory_equal(out.p + out.n - (sizeof(end) - 1), end, sizeof(end) - 1);
    buf_deinit(&out);
    flow_walk_destroy(w);
}

static void lane__without_room_makes_the_walk_not_whole(void **state)
{
    struct flow_coverage used = { 0 };
    struct said paid = { .type = EVENT_ORDER_PAID };
    struct event e;
    struct world w;
    struct state s;

    (void)state;
    world_init(&w, flow_of(FLOW_PAY_FIRST), FLOW_WORLD_BUILT_IN, &used);
    world_begin(&w, &s);
    world_event(&w, &paid, &e);
    for (unsigned i = 0; i < WORLD_LANE_MAX; i++)
        world_publish(&w, &s, &e);
    assert_int_equal(s.n[CONTEXT_INVENTORY], WORLD_LANE_MAX);
    assert_int_equal(w.faults, 0);
    world_publish(&w, &s, &e);
    assert_int_equal(s.n[CONTEXT_INVENTORY], WORLD_LANE_MAX);
    assert_int_equal(w.faults, 1u << FLOW_WHOLE);
    world_deinit(&w);
}

/* Whatever a state is, packing it and the order in hand keep all of it. */
static void state__is_the_same_after_a_round_trip(void **state)
{
    struct flow_coverage used = { 0 };
    struct world w;
    struct state s, other;
    uint8_t packed[WORLD_PACKED_MAX];
    struct step steps[WORLD_STEPS_MAX];

    (void)state;
    world_init(&w, flow_of(FLOW_STOCK_FIRST), FLOW_WORLD_OUTSIDE, &used);
    world_begin(&w, &s);
    for (unsigned i = 0; i < 200; i++) {
        unsigned n = world_steps(&w, &s, steps);
        struct state next;

        (void)world_pack(&s, packed);
        world_unpack(packed, &other);
        assert_memory_equal(&s, &other, sizeof(s));
        world_take_order(&w, &s);
        world_put_order(&w, &other);
        assert_memory_equal(&s, &other, sizeof(s));
        if (n == 0) { /* an end: begin again, on another way */
            world_begin(&w, &s);
            continue;
        }
        world_step(&w, &s, &steps[i * 7 % n], &next);
        s = next;
    }
    world_deinit(&w);
}

/* A flow so small that both walks are short: nothing can be paid, and nothing ends the waiting. */
static void report__is_one_line_for_each_property(void **state)
{
    struct broken_flow b;
    struct buf out = { 0 };
    unsigned n_ok = 0, n_not_ok = 0;
    const char *line;

    (void)state;
    copy_flow(&b, FLOW_PAY_FIRST);
    remove_row(&b, ORDER_AWAITING_PAYMENT, ORDER_INPUT_PAYMENT_APPROVED);
    remove_row(&b, ORDER_AWAITING_PAYMENT, ORDER_INPUT_MARK_PAID);
    remove_row(&b, ORDER_AWAITING_PAYMENT, ORDER_INPUT_PAYMENT_TIMEOUT);
    assert_false(flow_check(&b.flow, NULL, &out));
    buf_add(&out, "", 1);
    for (line = out.p; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        n_ok += strncmp(line, "  ok    ", 8) == 0;
        n_not_ok += strncmp(line, "  not ok", 8) == 0;
    }
    assert_int_equal(n_ok + n_not_ok, FLOW_PROPERTY_COUNT);
    assert_int_equal(n_not_ok, 3);
    assert_non_null(strstr(
        out.p, "  not ok  no order is stuck: it ended, rests, is timed, or a message is under "
               "way\n"
               "      contexts built in, messages in order:\n"
               "    1  the order is placed, AWAITING_PAYMENT\n"
               "    2  Payments hears OrderPlaced, waits: PaymentPending\n"));
    assert_non_null(strstr(out.p, "  not ok  every status of the table is reached\n"
                                  "      PAID is never reached\n"));
    assert_null(strstr(out.p, " s\n")); /* no clock, no times */
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flows__hold_in_every_interleaving),
        cmocka_unit_test(flows__hold_with_contexts_outside),
        cmocka_unit_test(order__that_nothing_moves_any_more_is_found),
        cmocka_unit_test(order__that_waits_without_a_timer_is_found),
        cmocka_unit_test(state__without_a_way_on_is_found),
        cmocka_unit_test(money__that_nobody_gives_back_is_found),
        cmocka_unit_test(money__that_nobody_asks_back_is_found),
        cmocka_unit_test(money__that_orders_never_hears_of_is_found),
        cmocka_unit_test(stock__that_nobody_releases_is_found),
        cmocka_unit_test(stock__that_left_and_is_still_on_hand_is_found),
        cmocka_unit_test(goods__of_a_cancelled_order_that_leave_are_found),
        cmocka_unit_test(shipment__that_nobody_cancels_is_found),
        cmocka_unit_test(event__that_leads_elsewhere_than_its_row_is_found),
        cmocka_unit_test(answer__that_the_table_does_not_name_is_found),
        cmocka_unit_test(shipment__that_orders_never_hears_of_is_found),
        cmocka_unit_test(word__of_the_other_flow_that_orders_does_not_know_is_found),
        cmocka_unit_test(row__that_nothing_leads_to_is_found),
        cmocka_unit_test(charge__that_comes_twice_is_found),
        cmocka_unit_test(end__that_does_not_add_up_is_found),
        cmocka_unit_test(event__that_its_own_aggregate_passes_over_is_found),
        cmocka_unit_test(walk__says_when_it_was_not_whole),
        cmocka_unit_test(lane__without_room_makes_the_walk_not_whole),
        cmocka_unit_test(state__is_the_same_after_a_round_trip),
        cmocka_unit_test(report__is_one_line_for_each_property),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

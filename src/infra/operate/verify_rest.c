/* One moment at the end: what follows from all events together. The events that came since the walk
 * along the log are added first, so that both speak of the same moment. */
#include "orderly/app/bus.h"
#include "orderly/app/settings_codec.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "verify_private.h"

/* ---- coming up to now ------------------------------------------------------------------------ */

/* One more event, if this moment shows one. */
static bool rest_next(struct verifier *vr)
{
    char key[ROW_KEY_POSITION];
    struct lmdb_row row;
    struct event e;
    const char *why;
    struct str k = row_key_position(key, vr->log_position + 1);

    if (!verifier_has(vr, lmdb_look_get(vr->look, DB_EVENTS, k, &row)))
        return false;
    if (verifier_event(vr, row.value, vr->log_position + 1, &e) != ERR_OK) {
        verifier_fault(vr, DB_EVENTS, k, "is no event that can be read");
        vr->has_bad_events = true;
        return false;
    }
    vr->log_position++;
    why = tally_event(&vr->tally, &e);
    if (why)
        verifier_fault(vr, DB_EVENTS, k, "%s", why);
    verify_type_of(vr, &e);
    return true;
}

/* Until a moment was not yet old when its last event was met. */
static bool rest_catch_up(struct verifier *vr)
{
    uint64_t before;

    do {
        if (!verify_types_renew(vr))
            return false;
        before = vr->log_position;
        while (rest_next(vr) && !lmdb_look_is_old(vr->look))
            ;
    } while (!vr->is_over && lmdb_look_is_old(vr->look) && vr->log_position > before);
    return !vr->is_over;
}

/* ---- products and stock ---------------------------------------------------------------------- */

static void check_stock_row(struct verifier *vr, const struct lmdb_scan *s)
{
    struct tally_stock *t = tally_find(&vr->tally, s->row.key);
    struct stock stock;
    uint64_t position;

    if (t)
        t->is_found = true;
    if (s->status != ERR_OK)
        return;
    if (!t)
        verifier_fault(vr, DB_STOCK, s->row.key, "no event stands behind it");
    else if (stock_decode(s->row.value, &stock, &position) != ERR_OK)
        verifier_fault(vr, DB_STOCK, s->row.key, "is no stock");
    else if (stock.on_hand != t->stock.on_hand || stock.reserved != t->stock.reserved)
        verifier_fault(vr, DB_STOCK, s->row.key,
                       "says %lld on hand and %lld reserved; its events say %lld and %lld",
                       (long long)stock.on_hand, (long long)stock.reserved,
                       (long long)t->stock.on_hand, (long long)t->stock.reserved);
    else if (position != t->position)
        verifier_fault(vr, DB_STOCK, s->row.key, "is of position %llu; its last event is %llu",
                       (unsigned long long)position, (unsigned long long)t->position);
}

static void stock_is_found(void *ctx, struct map_node *n)
{
    struct verifier *vr = ctx;
    struct tally_stock *t = container_of(n, struct tally_stock, node);

    vr->v->skus++;
    if (!t->is_found)
        verifier_fault(vr, DB_STOCK, sku_str(&t->sku), "is missing");
}

static void check_stock(struct verifier *vr)
{
    struct lmdb_scan s;

    lmdb_scan_begin(&s, vr->look, DB_STOCK, STR_NONE);
    for (; lmdb_scan_has_key(&s); lmdb_scan_next(&s))
        check_stock_row(vr, &s);
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
    if (!vr->is_over)
        map_each(&vr->tally.stock, stock_is_found, vr);
}

static void check_products(struct verifier *vr)
{
    struct lmdb_scan s;

    lmdb_scan_begin(&s, vr->look, DB_PRODUCTS, STR_NONE);
    for (; lmdb_scan_has_key(&s); lmdb_scan_next(&s)) {
        const struct tally_stock *t = tally_find(&vr->tally, s.row.key);

        if (!t || !t->is_product)
            verifier_fault(vr, DB_PRODUCTS, s.row.key, "no event stands behind it");
    }
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
}

/* ---- counts ---------------------------------------------------------------------------------- */

/* From where they were counted to here. */
static bool count_on(struct verifier *vr, struct order_counts *c)
{
    for (uint64_t at = c->position + 1; at <= vr->tally.last_position; at++) {
        char key[ROW_KEY_POSITION];
        struct lmdb_row row;
        struct event e;

        if (!verifier_has(vr,
                          lmdb_look_get(vr->look, DB_EVENTS, row_key_position(key, at), &row)) ||
            verifier_event(vr, row.value, at, &e) != ERR_OK)
            return false;
        order_counts_add(c, &e);
    }
    return true;
}

static void check_counts(struct verifier *vr)
{
    struct str key = STR(ORDER_COUNTS_META);
    struct order_counts c;
    struct lmdb_row row;

    if (!verifier_has(vr, lmdb_look_get(vr->look, DB_META, key, &row)))
        return; /* none yet */
    if (order_counts_decode(row.value, &c) != ERR_OK) {
        verifier_fault(vr, DB_META, key, "are no counts");
        return;
    }
    if (c.position > vr->tally.last_position) {
        verifier_fault(vr, DB_META, key, "are of position %llu, where the log does not reach",
                       (unsigned long long)c.position);
        return;
    }
    if (!count_on(vr, &c))
        return;
    for (unsigned f = FLOW_NONE; f < FLOW_COUNT; f++)
        for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++)
            if (c.orders[f][s] != vr->tally.counts.orders[f][s])
                verifier_fault(vr, DB_META, key, "%s " STR_FMT " is %lld and should be %lld",
                               f == FLOW_NONE ? "no flow" : flow_of((enum flow_id)f)->name,
                               STR_ARG(order_status_name((enum order_status)s)),
                               (long long)c.orders[f][s], (long long)vr->tally.counts.orders[f][s]);
}

static void check_letters_of(struct verifier *vr, enum subscription_id s)
{
    char bytes[sizeof(BUS_META_LETTERS)];
    struct str key = row_key_letters(bytes, s);
    struct lmdb_row row;
    enum err err = lmdb_look_get(vr->look, DB_META, key, &row);
    uint64_t sequence = 0;
    uint64_t open = 0;

    if (!verifier_has(vr, err) && err != ERR_NOT_FOUND)
        return;
    if (err == ERR_OK && row.value.n == 16) {
        sequence = bytes_get_u64(row.value.p);
        open = bytes_get_u64(row.value.p + 8);
    }
    if (sequence != vr->tally.sequences[s] || (int64_t)open != vr->tally.letters_open[s])
        verifier_fault(vr, DB_META, key, "says %llu open of %llu events; there are %lld of %llu",
                       (unsigned long long)open, (unsigned long long)sequence,
                       (long long)vr->tally.letters_open[s],
                       (unsigned long long)vr->tally.sequences[s]);
}

/* ---- cursors and settings -------------------------------------------------------------------- */

static void check_cursors(struct verifier *vr)
{
    struct lmdb_scan s;

    lmdb_scan_begin(&s, vr->look, DB_CURSORS, STR_NONE);
    for (; lmdb_scan_has_key(&s); lmdb_scan_next(&s)) {
        unsigned id = s.row.key.n == 1 ? (uint8_t)s.row.key.p[0] : 0;

        if (s.status != ERR_OK)
            continue;
        if (id == SUBSCRIPTION_NONE || id >= SUBSCRIPTION_COUNT || s.row.value.n != 8)
            verifier_fault(vr, DB_CURSORS, s.row.key, "is no cursor");
        else if (bytes_get_u64(s.row.value.p) > vr->log_position)
            verifier_fault(vr, DB_CURSORS, s.row.key, "is at %llu, where the log does not reach",
                           (unsigned long long)bytes_get_u64(s.row.value.p));
    }
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
}

static void check_settings(struct verifier *vr)
{
    struct simulators simulators = simulators_default;
    struct lmdb_scan s;

    lmdb_scan_begin(&s, vr->look, DB_SETTINGS, STR_NONE);
    for (; lmdb_scan_has_key(&s); lmdb_scan_next(&s)) {
        bool is_known = s.status == ERR_DAMAGED;

        for (unsigned i = 0; i < SIMULATOR_COUNT && !is_known; i++)
            is_known = str_eq(s.row.key, simulator_name((enum simulator)i)) &&
                       settings_decode(s.row.value, (enum simulator)i, &simulators) == ERR_OK;
        if (!is_known)
            verifier_fault(vr, DB_SETTINGS, s.row.key, "is no setting");
    }
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
}

void verify_rest(struct verifier *vr)
{
    if (!rest_catch_up(vr))
        return;
    check_cursors(vr);
    check_settings(vr);
    if (vr->has_bad_events) /* then these can't be told */
        return;
    verify_types_end(vr);
    check_products(vr);
    check_stock(vr);
    check_counts(vr);
    for (unsigned s = SUBSCRIPTION_NONE + 1; s < SUBSCRIPTION_COUNT && !vr->is_over; s++)
        check_letters_of(vr, (enum subscription_id)s);
}

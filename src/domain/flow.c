#include "flow_tables.h"
#include "orderly/base/check.h"

struct status_row {
    struct str name;
    bool is_final, is_at_rest;
};
static const struct status_row status_rows[ORDER_STATUS_COUNT] = {
#define X(name, final, rest) [ORDER_##name] = { { #name, sizeof(#name) - 1 }, final, rest },
    ORDER_STATUS_MAP(X)
#undef X
};

static const struct status_row *status_row(enum order_status s)
{
    REQUIRE((unsigned)s < ORDER_STATUS_COUNT);
    return &status_rows[s];
}

struct str order_status_name(enum order_status s)
{
    return status_row(s)->name;
}

bool order_status_is_final(enum order_status s)
{
    return status_row(s)->is_final;
}

bool order_status_is_at_rest(enum order_status s)
{
    return status_row(s)->is_at_rest;
}

bool order_status_parse(struct str text, enum order_status *out)
{
    for (unsigned s = ORDER_NONE + 1; s < ORDER_STATUS_COUNT; s++) {
        if (str_eq(status_rows[s].name, text)) {
            *out = (enum order_status)s;
            return true;
        }
    }
    return false;
}

const char *order_input_name(enum order_input i)
{
    static const char *const names[ORDER_INPUT_COUNT] = {
#define X(name, text) [ORDER_INPUT_##name] = text,
        ORDER_INPUT_MAP(X)
#undef X
    };

    REQUIRE((unsigned)i < ORDER_INPUT_COUNT);
    return names[i];
}

const struct flow *flow_of(enum flow_id id)
{
    static const struct flow *const flows[FLOW_COUNT] = {
        [FLOW_PAY_FIRST] = &flow_pay_first,
        [FLOW_STOCK_FIRST] = &flow_stock_first,
    };

    return (unsigned)id < FLOW_COUNT ? flows[id] : NULL;
}

bool flow_parse(struct str name, enum flow_id *out)
{
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        if (str_eq(str_of(flow_of((enum flow_id)id)->name), name)) {
            *out = (enum flow_id)id;
            return true;
        }
    }
    return false;
}

const struct flow_row *flow_find(const struct flow *f, enum order_status from,
                                 enum order_input input)
{
    for (unsigned i = 0; i < f->n_rows; i++) {
        if (f->rows[i].from == from && f->rows[i].input == input)
            return &f->rows[i];
    }
    return NULL;
}

bool flow_reaches(const struct flow *f, enum order_status from, enum order_input input)
{
    uint32_t reached = 1u << from, before;

    /* The rows are few and may stand in any order: go round until nothing new is found. */
    do {
        before = reached;
        for (unsigned i = 0; i < f->n_rows; i++) {
            if (reached & (1u << f->rows[i].from))
                reached |= 1u << f->rows[i].to;
        }
    } while (reached != before);
    for (unsigned i = 0; i < f->n_rows; i++) {
        if (f->rows[i].input == input && (reached & (1u << f->rows[i].from)))
            return true;
    }
    return false;
}

const struct flow_reaction *flow_reaction_of(const struct flow *f, uint16_t heard,
                                             enum context context)
{
    for (unsigned i = 0; i < f->n_reactions; i++) {
        if (f->reactions[i].heard == heard && f->reactions[i].context == context)
            return &f->reactions[i];
    }
    return NULL;
}

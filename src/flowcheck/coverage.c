/* What of a table the walks have used. */
#include "orderly/base/check.h"
#include "world.h"

static uint32_t statuses_of(const struct flow *f)
{
    uint32_t statuses = 1u << f->start;

    for (unsigned i = 0; i < f->n_rows; i++)
        statuses |= 1u << f->rows[i].from | 1u << f->rows[i].to;
    return statuses;
}

static uint64_t rows_of(const struct flow *f)
{
    return f->n_rows == 64 ? UINT64_MAX : (UINT64_C(1) << f->n_rows) - 1;
}

bool flow_coverage_holds(const struct flow_coverage *used, const struct flow *f,
                         enum flow_property p)
{
    REQUIRE(p == FLOW_STATUSES || p == FLOW_ROWS);
    if (p == FLOW_STATUSES)
        return !(statuses_of(f) & ~used->statuses);
    return !(rows_of(f) & ~used->rows);
}

void flow_coverage_tell(const struct flow_coverage *used, const struct flow *f,
                        enum flow_property p, struct buf *out)
{
    REQUIRE(p == FLOW_STATUSES || p == FLOW_ROWS);
    for (unsigned s = 0; p == FLOW_STATUSES && s < ORDER_STATUS_COUNT; s++)
        if (statuses_of(f) & ~used->statuses & 1u << s)
            buf_printf(out, "      " STR_FMT " is never reached\n",
                       STR_ARG(order_status_name((enum order_status)s)));
    for (unsigned i = 0; p == FLOW_ROWS && i < f->n_rows; i++) {
        const struct flow_row *row = &f->rows[i];

        if (!(used->rows & UINT64_C(1) << i))
            buf_printf(out, "      " STR_FMT " -> " STR_FMT " by %s is never used\n",
                       STR_ARG(order_status_name(row->from)), STR_ARG(order_status_name(row->to)),
                       order_input_name(row->input));
    }
}

unsigned flow_coverage_reactions(const struct flow_coverage *used, const struct flow *f,
                                 struct buf *unused)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->n_reactions; i++) {
        const struct flow_reaction *r = &f->reactions[i];
        uint64_t bit = UINT64_C(1) << i;

        n += (used->reactions & bit) != 0;
        if (!(used->reactions & bit))
            buf_printf(unused, "      unused: %s hears " STR_FMT "\n", context_name(r->context),
                       TYPE_ARG(r->heard));
        for (unsigned k = 0; k < FLOW_ANSWERS_MAX && r->answers[k]; k++)
            if (used->reactions & bit && !(used->answered[k] & bit))
                buf_printf(unused, "      unused: %s answers " STR_FMT " by " STR_FMT "\n",
                           context_name(r->context), TYPE_ARG(r->heard), TYPE_ARG(r->answers[k]));
    }
    return n;
}

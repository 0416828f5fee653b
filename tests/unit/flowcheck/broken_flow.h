/* A copy of a flow that can be spoiled: the tables are data. */
#ifndef ORDERLY_TESTS_UNIT_FLOWCHECK_BROKEN_FLOW_H
#define ORDERLY_TESTS_UNIT_FLOWCHECK_BROKEN_FLOW_H
#include "orderly/base/check.h"
#include "orderly/domain/event.h"
#include "orderly/flowcheck/flow_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIXTURE __attribute__((unused)) static

struct broken_flow {
    struct flow flow;
    struct flow_row rows[FLOW_ROWS_MAX];
    struct flow_reaction reactions[FLOW_REACTIONS_MAX];
};

FIXTURE void copy_flow(struct broken_flow *b, enum flow_id id)
{
    const struct flow *f = flow_of(id);

    assert_true(f->n_rows < FLOW_ROWS_MAX);
    assert_true(f->n_reactions <= FLOW_REACTIONS_MAX);
    b->flow = *f;
    memcpy(b->rows, f->rows, f->n_rows * sizeof(*f->rows));
    memcpy(b->reactions, f->reactions, f->n_reactions * sizeof(*f->reactions));
    b->flow.rows = b->rows;
    b->flow.reactions = b->reactions;
}

FIXTURE struct flow_row *row_of(struct broken_flow *b, enum order_status from,
                                enum order_input input)
{
    for (unsigned i = 0; i < b->flow.n_rows; i++)
        if (b->rows[i].from == from && b->rows[i].input == input)
            return &b->rows[i];
    fail_msg("the flow has no such row");
    return NULL;
}

FIXTURE void remove_row(struct broken_flow *b, enum order_status from, enum order_input input)
{
    struct flow_row *row = row_of(b, from, input);

    b->flow.n_rows--;
    memmove(row, row + 1, (size_t)(b->rows + b->flow.n_rows - row) * sizeof(*row));
}

FIXTURE void add_row(struct broken_flow *b, enum order_status from, enum order_input input,
                     enum order_status to, enum event_type event)
{
    b->rows[b->flow.n_rows++] =
        (struct flow_row){ .from = from, .input = input, .to = to, .event = (uint16_t)event };
}

FIXTURE struct flow_reaction *reaction_of(struct broken_flow *b, enum event_type heard,
                                          enum context context)
{
    for (unsigned i = 0; i < b->flow.n_reactions; i++)
        if (b->reactions[i].heard == heard && b->reactions[i].context == context)
            return &b->reactions[i];
    fail_msg("the flow has no such reaction");
    return NULL;
}

FIXTURE void remove_reaction(struct broken_flow *b, enum event_type heard, enum context context)
{
    struct flow_reaction *r = reaction_of(b, heard, context);

    b->flow.n_reactions--;
    memmove(r, r + 1, (size_t)(b->reactions + b->flow.n_reactions - r) * sizeof(*r));
}
#endif

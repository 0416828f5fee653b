#include "orderly/infra/virtual/payment_service.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include "orderly/domain/money.h"
#include "orderly/domain/payment.h"
#include <stdio.h>

void payment_service_init(struct payment_service *s, const struct map_key *key)
{
    map_init(&s->accounts, key);
}

static void free_account(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct payment_account, node));
}

void payment_service_deinit(struct payment_service *s)
{
    map_each(&s->accounts, free_account, NULL);
    map_deinit(&s->accounts);
}

static struct payment_account *account_of(struct payment_service *s, const struct event *e)
{
    struct map_node *n = map_find(&s->accounts, uuid_bytes(&e->p.order_id.u));
    struct payment_account *a;

    if (n)
        return container_of(n, struct payment_account, node);
    a = mem_zalloc(sizeof(*a));
    a->order = e->p.order_id;
    a->payment.t = text_id_of_word("payment", a->order.u);
    map_insert(&s->accounts, &a->node, uuid_bytes(&a->order.u));
    return a;
}

static bool says(struct payment_word *out, struct payment_account *a, const char *what,
                 enum event_type type)
{
    char order[UUID_TEXT_LEN];

    uuid_format(a->order.u, order);
    *out = (struct payment_word){ .account = a, .type = type };
    (void)snprintf(out->id, sizeof(out->id), "%s-%.*s", what, UUID_TEXT_LEN, order);
    return true;
}

static bool charge(struct payment_account *a, const struct event *e,
                   enum payment_service_choice choice, struct payment_word *out)
{
    bool pays_first = e->p.flow == FLOW_PAY_FIRST;
    bool is_asked = e->type == EVENT_ORDER_PAYMENT_REQUESTED;

    if (a->state != ACCOUNT_OPEN && !(a->state == ACCOUNT_WAITS && is_asked))
        return false;
    if (choice == PAYMENT_SERVICE_WAITS && !is_asked) {
        a->state = ACCOUNT_WAITS;
        return false;
    }
    if (choice == PAYMENT_SERVICE_DECLINES) {
        a->state = ACCOUNT_DECLINED;
        return says(out, a, "decline", pays_first ? EVENT_PAYMENT_DECLINED : EVENT_PAYMENT_FAILED);
    }
    a->state = ACCOUNT_CHARGED;
    a->amount = payment_amount_of(e);
    a->currency = e->p.currency;
    return says(out, a, "charge", pays_first ? EVENT_PAYMENT_APPROVED : EVENT_PAYMENT_PROCESSED);
}

bool payment_service_hear(struct payment_service *s, const struct event *e,
                          enum payment_service_choice choice, struct payment_word *out)
{
    const struct payment_id *which = NULL;
    struct payment_account *a;

    switch (e->type) {
    case EVENT_ORDER_PLACED:
        return e->p.flow == FLOW_PAY_FIRST && charge(account_of(s, e), e, choice, out);
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_PAYMENT_REQUESTED:
        return charge(account_of(s, e), e, choice, out);
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
    case EVENT_ORDER_REFUND_REQUESTED:
        break;
    default:
        return false;
    }
    if (payment_task_of(e, &which) != PAYMENT_TASK_REFUND)
        return false;
    a = account_of(s, e);
    if (a->state != ACCOUNT_CHARGED || !text_id_eq(&which->t, &a->payment.t))
        return false;
    a->state = ACCOUNT_REFUNDED;
    return says(out, a, "refund", EVENT_PAYMENT_REFUNDED);
}

void payment_word_body(const struct payment_word *word, struct buf *out)
{
    const struct payment_account *a = word->account;
    char order[UUID_TEXT_LEN], amount[MONEY_TEXT_MAX];

    uuid_format(a->order.u, order);
    buf_printf(out, "{\"messageId\":\"%s\",\"payload\":{\"orderId\":\"%.*s\",", word->id,
               UUID_TEXT_LEN, order);
    if (word->type == EVENT_PAYMENT_DECLINED || word->type == EVENT_PAYMENT_FAILED)
        buf_printf(out, "\"reason\":\"no funds\"}}");
    else
        buf_printf(out, "\"paymentId\":\"" STR_FMT "\",\"amount\":%.*s,\"currency\":\"%s\"}}",
                   STR_ARG(text_id_str(&a->payment.t)),
                   (int)money_to_text(a->amount, a->currency, amount), amount, a->currency.code);
}

void payment_nonsense(unsigned kind, unsigned n, char id[PAYMENT_WORD_ID_MAX], struct str *topic,
                      struct buf *body)
{
    static const struct {
        struct str before, after, topic;
    } kinds[PAYMENT_NONSENSE_KINDS] = {
        { STR("{\""), STR("\""), STR("payment.approved") },
        { STR("[\""), STR("\"]"), STR("payment.approved") },
        { STR("{\"messageId\":\""), STR("\"}"), STR("payment.approved") },
        { STR("\xff"), STR(""), STR("payment.approved") },
        { STR("{\"messageId\":\""), STR("\",\"payload\":{}}"), STR("payment.eaten") },
    };

    REQUIRE(kind < PAYMENT_NONSENSE_KINDS);
    (void)snprintf(id, PAYMENT_WORD_ID_MAX, "nonsense-%u", n);
    *topic = kinds[kind].topic;
    buf_add_str(body, kinds[kind].before);
    buf_add_str(body, str_of(id));
    buf_add_str(body, kinds[kind].after);
}

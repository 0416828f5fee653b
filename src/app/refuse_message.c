/* A message from outside that can't be received: not readable, of an unknown topic, without what it
 * has to have, too large, or with an id that another message has. It becomes a dead letter of the road
 * that it came by, with its bytes:
 *
 *     MessageRefused     what was said, byte by byte, and what is wrong with it
 *     DeadLettered       caused by it; open, parks nothing
 *
 * Both, and the rows of the letter, are one append; so when done runs, the broker may forget it. It
 * lies in a lane of its own, the letter's id: it is no order's, as far as anybody can tell. The same
 * message refused again, after a crash before the broker heard of the first time, is answered from
 * the idempotency table. */
#include "app_private.h"
#include "bus_private.h"
#include "orderly/app/dead_letters.h"

static struct subscription *refuse_subscription(const struct refuse_message *m)
{
    return app_letters_of(m->command.app, m->subscription);
}

/* The sender's id, where it can be one. */
static struct str refuse_message_id(const struct refuse_message *m)
{
    struct text_id id;

    return text_id_parse(m->message_id, &id) ? m->message_id : STR_NONE;
}

static void refuse_tell(const struct refuse_message *m)
{
    char letter_id[UUID_TEXT_LEN], message_id[UUID_TEXT_LEN];
    struct log_field fields[] = {
        { "deadLetterId", { letter_id, sizeof(letter_id) } },
        { "subscription", subscription_name(m->subscription) },
        { "messageId", message_id_said(refuse_message_id(m), m->letter.message_id, message_id) },
        { "errorCode", failure_code_text(m->code) },
        { "errorDetail", m->detail },
    };

    uuid_format(m->letter.id.u, letter_id);
    log_write(m->command.app->logger, LOG_ERROR, "message_refused", fields, ARRAY_LEN(fields));
}

static void refuse_applied(struct command *c, enum err status)
{
    struct refuse_message *m = container_of(c, struct refuse_message, command);
    struct subscription *s = refuse_subscription(m);
    struct bus *b = &c->app->bus;

    b->n_letters_in_writes--;
    if (status == ERR_OK) {
        b->n_dead_letters_open++;
        c->app->metrics.dead_letters_open[m->subscription]++;
        refuse_tell(m);
        return;
    }
    /* Nothing behind it was written either; each gives back its own, in any order. */
    if (m->first_sequence <= s->sequence)
        s->sequence = m->first_sequence - 1;
    s->n_letters--;
}

/* What was said, and what is wrong with it; returns its id. */
static struct event_id refuse_append_message(struct refuse_message *m)
{
    struct subscription *s = refuse_subscription(m);
    struct event e = {
        .type = EVENT_MESSAGE_REFUSED,
        .lane = m->letter.lane,
        .message_id = refuse_message_id(m),
        .p = {
            .error_code = m->letter.error_code,
            .error_detail = m->detail,
            .said_topic = m->topic,
            .said_id = m->message_id,
            .said_type = m->content_type,
            .said_attributes = m->attributes,
            .said_body = m->body,
        },
    };

    s->sequence++;
    m->first_sequence = s->sequence;
    command_event(&m->command, &e);
    letter_append_event(&m->command.append, s, &e);
    m->letter.position = e.position;
    return e.id;
}

static void refuse_append(struct refuse_message *m)
{
    struct command *c = &m->command;
    struct subscription *s = refuse_subscription(m);
    struct reply r = { .code = REPLY_ACCEPTED };
    enum err err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    m->letter.id.u = event_log_new_uuid(&c->app->log);
    m->letter.lane.u = m->letter.id.u;
    m->letter.message_id = refuse_append_message(m);
    m->letter.first_failed_at_ms = m->letter.last_failed_at_ms =
        scheduler_wall_ms(c->app->scheduler);
    s->sequence++;
    s->n_letters++;
    c->app->bus.n_letters_in_writes++;
    letter_append_new(&c->append, s, &m->letter, &(struct payload){ .flow = FLOW_NONE });
    r.message_id = m->message_id;
    r.position = m->letter.position;
    command_submit(c, &r, refuse_applied);
}

static void refuse_enter(struct command *c)
{
    struct refuse_message *m = container_of(c, struct refuse_message, command);
    struct bus *b = &c->app->bus;
    struct reply r = { .code = REPLY_OVERLOADED,
                       .detail = STR("Too many dead letters are open."),
                       .retry_after_s = 60 };

    if (b->n_dead_letters_open + b->n_letters_in_writes >= b->dead_letters_max) {
        c->app->metrics.refused[REFUSED_DEAD_LETTERS]++;
        command_reply(c, &r);
        return;
    }
    m->letter = (struct dead_letter){ .subscription = m->subscription,
                                      .state = DEAD_LETTER_OPEN,
                                      .type = EVENT_MESSAGE_REFUSED,
                                      .attempts = 1,
                                      .error_code = failure_code_text(m->code),
                                      .error_detail = m->detail };
    refuse_append(m);
}

static void refuse_run(struct command *c)
{
    door_enter(c, refuse_enter);
}

void refuse_message_start(struct refuse_message *m)
{
    struct command *c = &m->command;
    struct str parts[] = { STR("refused"),  subscription_name(m->subscription),
                           m->topic,        m->message_id,
                           m->content_type, m->attributes,
                           m->body };

    REQUIRE(failure_is_permanent(m->code));
    /* All that was said: the same again is the same letter, and anything else is another one. */
    digest16_of(&c->key, parts, ARRAY_LEN(parts));
    c->request = c->key;
    c->has_key = true;
    command_start(c, refuse_run);
}

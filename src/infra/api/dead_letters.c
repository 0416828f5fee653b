/* /dead-letters: what an operator does about them. */
#include "commands.h"
#include "handlers.h"
#include "letter_filter.h"
#include "orderly/infra/inbound/payload_in.h"

#define REASON_MAX 500

static bool letter_id_of(struct call *c, struct dead_letter_id *id)
{
    if (uuid_parse(c->params[0], &id->u))
        return true;
    call_not_found(c, "dead letter");
    return false;
}

/* ---- retry ----------------------------------------------------------------------------------- */

struct retry_in {
    struct yyjson_val *payload;
};
static const struct json_field retry_fields[] = {
    { "payload", .kind = JSON_ANY, .offset = offsetof(struct retry_in, payload) },
};
static const struct json_shape retry_shape = JSON_SHAPE(struct retry_in, retry_fields);

/* Only now its topic is known. */
static bool retry_read_payload(struct dead_letter_command *dc, struct reply *r)
{
    struct command_call *cc = container_of(dc, struct command_call, u.dead_letter);
    struct json_path at = { NULL, STR("payload"), 0 };

    payload_in_read(&cc->in, cc->payload, &at, dc->receive.type, &dc->receive.payload);
    r->faults = cc->in.faults;
    r->n_faults = cc->in.n_faults;
    return cc->in.n_faults == 0;
}

void dead_letters_retry(struct call *c)
{
    struct retry_in in;
    struct dead_letter_id id;
    struct dead_letter_command *retry;
    struct command_call *cc;

    if (!letter_id_of(c, &id))
        return;
    cc = command_open(c, &retry_shape, &in, COMMAND_BODY_OPTIONAL);
    if (!cc || command_is_refused(cc))
        return;
    retry = &cc->u.dead_letter;
    retry->id = id;
    retry->has_payload = in.payload != NULL;
    if (in.payload) {
        cc->payload = in.payload;
        retry->receive.raw_payload = json_in_text(&cc->in, in.payload);
        retry->read_payload = retry_read_payload;
    }
    dead_letter_command_start(retry);
}

/* ---- discard --------------------------------------------------------------------------------- */

struct discard_in {
    struct json_text reason;
    struct json_int force;
};
static const struct json_field discard_fields[] = {
    { "reason", .kind = JSON_TEXT, .is_required = true,
      .offset = offsetof(struct discard_in, reason), .min = 1, .max = REASON_MAX },
    { "force", .kind = JSON_BOOL, .offset = offsetof(struct discard_in, force) },
};
static const struct json_shape discard_shape = JSON_SHAPE(struct discard_in, discard_fields);

void dead_letters_discard(struct call *c)
{
    struct discard_in in;
    struct dead_letter_id id;
    struct command_call *cc;

    if (!letter_id_of(c, &id))
        return;
    cc = command_open(c, &discard_shape, &in, COMMAND_BODY_NEEDED);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.dead_letter.id = id;
    cc->u.dead_letter.is_discard = true;
    cc->u.dead_letter.reason = in.reason.text;
    cc->u.dead_letter.is_forced = in.force.value != 0;
    dead_letter_command_start(&cc->u.dead_letter);
}

/* ---- retry of many --------------------------------------------------------------------------- */

struct filter_in {
    bool is_set;
    struct json_text members[LETTER_FILTER_MEMBERS];
};
#define MEMBER(i) offsetof(struct filter_in, members) + (i) * sizeof(struct json_text)
static const struct json_field filter_fields[LETTER_FILTER_MEMBERS] = {
    { "subscription", .kind = JSON_TEXT, .offset = MEMBER(LETTER_FILTER_SUBSCRIPTION), .max = 64 },
    { "orderId", .kind = JSON_TEXT, .offset = MEMBER(LETTER_FILTER_ORDER_ID), .max = 64 },
    { "topic", .kind = JSON_TEXT, .offset = MEMBER(LETTER_FILTER_TOPIC), .max = 64 },
    { "code", .kind = JSON_TEXT, .offset = MEMBER(LETTER_FILTER_CODE), .max = 64 },
    { "state", .kind = JSON_TEXT, .offset = MEMBER(LETTER_FILTER_STATE), .max = 64 },
};
static const struct json_shape filter_shape = JSON_SHAPE(struct filter_in, filter_fields);

struct bulk_in {
    struct filter_in filter;
    struct json_int dry_run, per_second;
};
static const struct json_field bulk_fields[] = {
    { "filter", .kind = JSON_OBJECT, .is_required = true,
      .offset = offsetof(struct bulk_in, filter), .shape = &filter_shape },
    { "dryRun", .kind = JSON_BOOL, .offset = offsetof(struct bulk_in, dry_run) },
    { "perSecond", .kind = JSON_INT, .offset = offsetof(struct bulk_in, per_second), .min = 1,
      .max = BULK_PER_SECOND_MAX },
};
static const struct json_shape bulk_shape = JSON_SHAPE(struct bulk_in, bulk_fields);

static void bulk_read_filter(struct command_call *cc, const struct filter_in *in,
                             struct dead_letter_filter *f)
{
    static const unsigned open_states = 1u << DEAD_LETTER_PARKED | 1u << DEAD_LETTER_OPEN;
    struct json_path filter = { NULL, STR("filter"), 0 };

    for (unsigned i = 0; i < LETTER_FILTER_MEMBERS; i++) {
        enum letter_filter_member member = (enum letter_filter_member)i;
        struct json_path at = { &filter, str_of(letter_filter_name(member)), 0 };
        const char *fault =
            in->members[i].is_set ? letter_filter_set(f, member, in->members[i].text) : NULL;

        if (!fault && member == LETTER_FILTER_STATE && f->states & ~open_states)
            fault = "must be parked or open: the others are done with";
        if (fault)
            json_in_fault(&cc->in, &at, "%s", fault);
    }
    if (!f->states)
        f->states = open_states;
}

void dead_letters_retry_many(struct call *c)
{
    struct bulk_in in;
    struct command_call *cc = command_open(c, &bulk_shape, &in, COMMAND_BODY_NEEDED);
    struct bulk_retry *bulk;

    if (!cc)
        return;
    bulk = &cc->u.bulk_retry;
    bulk_read_filter(cc, &in.filter, &bulk->filter);
    if (command_is_refused(cc))
        return;
    bulk->is_dry_run = in.dry_run.value != 0;
    bulk->per_second =
        in.per_second.is_set ? (unsigned)in.per_second.value : BULK_PER_SECOND_DEFAULT;
    bulk_retry_start(bulk);
}

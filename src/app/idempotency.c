#include "orderly/app/idempotency.h"
#include "orderly/app/app.h"
#include "orderly/base/buf.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define SHARD_PLACES_MIN 64u

void idempotency_init(struct idempotency *i, const struct map_key *key, unsigned len_max)
{
    *i = (struct idempotency){ .hash_key = *key, .len_max = len_max };
    map_init(&i->in_flight, key);
}

void idempotency_deinit(struct idempotency *i)
{
    map_deinit(&i->in_flight);
    for (unsigned s = 0; s < IDEMPOTENCY_SHARDS; s++)
        mem_free(i->shards[s].places);
}

static uint64_t idempotency_fingerprint(const struct idempotency *i, const struct digest16 *key)
{
    uint64_t f = siphash(&i->hash_key, (struct str){ (const char *)key->b, sizeof(key->b) });

    return f ? f : 1;
}

/* The shard is chosen by the high bits, the place by the low ones. */
static struct idempotency_shard *idempotency_shard_of(struct idempotency *i, uint64_t f)
{
    return &i->shards[f >> 56];
}

static void shard_put(struct idempotency_shard *s, uint64_t f)
{
    unsigned at = (unsigned)f & s->mask;

    while (s->places[at])
        at = (at + 1) & s->mask;
    s->places[at] = f;
}

/* Doubles one of 256 shards at a time, so no single call moves more than a 256th of the keys. */
static void shard_grow(struct idempotency_shard *s)
{
    uint64_t *old = s->places;
    unsigned n_old = old ? s->mask + 1 : 0, n = n_old ? 2 * n_old : SHARD_PLACES_MIN;

    s->places = mem_zalloc(n * sizeof(*s->places));
    s->mask = n - 1;
    for (unsigned k = 0; k < n_old; k++)
        if (old[k])
            shard_put(s, old[k]);
    mem_free(old);
}

void idempotency_add(struct idempotency *i, const struct digest16 *key)
{
    uint64_t f = idempotency_fingerprint(i, key);
    struct idempotency_shard *s = idempotency_shard_of(i, f);

    if (!s->places || 4 * (s->len + 1) > 3 * (s->mask + 1))
        shard_grow(s);
    shard_put(s, f);
    s->len++;
}

static bool shard_find(const struct idempotency_shard *s, uint64_t f, unsigned *where)
{
    unsigned at = (unsigned)f & s->mask;

    if (!s->places)
        return false;
    while (s->places[at] && s->places[at] != f)
        at = (at + 1) & s->mask;
    *where = at;
    return s->places[at] == f;
}

bool idempotency_may_hold(const struct idempotency *i, const struct digest16 *key)
{
    uint64_t f = idempotency_fingerprint(i, key);
    unsigned where;

    return shard_find(&i->shards[f >> 56], f, &where);
}

unsigned idempotency_count(const struct idempotency *i, const struct digest16 *key)
{
    uint64_t f = idempotency_fingerprint(i, key);
    const struct idempotency_shard *s = &i->shards[f >> 56];
    unsigned n = 0;

    if (!s->places)
        return 0;
    for (unsigned at = (unsigned)f & s->mask; s->places[at]; at = (at + 1) & s->mask)
        n += s->places[at] == f;
    return n;
}

/* Moves later entries of the run back over the hole, so that no tombstones are needed. */
static void shard_take(struct idempotency_shard *s, unsigned hole)
{
    unsigned at = hole;

    for (;;) {
        s->places[hole] = 0;
        for (;;) {
            unsigned home;

            at = (at + 1) & s->mask;
            if (!s->places[at])
                return;
            home = (unsigned)s->places[at] & s->mask;
            /* It may move if its home is not between the hole and it (cyclically). */
            if (((at - home) & s->mask) >= ((at - hole) & s->mask))
                break;
        }
        s->places[hole] = s->places[at];
        hole = at;
    }
}

void idempotency_remove(struct idempotency *i, const struct digest16 *key)
{
    uint64_t f = idempotency_fingerprint(i, key);
    struct idempotency_shard *s = idempotency_shard_of(i, f);
    unsigned where;

    if (!shard_find(s, f, &where))
        return;
    shard_take(s, where);
    s->len--;
    i->len--;
}

/* ---- rows ------------------------------------------------------------------------------------ */

#define STORED_ANSWER_FORMAT 1

static void put_text(struct buf *out, struct str s)
{
    bytes_put_u32(buf_reserve(out, 4), (uint32_t)s.n);
    out->n += 4;
    buf_add_str(out, s);
}

void stored_answer_encode(const struct stored_answer *s, struct buf *out)
{
    char head[1 + 16 + 8 + 4];

    head[0] = STORED_ANSWER_FORMAT;
    memcpy(head + 1, s->request.b, 16);
    bytes_put_u64(head + 17, (uint64_t)s->expires_ms);
    bytes_put_u32(head + 25, (uint32_t)s->answer.status);
    buf_add(out, head, sizeof(head));
    put_text(out, s->answer.content_type);
    put_text(out, s->answer.location);
    put_text(out, s->answer.etag);
    put_text(out, s->answer.body);
}

enum err stored_answer_decode(struct str row, struct stored_answer *out)
{
    struct bytes_reader r = bytes_reader_of(row);
    uint8_t format = bytes_read_u8(&r);
    const uint8_t *request = bytes_read(&r, 16);

    *out = (struct stored_answer){ 0 };
    if (request)
        memcpy(out->request.b, request, 16);
    out->expires_ms = (int64_t)bytes_read_u64(&r);
    out->answer.status = (int)bytes_read_u32(&r);
    out->answer.content_type = bytes_read_str(&r);
    out->answer.location = bytes_read_str(&r);
    out->answer.etag = bytes_read_str(&r);
    out->answer.body = bytes_read_str(&r);
    return r.bad || r.at != r.end || format != STORED_ANSWER_FORMAT ? ERR_DAMAGED : ERR_OK;
}

void stored_answer_put(struct append *a, const struct digest16 *key, const struct digest16 *request,
                       const struct answer *answer, int64_t now_ms)
{
    struct stored_answer s = { .request = *request,
                               .expires_ms = now_ms + IDEMPOTENCY_KEEP_MS,
                               .answer = *answer };
    struct str k = { (const char *)key->b, sizeof(key->b) };
    struct buf row = { 0 };
    char expiry[8 + sizeof(key->b)];

    stored_answer_encode(&s, &row);
    bytes_put_u64(expiry, (uint64_t)s.expires_ms);
    memcpy(expiry + 8, key->b, sizeof(key->b));
    append_put(a, DB_IDEMPOTENCY, k, buf_str(&row));
    append_put(a, DB_IDEMPOTENCY_EXPIRY, (struct str){ expiry, sizeof(expiry) }, STR_NONE);
    buf_deinit(&row);
}

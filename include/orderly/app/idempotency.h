/* Idempotency keys: which requests were answered in the last 24 hours, and with what.
 *
 * The rows are in the store. In memory there is a set of fingerprints, so that a new key costs no
 * read; only a hit reads the row. Never evicted early; at most keys_max. Thread: loop. */
#ifndef ORDERLY_APP_IDEMPOTENCY_H
#define ORDERLY_APP_IDEMPOTENCY_H
#include "orderly/app/command.h"
#include "orderly/base/map.h"

#define IDEMPOTENCY_SHARDS 256
#define IDEMPOTENCY_SWEEP_MAX 256

struct idempotency_shard { /* open addressing; 0 is an empty place */
    uint64_t *places;
    unsigned len, mask;
};

struct idempotency {
    struct map in_flight; /* command.key_node, by key digest */
    struct map_key hash_key;
    struct idempotency_shard shards[IDEMPOTENCY_SHARDS];
    unsigned len, len_max; /* entries, those in flight included */
};

void idempotency_init(struct idempotency *i, const struct map_key *key, unsigned len_max);
void idempotency_deinit(struct idempotency *i);

/* The set holds one entry per stored key; two keys with one fingerprint are two entries. */
void idempotency_add(struct idempotency *i, const struct digest16 *key);
void idempotency_remove(struct idempotency *i, const struct digest16 *key);
bool idempotency_may_hold(const struct idempotency *i, const struct digest16 *key);
/* Two where a key was stored again and the row of its first time is not swept yet. */
unsigned idempotency_count(const struct idempotency *i, const struct digest16 *key);

/* A stored answer as a row. */
struct stored_answer {
    struct digest16 request;
    int64_t expires_ms; /* wall clock */
    struct answer answer;
};
struct append;
/* The rows of an answer that is kept for IDEMPOTENCY_KEEP_MS from now on. */
void stored_answer_put(struct append *a, const struct digest16 *key, const struct digest16 *request,
                       const struct answer *answer, int64_t now_ms);
struct buf;
void stored_answer_encode(const struct stored_answer *s, struct buf *out);
/* Views into the row. */
MUST_CHECK enum err stored_answer_decode(struct str row, struct stored_answer *out);
#endif

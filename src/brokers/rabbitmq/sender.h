/* Publishing, with the broker's confirms.
 *
 * Messages are numbered from 1 on each channel, by the broker as by us. It confirms them in any order,
 * also many at once; a message that went to no queue comes back before its confirm. */
#ifndef ORDERLY_BROKERS_RABBITMQ_SENDER_H
#define ORDERLY_BROKERS_RABBITMQ_SENDER_H
#include "link.h"
#include "orderly/base/arena.h"

#define SENDER_FORBIDDEN_MAX 16
#define SENDER_LEARNT_MS 60000

struct sender_slot;

struct sender {
    struct link link;
    const struct broker_config *config;
    struct broker_host *host;
    char *why;
    struct arena scratch;
    /* Numbers first..next-1 were given and not all confirmed; each has slots[number & mask]. */
    struct sender_slot *slots;
    uint64_t mask, first, next;
    unsigned n_air;
    uint64_t returned; /* where the owner of the next message that comes back is looked for first */
    uint64_t skip;     /* bytes of a returned body that are still to come */
    bool in_return;    /* a message that comes back has begun; its header is next */
    bool is_blocked;   /* as the host was told */
    /* Learnt from the broker when it closed the channel over a message. It does not say such things
     * of a message but by ending all of them, so the same message must not be sent again; but
     * for a while only, since limits are raised and rights are granted. */
    uint64_t body_max; /* 0: none is known */
    int64_t body_max_until_ms;
    struct sender_forbidden {
        char topic[SHORT_STRING_MAX + 1];
        int64_t until_ms;
    } forbidden[SENDER_FORBIDDEN_MAX];
};

void sender_init(struct sender *s, const struct broker_config *config, struct broker_host *host,
                 char *why);
void sender_deinit(struct sender *s);
/* After link_open: exchange and confirms. */
bool sender_begin(struct sender *s, int64_t deadline_ms);
enum broker_result sender_publish(struct sender *s, const struct broker_message *m);
/* Tells the host what has come. False: lost. *n: frames that were read; frames_max at most. */
bool sender_serve(struct sender *s, unsigned frames_max, unsigned *n);
#endif

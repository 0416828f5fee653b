/* What was received and not acked, by partition: Kafka remembers one place in each, so a partition's
 * place moves when the oldest of it is acked, over all behind it that are acked, too.
 *
 * Holds a bounded count of messages: those that wait for their ack, and acked ones behind them. A
 * message that waits long keeps at most that many from being forgotten by the group. What waits when
 * its partition goes to somebody else still counts until it is acked, because whoever was told of it
 * still has it: a group that moves its partitions about fills nobody's memory. */
#ifndef ORDERLY_BROKERS_KAFKA_HELD_H
#define ORDERLY_BROKERS_KAFKA_HELD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct held_message;

struct held_partition {
    int32_t id;
    bool is_assigned;
    uint32_t first, last; /* of its messages, oldest first; HELD_NONE */
    int64_t place;        /* the offset after all that is done; -1: nothing of it is done here */
    int64_t committed;    /* the place that the broker was told last; -1: none */
};

struct held {
    struct held_message *messages;
    uint32_t max, free; /* free: list of slots */
    unsigned n_unacked, unacked_max;
    uint64_t next_handle;
    struct held_partition *partitions;
    size_t n_partitions;
};

#define HELD_NONE UINT32_MAX

void held_init(struct held *h, unsigned unacked_max);
void held_deinit(struct held *h);
/* All partitions are void; handles stay unique. */
void held_clear(struct held *h);

void held_assign(struct held *h, int32_t partition);
/* Its messages are for whoever has it next; an ack of one only makes room from now on. */
void held_revoke(struct held *h, int32_t partition);

/* Whether one more may be received: both bounds have room. */
bool held_has_room(const struct held *h);
/* A handle for a message of an assigned partition; 0: it is not assigned. */
uint64_t held_add(struct held *h, int32_t partition, int64_t offset);
/* A message that nobody waits for: done when those before it are. */
void held_pass(struct held *h, int32_t partition, int64_t offset);
/* False: there is no such message. */
bool held_ack(struct held *h, uint64_t handle);
#endif

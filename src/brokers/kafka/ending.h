/* The end of librdkafka's clients. A thread of it may be in a name server's hands, which nothing can
 * interrupt, and the library waits for its threads; so each client ends on a thread of its own, and
 * where that takes too long it is left to itself. */
#ifndef ORDERLY_BROKERS_KAFKA_ENDING_H
#define ORDERLY_BROKERS_KAFKA_ENDING_H
#include <librdkafka/rdkafka.h>
#include <stdint.h>

/* Clients that were left and have not ended; no more are begun beyond it. */
#define ENDING_MAX 16

/* rk rings nobody from here on: who goes on alone would write to a descriptor that is closed, or by then
 * another file's. Nothing rings on any thread when it returns. */
void ending_hush(rd_kafka_t *rk);
/* No callback of rk is called from here on, and it is hushed. Waits until it has ended, or until the
 * deadline. */
void ending_begin(rd_kafka_t *rk, int flags, int64_t deadline_ms);
unsigned ending_count(void);
#endif

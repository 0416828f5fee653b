/* Why something failed, for people: one line, whatever the broker has written into it. */
#ifndef ORDERLY_BROKERS_KAFKA_REASON_H
#define ORDERLY_BROKERS_KAFKA_REASON_H

/* why: BROKER_WHY_MAX. */
void reason_write(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif

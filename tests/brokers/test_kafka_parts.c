/* Parts of the adapter for Kafka that need no broker: what is held until it is acked, what librdkafka
 * is told of our options, and what becomes of its words. */
#include "ending.h"
#include "held.h"
#include "reason.h"
#include "settings.h"
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000

static int64_t place_of(const struct held *h, int32_t partition)
{
    for (size_t i = 0; i < h->n_partitions; i++)
        if (h->partitions[i].id == partition)
            return h->partitions[i].place;
    return -2;
}

static void held__has_room_for_as_many_as_may_wait_and_no_more(void **state)
{
    struct held h;
    uint64_t handles[3];

    (void)state;
    held_init(&h, 3);
    held_assign(&h, 7);
    for (int i = 0; i < 3; i++) {
        assert_true(held_has_room(&h));
        handles[i] = held_add(&h, 7, i);
        assert_int_not_equal(handles[i], 0);
    }
    assert_false(held_has_room(&h));
    assert_true(held_ack(&h, handles[1]));
    assert_int_equal(place_of(&h, 7), -1);
    assert_true(held_has_room(&h));
    assert_true(held_ack(&h, handles[0]));
    assert_int_equal(place_of(&h, 7), 2);
    assert_false(held_ack(&h, handles[0]));
    assert_int_equal(held_add(&h, 8, 0), 0); /* not ours */
    held_deinit(&h);
}

static void held__counts_what_moved_away_until_it_is_acked(void **state)
{
    struct held h;
    uint64_t old[2], again;

    (void)state;
    held_init(&h, 2);
    held_assign(&h, 0);
    old[0] = held_add(&h, 0, 10);
    old[1] = held_add(&h, 0, 11);
    for (int i = 0; i < 5; i++) { /* however often it moves */
        held_revoke(&h, 0);
        held_assign(&h, 0);
        assert_false(held_has_room(&h));
    }
    assert_int_equal(place_of(&h, 0), -1);
    assert_true(held_ack(&h, old[1]));
    assert_true(held_has_room(&h));
    again = held_add(&h, 0, 10);
    assert_false(held_has_room(&h));
    /* The ack of one that moved says nothing of the partition's place. */
    assert_true(held_ack(&h, old[0]));
    assert_false(held_ack(&h, old[0]));
    assert_int_equal(place_of(&h, 0), -1);
    assert_true(held_ack(&h, again));
    assert_int_equal(place_of(&h, 0), 11);
    held_deinit(&h);
}

static void held__passes_what_nobody_wants_behind_what_is_before_it(void **state)
{
    struct held h;
    uint64_t first;

    (void)state;
    held_init(&h, 1);
    held_assign(&h, 3);
    held_pass(&h, 3, 0);
    assert_int_equal(place_of(&h, 3), 1);
    first = held_add(&h, 3, 1);
    held_pass(&h, 3, 2);
    held_pass(&h, 3, 9);
    assert_int_equal(place_of(&h, 3), 1);
    assert_true(held_ack(&h, first));
    assert_int_equal(place_of(&h, 3), 10);
    held_deinit(&h);
}

/* Acked ones behind one that waits take slots, too, and they are bounded. */
static void held__keeps_a_bounded_count_of_acked_messages_behind_one_that_waits(void **state)
{
    struct held h;
    uint64_t first;
    int64_t offset = 1;

    (void)state;
    held_init(&h, 2);
    held_assign(&h, 0);
    first = held_add(&h, 0, 0);
    while (held_has_room(&h)) {
        assert_true(held_ack(&h, held_add(&h, 0, offset++)));
        assert_true(offset < 100000);
    }
    assert_int_equal(h.n_unacked, 1);
    assert_true(held_ack(&h, first));
    assert_int_equal(place_of(&h, 0), offset);
    assert_true(held_has_room(&h));
    held_deinit(&h);
}

static void assert_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    size_t n = sizeof(text);

    if (rd_kafka_conf_get(conf, name, text, &n) != RD_KAFKA_CONF_OK)
        fail_msg("librdkafka does not know %s", name);
    if (strcmp(text, value) != 0)
        (void)fprintf(stderr, "%s\n", name);
    assert_string_equal(text, value);
}

static struct broker_config a_config(void)
{
    return (struct broker_config){ .url = STR("kafka+tls://a:1,b/"),
                                   .address = STR("a:1,b"),
                                   .name = STR("orderly-eu"),
                                   .channel = STR("shop"),
                                   .group = STR("payments"),
                                   .user = STR("u"),
                                   .password = STR("p w"),
                                   .token = STR(""),
                                   .credentials = STR(""),
                                   .tls_ca = STR("/ca"),
                                   .tls_certificate = STR("/certificate"),
                                   .tls_key = STR("/key"),
                                   .attribute_prefix = STR(""),
                                   .n_listens = 1,
                                   .listens = { STR("order.*") },
                                   .window = 77,
                                   .unacked_max = 5,
                                   .declares = true };
}

static void settings__tell_librdkafka_what_the_options_say(void **state)
{
    struct broker_config config = a_config();
    char why[BROKER_WHY_MAX] = "";
    rd_kafka_conf_t *conf = settings_common(&config, 0, why);

    (void)state;
    assert_non_null(conf);
    assert_true(settings_for_producer(conf, &config, false, why));
    assert_true(settings_for_consumer(conf, &config, why));
    assert_set(conf, "bootstrap.servers", "a:1,b");
    assert_set(conf, "client.id", "orderly-eu");
    assert_set(conf, "security.protocol", "sasl_ssl");
    assert_set(conf, "sasl.mechanisms", "SCRAM-SHA-512");
    assert_set(conf, "sasl.username", "u");
    assert_set(conf, "sasl.password", "p w");
    assert_set(conf, "enable.ssl.certificate.verification", "true");
    assert_set(conf, "ssl.endpoint.identification.algorithm", "https");
    assert_set(conf, "ssl.ca.location", "/ca");
    assert_set(conf, "ssl.certificate.location", "/certificate");
    assert_set(conf, "ssl.key.location", "/key");
    assert_set(conf, "enable.idempotence", "true");
    assert_set(conf, "partitioner", "murmur2_random");
    assert_set(conf, "queue.buffering.max.messages", "77");
    assert_set(conf, "allow.auto.create.topics", "true");
    assert_set(conf, "group.id", "payments");
    assert_set(conf, "enable.auto.commit", "false");
    assert_set(conf, "enable.auto.offset.store", "false");
    rd_kafka_conf_destroy(conf);
    assert_int_equal(settings_n_sasl(&config), 3);
}

static void settings__make_no_topic_and_say_no_password_where_they_must_not(void **state)
{
    struct broker_config config = a_config();
    char why[BROKER_WHY_MAX] = "", mechanism[32];
    rd_kafka_conf_t *conf;

    (void)state;
    config.url = STR("kafka://a:1");
    config.tls_ca = config.tls_certificate = config.tls_key = STR("");
    config.declares = false;
    assert_int_equal(settings_n_sasl(&config), 2);
    for (unsigned i = 0; i < settings_n_sasl(&config); i++) {
        size_t n = sizeof(mechanism);

        conf = settings_common(&config, i, why);
        assert_non_null(conf);
        assert_true(settings_for_producer(conf, &config, false, why));
        assert_set(conf, "security.protocol", "sasl_plaintext");
        assert_set(conf, "allow.auto.create.topics", "false");
        assert_int_equal(rd_kafka_conf_get(conf, "sasl.mechanisms", mechanism, &n),
                         RD_KAFKA_CONF_OK);
        assert_string_not_equal(mechanism, "PLAIN");
        rd_kafka_conf_destroy(conf);
    }
    config.user = config.password = STR("");
    conf = settings_common(&config, 0, why);
    assert_non_null(conf);
    assert_set(conf, "security.protocol", "plaintext");
    rd_kafka_conf_destroy(conf);
}

static void assert_reason(const char *what, const char *theirs, const char *wanted)
{
    char why[BROKER_WHY_MAX];

    reason_write_foreign(why, what, theirs);
    assert_string_equal(why, wanted);
}

static void reasons__are_the_same_each_time_and_one_line(void **state)
{
    struct broker_config config = a_config();
    char why[BROKER_WHY_MAX];

    (void)state;
    assert_reason("",
                  "a:1/bootstrap: Connect failed: Connection refused (after 0ms in state CONNECT)",
                  "a:1/bootstrap: Connect failed: Connection refused");
    assert_reason("ours", "theirs (after 12ms in state UP, 3 identical error(s) suppressed)",
                  "ours: theirs");
    assert_reason("", "two\nlines", "two lines");
    assert_reason("", "error:0A000086:SSL routines::certificate verify failed",
                  "TLS fails: error:0A000086:SSL routines::certificate verify failed");
    reason_write_new(why, &config, "ssl.key.location failed: no");
    assert_string_equal(why, "tls_key '/key': ssl.key.location failed: no");
    reason_write_new(why, &config, "no memory");
    assert_string_equal(why, "no memory");
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)m;
    (void)opaque;
}

/* A message that is given up makes a report, which is the first in the queue and so rings. */
static void have_a_report(rd_kafka_t *rk, rd_kafka_queue_t *queue)
{
    char body[] = "x";
    int waited_ms = 0;

    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("t"),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_VALUE(body, 1), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    for (; rd_kafka_queue_length(queue) == 0 && waited_ms < PATIENCE_MS; waited_ms++) {
        assert_int_equal(rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE), RD_KAFKA_RESP_ERR_NO_ERROR);
        (void)poll(NULL, 0, 1);
    }
    assert_true(waited_ms < PATIENCE_MS);
}

static void endings__ring_nobody(void **state)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct pollfd bell = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN };
    rd_kafka_queue_t *queue;
    rd_kafka_t *rk;
    char why[256];
    uint64_t rings;

    (void)state;
    assert_true(bell.fd >= 0);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    assert_non_null(rk);
    queue = rd_kafka_queue_get_main(rk);
    rd_kafka_queue_io_event_enable(queue, bell.fd, &one, sizeof(one));
    have_a_report(rk, queue);
    assert_int_equal(poll(&bell, 1, PATIENCE_MS), 1);
    (void)rd_kafka_poll(rk, 0);
    assert_int_equal(rd_kafka_queue_length(queue), 0);
    assert_int_equal(read(bell.fd, &rings, sizeof(rings)), sizeof(rings));

    ending_hush(rk);
    have_a_report(rk, queue);
    assert_int_equal(poll(&bell, 1, 0), 0);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    (void)close(bell.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held__has_room_for_as_many_as_may_wait_and_no_more),
        cmocka_unit_test(held__counts_what_moved_away_until_it_is_acked),
        cmocka_unit_test(held__passes_what_nobody_wants_behind_what_is_before_it),
        cmocka_unit_test(held__keeps_a_bounded_count_of_acked_messages_behind_one_that_waits),
        cmocka_unit_test(settings__tell_librdkafka_what_the_options_say),
        cmocka_unit_test(settings__make_no_topic_and_say_no_password_where_they_must_not),
        cmocka_unit_test(reasons__are_the_same_each_time_and_one_line),
        cmocka_unit_test(endings__ring_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Drives one broker's adapter from outside, so that a test can try it without the server.
 *
 *     broker_driver build/asan/orderly-NAME.so
 *
 * reads commands from stdin, one on a line, and writes one line of JSON for each call of the host
 * ("event") and one for the command's result ("result"), which is the last of it. A command's words
 * have one blank between them and are percent-encoded, so that any bytes can be said and nothing
 * between two blanks is an empty word. In the answers a text is a JSON string whose characters
 * U+0000..U+00FF are its bytes.
 *
 *     set NAME VALUE      a field of struct broker_config; numbers in digits, declares 0 or 1
 *     listen PATTERN
 *     create              also gives the module's name, schemes, library, attribute_prefix
 *     connect MS
 *     attribute NAME VALUE, type CONTENT_TYPE      of the next publish
 *     publish TAG TOPIC KEY ID CORRELATION BODY
 *     fill TAG TOPIC KEY ID CORRELATION BYTES      publish, with a body of as many x
 *     serve MS
 *     ack HANDLE
 *     wake, calm          makes the wake_fd readable, or not
 *     hold_names, give_names   names of hosts are not looked up from here on, or are; how many waited
 *     stop_receiving, disconnect, destroy, quit
 *     flood FIRST COUNT TOPIC BYTES MS   publishes tags FIRST..FIRST+COUNT-1, key k<tag % 16>, with
 *                         at most `window` in the air, the refused-for-now again, serves until each
 *                         has ended, the connection is lost or MS are over; tells only the counts
 *     take COUNT MS       serves and acks, until as many have come; tells only the counts
 *     quietly 0|1         1: bodies of received messages are told by their length alone
 *     room BYTES          that there is for messages; each that is received takes its body's off
 *
 * The name hangs.test is resolved when the driver ends, as by a name server that says nothing.
 *
 * Also holds the adapter to broker.h: what breaks it is an "event":"broken" and the exit code 3. */
#include "orderly/base/arena.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/relay/broker.h"
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 8
#define EXIT_USAGE 2
#define EXIT_BROKEN 3

/* A set of numbers, with room for as many as a contract allows to be in the air. */
struct numbers {
    uint64_t *list;
    size_t n, max;
    size_t at; /* where the next is looked for first: they leave in about the order they came in */
};

struct driver {
    struct broker_host host;
    struct broker_config config;
    struct arena kept; /* its texts */
    const struct broker_module *module;
    struct broker *broker;
    int wake_fd;
    pthread_t thread;
    bool in_call, connected, receiving, quietly, is_blocked, is_broken;
    struct numbers published, unacked;
    /* Of the next publish. */
    struct arena said;
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX];
    unsigned n_attributes;
    struct str content_type, origin;
    /* Of flood and take. */
    bool counts;
    uint64_t n_acked, n_refused, n_again, n_unrouted, n_received;
    size_t room;
    struct numbers retries;
};

static struct driver *driver_of(struct broker_host *h)
{
    return (struct driver *)(void *)((char *)h - offsetof(struct driver, host));
}

/* ---- names of hosts */

static int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool are_held;
    unsigned n_waiting;
} names = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Comes before the C library's for whatever the driver loads, and on whatever thread that asks. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    bool hangs = name && strcmp(name, "hangs.test") == 0;

    if (hints && hints->ai_flags & AI_NUMERICHOST)
        return resolve(name, service, hints, out);
    pthread_mutex_lock(&names.lock);
    names.n_waiting++;
    while (names.are_held || hangs)
        pthread_cond_wait(&names.changed, &names.lock);
    names.n_waiting--;
    pthread_mutex_unlock(&names.lock);
    if (name && strstr(name, ".invalid")) /* nobody has it, and nobody is asked */
        return EAI_NONAME;
    return resolve(name, service, hints, out);
}

static void hold_names(const char *command, bool are_held)
{
    unsigned n;

    pthread_mutex_lock(&names.lock);
    names.are_held = are_held;
    n = names.n_waiting;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
    printf("{\"result\":\"%s\",\"code\":\"ok\",\"waiting\":%u}\n", command, n);
}

/* ---- numbers */

static void numbers_init(struct numbers *s, size_t max)
{
    *s = (struct numbers){ mem_alloc(max * sizeof(*s->list)), 0, max, 0 };
}

static bool numbers_remove(struct numbers *s, uint64_t v)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t at = (s->at + i) % s->n;

        if (s->list[at] == v) {
            s->list[at] = s->list[--s->n];
            s->at = at + 1;
            return true;
        }
    }
    return false;
}

static bool numbers_have(const struct numbers *s, uint64_t v)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i] == v)
            return true;
    return false;
}

static bool numbers_add(struct numbers *s, uint64_t v)
{
    if (s->n == s->max)
        return false;
    s->list[s->n++] = v;
    return true;
}

/* ---- telling */

static void tell_text(struct str s)
{
    putchar('"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void tell_field(const char *name, struct str value)
{
    printf(",\"%s\":", name);
    tell_text(value);
}

static void broken(struct driver *d, const char *what)
{
    d->is_broken = true;
    printf("{\"event\":\"broken\"");
    tell_field("what", str_of(what));
    printf("}\n");
}

static void tell_result(const char *command, const char *code, const char *why)
{
    printf("{\"result\":\"%s\",\"code\":\"%s\"", command, code);
    if (why)
        tell_field("why", str_of(why));
    printf("}\n");
}

static const char *name_of(enum broker_result r)
{
    switch (r) {
    case BROKER_OK:
        return "ok";
    case BROKER_LOST:
        return "lost";
    case BROKER_BUSY:
        return "busy";
    case BROKER_REFUSED:
        return "refused";
    }
    return "unknown";
}

static void check_why(struct driver *d, const char *why)
{
    if (why[0] == '\0')
        broken(d, "a reason is empty");
    if (strnlen(why, BROKER_WHY_MAX) == BROKER_WHY_MAX)
        broken(d, "a reason does not end");
    else if (strpbrk(why, "\r\n"))
        broken(d, "a reason has more than one line");
}

static void tell_broker_result(struct driver *d, const char *command, enum broker_result r)
{
    bool has_why = r == BROKER_LOST || r == BROKER_REFUSED;

    if (has_why)
        check_why(d, d->broker->why);
    tell_result(command, name_of(r), has_why ? d->broker->why : NULL);
}

/* ---- the host */

static void check_call(struct driver *d)
{
    if (!pthread_equal(pthread_self(), d->thread)) {
        broken(d, "the host is called on another thread");
        exit(EXIT_BROKEN);
    }
    if (!d->in_call)
        broken(d, "the host is called outside of connect, publish, serve and disconnect");
}

static void end_published(struct driver *d, uint64_t tag)
{
    check_call(d);
    if (!numbers_remove(&d->published, tag))
        broken(d, "a word about a message that waits for none");
}

static void host_acked(struct broker_host *h, uint64_t tag)
{
    struct driver *d = driver_of(h);

    end_published(d, tag);
    d->n_acked++;
    if (!d->counts)
        printf("{\"event\":\"acked\",\"tag\":%" PRIu64 "}\n", tag);
}

static void host_unrouted(struct broker_host *h, uint64_t tag)
{
    struct driver *d = driver_of(h);

    check_call(d);
    if (!numbers_have(&d->published, tag))
        broken(d, "unrouted: no such message");
    d->n_unrouted++;
    if (!d->counts)
        printf("{\"event\":\"unrouted\",\"tag\":%" PRIu64 "}\n", tag);
}

static void tell_end(struct driver *d, const char *event, uint64_t tag, struct str why)
{
    if (why.n == 0 || memchr(why.p, '\n', why.n) || why.n >= BROKER_WHY_MAX)
        broken(d, "a reason is not one line");
    if (d->counts)
        return;
    printf("{\"event\":\"%s\",\"tag\":%" PRIu64, event, tag);
    tell_field("why", why);
    printf("}\n");
}

static void host_refused(struct broker_host *h, uint64_t tag, struct str why)
{
    struct driver *d = driver_of(h);

    end_published(d, tag);
    d->n_refused++;
    tell_end(d, "refused", tag, why);
}

static void host_again(struct broker_host *h, uint64_t tag, struct str why)
{
    struct driver *d = driver_of(h);

    end_published(d, tag);
    d->n_again++;
    tell_end(d, "again", tag, why);
    if (d->counts && !numbers_add(&d->retries, tag))
        broken(d, "more to be sent again than was sent");
}

static void host_received(struct broker_host *h, const struct broker_delivery *m)
{
    struct driver *d = driver_of(h);

    check_call(d);
    if (!d->receiving)
        broken(d, "received after stop_receiving");
    if (numbers_have(&d->unacked, m->handle))
        broken(d, "two messages with one handle");
    if (!numbers_add(&d->unacked, m->handle))
        broken(d, "more messages than unacked_max wait for their ack");
    if (m->n_attributes > BROKER_ATTRIBUTES_MAX)
        broken(d, "more attributes than there may be");
    if (m->body.n > d->config.body_max)
        broken(d, "a body is longer than body_max");
    d->n_received++;
    d->room -= d->room == SIZE_MAX ? 0 : m->body.n < d->room ? m->body.n : d->room;
    if (d->counts)
        return;
    printf("{\"event\":\"received\",\"handle\":%" PRIu64, m->handle);
    tell_field("topic", m->topic);
    tell_field("id", m->id);
    tell_field("type", m->content_type);
    tell_field("origin", m->origin);
    printf(",\"attributes\":{");
    for (unsigned i = 0; i < m->n_attributes; i++) {
        if (i)
            putchar(',');
        tell_text(m->attributes[i].name);
        putchar(':');
        tell_text(m->attributes[i].value);
    }
    printf("},\"length\":%zu,\"is_too_large\":%s", m->body.n, m->is_too_large ? "true" : "false");
    if (!d->quietly)
        tell_field("body", m->body);
    printf("}\n");
}

static size_t host_room(struct broker_host *h)
{
    struct driver *d = driver_of(h);

    check_call(d);
    return d->room;
}

static void host_blocked(struct broker_host *h, struct str why)
{
    struct driver *d = driver_of(h);

    check_call(d);
    if (d->is_blocked == (why.n > 0))
        broken(d, "blocked: says again what it has said");
    d->is_blocked = why.n > 0;
    if (why.n >= BROKER_WHY_MAX || (why.n && memchr(why.p, '\n', why.n)))
        broken(d, "a reason is not one line");
    printf("{\"event\":\"blocked\"");
    tell_field("why", why);
    printf("}\n");
}

/* ---- words */

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;

    if (c >= '0' && c <= '9')
        return c - '0';
    return at ? (int)(at - digits) : -1;
}

/* In place, ended by a NUL that is not counted. */
static struct str decode(char *word)
{
    size_t n = 0;

    for (const char *p = word; *p; p++) {
        if (p[0] == '%' && digit_of(p[1]) >= 0 && digit_of(p[2]) >= 0) {
            word[n++] = (char)(digit_of(p[1]) << 4 | digit_of(p[2]));
            p += 2;
        } else {
            word[n++] = *p;
        }
    }
    word[n] = '\0';
    return (struct str){ word, n };
}

static uint64_t number(struct str s)
{
    uint64_t v = 0;

    if (!str_to_u64(s, &v)) {
        fprintf(stderr, "broker_driver: '" STR_FMT "' is no number\n", STR_ARG(s));
        exit(EXIT_USAGE);
    }
    return v;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- commands */

static struct str *text_field(struct broker_config *c, struct str name)
{
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {
        { "url", offsetof(struct broker_config, url) },
        { "address", offsetof(struct broker_config, address) },
        { "name", offsetof(struct broker_config, name) },
        { "channel", offsetof(struct broker_config, channel) },
        { "group", offsetof(struct broker_config, group) },
        { "user", offsetof(struct broker_config, user) },
        { "password", offsetof(struct broker_config, password) },
        { "token", offsetof(struct broker_config, token) },
        { "credentials", offsetof(struct broker_config, credentials) },
        { "tls_ca", offsetof(struct broker_config, tls_ca) },
        { "tls_certificate", offsetof(struct broker_config, tls_certificate) },
        { "tls_key", offsetof(struct broker_config, tls_key) },
        { "attribute_prefix", offsetof(struct broker_config, attribute_prefix) },
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (str_eq(name, str_of(texts[i].name)))
            return (struct str *)(void *)((char *)c + texts[i].offset);
    return NULL;
}

static bool set_field(struct driver *d, struct str name, struct str value)
{
    struct broker_config *c = &d->config;
    struct str *text = text_field(c, name);

    if (str_eq(name, STR("origin")))
        text = &d->origin;
    if (text)
        *text = arena_str(&d->kept, value);
    else if (str_eq(name, STR("unacked_max")))
        c->unacked_max = (unsigned)number(value);
    else if (str_eq(name, STR("window")))
        c->window = (unsigned)number(value);
    else if (str_eq(name, STR("body_max")))
        c->body_max = number(value);
    else if (str_eq(name, STR("declares")))
        c->declares = number(value) != 0;
    else
        return false;
    return true;
}

static void create(struct driver *d)
{
    char why[BROKER_WHY_MAX] = "";

    d->broker = d->module->create(&d->config, &d->host, why);
    if (!d->broker) {
        check_why(d, why);
        tell_result("create", "refused", why);
        return;
    }
    numbers_init(&d->published, d->config.window);
    numbers_init(&d->unacked, d->config.unacked_max);
    numbers_init(&d->retries, d->config.window);
    printf("{\"result\":\"create\",\"code\":\"ok\"");
    tell_field("name", str_of(d->module->name));
    tell_field("schemes", str_of(d->module->schemes));
    tell_field("library", str_of(d->module->library));
    tell_field("attribute_prefix", str_of(d->module->attribute_prefix));
    printf("}\n");
}

static void connect_it(struct driver *d, struct str ms)
{
    enum broker_result r;

    d->published.n = 0;
    d->unacked.n = 0;
    d->receiving = true;
    d->is_blocked = false;
    d->in_call = true;
    r = d->broker->ops->connect(d->broker, (int)number(ms));
    d->in_call = false;
    d->connected = r == BROKER_OK;
    tell_broker_result(d, "connect", r);
}

static enum broker_result publish(struct driver *d, const struct broker_message *m)
{
    enum broker_result r;

    /* First, because an ack may not come inside of publish, though a bad adapter may think so. */
    if (!numbers_add(&d->published, m->tag)) {
        broken(d, "the test publishes more than the window");
        return BROKER_BUSY;
    }
    d->in_call = true;
    r = d->broker->ops->publish(d->broker, m);
    d->in_call = false;
    if (r != BROKER_OK)
        numbers_remove(&d->published, m->tag);
    if (r == BROKER_OK && d->is_blocked)
        broken(d, "it takes a message while it is blocked");
    return r;
}

static void publish_words(struct driver *d, const struct str *w, const char *name, struct str body)
{
    struct broker_message m = {
        .tag = number(w[1]),
        .topic = w[2],
        .key = w[3],
        .id = w[4],
        .correlation_id = w[5],
        .origin = d->origin,
        .content_type = d->content_type,
        .attributes = d->attributes,
        .n_attributes = d->n_attributes,
        .body = body,
    };

    tell_broker_result(d, name, publish(d, &m));
    arena_reset(&d->said);
    d->n_attributes = 0;
    d->content_type = STR("application/json");
}

static enum broker_result serve(struct driver *d, int wait_ms)
{
    enum broker_result r;

    d->in_call = true;
    r = d->broker->ops->serve(d->broker, d->wake_fd, wait_ms);
    d->in_call = false;
    if (r != BROKER_OK && r != BROKER_LOST)
        broken(d, "serve says what it may not say");
    return r;
}

static enum broker_result ack(struct driver *d, uint64_t handle)
{
    numbers_remove(&d->unacked, handle);
    return d->broker->ops->ack(d->broker, handle);
}

static void begin_counting(struct driver *d)
{
    d->counts = true;
    d->n_acked = d->n_refused = d->n_again = d->n_unrouted = d->n_received = 0;
    d->retries.n = 0;
}

static void tell_counts(struct driver *d, const char *command, enum broker_result r, int64_t began)
{
    d->counts = false;
    printf("{\"result\":\"%s\",\"code\":\"%s\"", command, name_of(r));
    if (r == BROKER_LOST)
        tell_field("why", str_of(d->broker->why));
    printf(",\"acked\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"again\":%" PRIu64
           ",\"unrouted\":%" PRIu64 ",\"received\":%" PRIu64 ",\"ms\":%" PRId64 "}\n",
           d->n_acked, d->n_refused, d->n_again, d->n_unrouted, d->n_received, now_ms() - began);
}

static enum broker_result flood_one(struct driver *d, uint64_t tag, struct str topic,
                                    struct str body)
{
    char id[40], key[16];

    snprintf(id, sizeof(id), "flood-%" PRIu64, tag);
    snprintf(key, sizeof(key), "k%u", (unsigned)(tag % 16));
    return publish(d, &(struct broker_message){ .tag = tag,
                                                .topic = topic,
                                                .key = str_of(key),
                                                .id = str_of(id),
                                                .correlation_id = str_of(key),
                                                .content_type = STR("application/json"),
                                                .body = body });
}

static void flood(struct driver *d, const struct str *w)
{
    uint64_t next = number(w[1]), end = next + number(w[2]);
    size_t bytes = number(w[4]);
    int64_t began = now_ms(), until = began + (int64_t)number(w[5]);
    char *body = mem_alloc(bytes + 1);
    enum broker_result r = BROKER_OK;

    memset(body, 'x', bytes);
    begin_counting(d);
    while (r != BROKER_LOST && now_ms() < until) {
        r = BROKER_OK;
        while (r == BROKER_OK && d->published.n < d->config.window &&
               (d->retries.n || next < end)) {
            bool is_retry = d->retries.n > 0;
            uint64_t tag = is_retry ? d->retries.list[d->retries.n - 1] : next;

            r = flood_one(d, tag, w[3], (struct str){ body, bytes });
            if (r == BROKER_OK || r == BROKER_REFUSED) {
                if (is_retry)
                    d->retries.n--;
                else
                    next++;
            }
            if (r == BROKER_REFUSED) {
                d->n_refused++;
                r = BROKER_OK;
            }
        }
        if (r == BROKER_LOST || (next == end && d->published.n == 0 && d->retries.n == 0))
            break;
        r = serve(d, 100);
    }
    mem_free(body);
    tell_counts(d, "flood", r, began);
}

static void take(struct driver *d, const struct str *w)
{
    uint64_t count = number(w[1]);
    int64_t began = now_ms(), until = began + (int64_t)number(w[2]);
    enum broker_result r = BROKER_OK;

    begin_counting(d);
    while (r == BROKER_OK && d->n_received < count && now_ms() < until) {
        r = serve(d, 100);
        while (r == BROKER_OK && d->unacked.n)
            r = ack(d, d->unacked.list[0]);
    }
    tell_counts(d, "take", r, began);
}

static void end_connection(struct driver *d)
{
    d->in_call = true;
    d->broker->ops->disconnect(d->broker);
    d->in_call = false;
    d->connected = false;
    d->published.n = 0;
    d->unacked.n = 0;
}

static void destroy(struct driver *d)
{
    if (d->connected)
        end_connection(d);
    if (d->broker) {
        d->broker->ops->destroy(d->broker);
        mem_free(d->published.list);
        mem_free(d->unacked.list);
        mem_free(d->retries.list);
    }
    d->broker = NULL;
}

static void wake(struct driver *d, bool is_on)
{
    uint64_t v = 1;
    ssize_t n = is_on ? write(d->wake_fd, &v, sizeof(v)) : read(d->wake_fd, &v, sizeof(v));

    if (n < 0 && errno != EAGAIN)
        broken(d, "the driver's own eventfd fails");
}

/* Before there is a broker. */
static bool run_setting(struct driver *d, const struct str *w, unsigned n)
{
    struct broker_config *c = &d->config;

    if (n == 3 && str_eq(w[0], STR("set"))) {
        if (!set_field(d, w[1], w[2]))
            return false;
        tell_result("set", "ok", NULL);
    } else if (n == 2 && str_eq(w[0], STR("listen")) && c->n_listens < BROKER_LISTENS_MAX) {
        c->listens[c->n_listens++] = arena_str(&d->kept, w[1]);
        tell_result("listen", "ok", NULL);
    } else if (n == 1 && str_eq(w[0], STR("create"))) {
        create(d);
    } else {
        return false;
    }
    return true;
}

static bool run_connected(struct driver *d, const struct str *w, unsigned n)
{
    if (n == 7 && str_eq(w[0], STR("publish"))) {
        publish_words(d, w, "publish", w[6]);
    } else if (n == 7 && str_eq(w[0], STR("fill"))) {
        size_t bytes = number(w[6]);
        char *body = mem_alloc(bytes + 1);

        memset(body, 'x', bytes);
        publish_words(d, w, "fill", (struct str){ body, bytes });
        mem_free(body);
    } else if (n == 2 && str_eq(w[0], STR("serve"))) {
        tell_broker_result(d, "serve", serve(d, (int)number(w[1])));
    } else if (n == 2 && str_eq(w[0], STR("ack"))) {
        tell_broker_result(d, "ack", ack(d, number(w[1])));
    } else if (n == 1 && str_eq(w[0], STR("stop_receiving"))) {
        d->broker->ops->stop_receiving(d->broker);
        d->receiving = false;
        tell_result("stop_receiving", "ok", NULL);
    } else if (n == 1 && str_eq(w[0], STR("disconnect"))) {
        end_connection(d);
        tell_result("disconnect", "ok", NULL);
    } else if (n == 6 && str_eq(w[0], STR("flood"))) {
        flood(d, w);
    } else if (n == 3 && str_eq(w[0], STR("take"))) {
        take(d, w);
    } else {
        return false;
    }
    return true;
}

static bool run_any(struct driver *d, const struct str *w, unsigned n)
{
    if (n == 3 && str_eq(w[0], STR("attribute")) && d->n_attributes < BROKER_ATTRIBUTES_MAX) {
        d->attributes[d->n_attributes++] =
            (struct broker_attribute){ arena_str(&d->said, w[1]), arena_str(&d->said, w[2]) };
        tell_result("attribute", "ok", NULL);
    } else if (n == 2 && str_eq(w[0], STR("type"))) {
        d->content_type = arena_str(&d->said, w[1]);
        tell_result("type", "ok", NULL);
    } else if (n == 1 && str_eq(w[0], STR("wake"))) {
        wake(d, true);
        tell_result("wake", "ok", NULL);
    } else if (n == 1 && str_eq(w[0], STR("calm"))) {
        wake(d, false);
        tell_result("calm", "ok", NULL);
    } else if (n == 1 && str_eq(w[0], STR("hold_names"))) {
        hold_names("hold_names", true);
    } else if (n == 1 && str_eq(w[0], STR("give_names"))) {
        hold_names("give_names", false);
    } else if (n == 2 && str_eq(w[0], STR("quietly"))) {
        d->quietly = number(w[1]) != 0;
        tell_result("quietly", "ok", NULL);
    } else if (n == 2 && str_eq(w[0], STR("room"))) {
        d->room = number(w[1]);
        tell_result("room", "ok", NULL);
    } else if (n == 2 && str_eq(w[0], STR("connect")) && d->broker && !d->connected) {
        connect_it(d, w[1]);
    } else if (n == 1 && str_eq(w[0], STR("destroy")) && d->broker) {
        destroy(d);
        tell_result("destroy", "ok", NULL);
    } else {
        return false;
    }
    return true;
}

static bool run(struct driver *d, char *line)
{
    struct str w[WORDS_MAX];
    unsigned n = 0;
    char *at = line;

    while (at && n < WORDS_MAX) {
        char *word = strsep(&at, " ");

        w[n++] = decode(word);
    }
    if (at)
        return false;
    if (!d->broker && run_setting(d, w, n))
        return true;
    if (d->connected && run_connected(d, w, n))
        return true;
    return run_any(d, w, n);
}

static const struct broker_module *load(const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct broker_module *module = object ? dlsym(object, BROKER_MODULE_SYMBOL) : NULL;

    if (!module) {
        fprintf(stderr, "broker_driver: %s\n", dlerror());
        exit(EXIT_USAGE);
    }
    if (module->abi != BROKER_ABI) {
        fprintf(stderr, "broker_driver: %s speaks version %u of broker.h\n", path, module->abi);
        exit(EXIT_USAGE);
    }
    return module;
}

static void init(struct driver *d, const char *path)
{
    static const char *const texts[] = { "url",
                                         "address",
                                         "name",
                                         "channel",
                                         "group",
                                         "user",
                                         "password",
                                         "token",
                                         "credentials",
                                         "tls_ca",
                                         "tls_certificate",
                                         "tls_key",
                                         "attribute_prefix" };

    *d = (struct driver){
        .host = { host_acked, host_unrouted, host_refused, host_again, host_received, host_room,
                  host_blocked },
        .room = SIZE_MAX,
        .config = { .unacked_max = 256, .window = 4096, .body_max = 262144, .declares = true },
        .content_type = STR("application/json"),
        .thread = pthread_self()
    };
    arena_init(&d->kept, NULL, 4096);
    arena_init(&d->said, NULL, 4096);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *text_field(&d->config, str_of(texts[i])) = STR("");
    *(void **)(void *)&resolve = dlsym(RTLD_NEXT, "getaddrinfo");
    d->module = load(path);
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->wake_fd < 0) {
        perror("broker_driver: eventfd");
        exit(EXIT_USAGE);
    }
}

int main(int argc, char **argv)
{
    struct driver d;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (argc != 2) {
        fprintf(stderr, "usage: broker_driver MODULE.so, with commands on stdin\n");
        return EXIT_USAGE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    init(&d, argv[1]);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (strcmp(line, "quit") == 0)
            break;
        if (!run(&d, line)) {
            fprintf(stderr, "broker_driver: not now, or not at all: %s\n", line);
            return EXIT_USAGE;
        }
    }
    destroy(&d);
    free(line);
    arena_deinit(&d.kept);
    arena_deinit(&d.said);
    close(d.wake_fd);
    tell_result("quit", d.is_broken ? "broken" : "ok", NULL);
    return d.is_broken ? EXIT_BROKEN : 0;
}

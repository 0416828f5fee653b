/* The bytes of one HTTP connection, cut at any points, through the whole server.
 *
 * input = end(1) cuts(1) pauses(1) bytes
 *   end     bits 0-1: how the client ends, bit 2: it reads slowly, bit 3: time passes before the end
 *   cuts    0: all at once, 1: byte by byte, else the seed of the lengths
 *   pauses  0: none, else so many pieces are followed by a pause of that many times 100 ms
 */
#include "rig/answers.h"
#include "rig/fuzz.h"
#include "rig/shop.h"

enum { END_SHUTDOWN, END_RESET, END_SILENCE, END_SHUTDOWN_AND_RESET };
#define END_SLOW 4
#define END_LATE 8

#define WINDOW 300 /* what a slow client takes at a time */
#define IDLE_MS 130000
#define PIECE_MAX 48

static size_t piece_len(unsigned cuts, unsigned *state, size_t left)
{
    size_t n;

    if (cuts == 0)
        return left;
    if (cuts == 1)
        return 1;
    *state = *state * 1103515245u + 12345u;
    n = 1 + (*state >> 16) % PIECE_MAX;
    return n < left ? n : left;
}

/* A slow client takes a little more. */
static void read_some(struct loopback *client, unsigned end)
{
    if (end & END_SLOW)
        client->window += WINDOW;
    loopback_turn(client);
}

static void send_pieces(struct shop *s, struct loopback *client, struct str bytes, unsigned end,
                        unsigned cuts, unsigned pauses)
{
    unsigned state = cuts, n_pieces = 0;

    while (bytes.n && !client->is_closed) {
        size_t n = piece_len(cuts, &state, bytes.n);

        loopback_send(client, (struct str){ bytes.p, n });
        shop_settle(s, client);
        bytes.p += n;
        bytes.n -= n;
        if (++n_pieces <= pauses)
            shop_pass_ms(s, client, (int64_t)pauses * 100);
        read_some(client, end);
    }
}

/* Whatever the client does now, the connection comes to its end. True: by our reset at last. */
static bool end_connection(struct shop *s, struct loopback *client, unsigned end)
{
    unsigned how = end & 3;

    if (end & END_LATE)
        shop_pass_ms(s, client, 20000);
    if (how == END_RESET)
        loopback_reset(client);
    else if (how != END_SILENCE)
        loopback_shutdown(client);
    shop_settle(s, client);
    if (how == END_SHUTDOWN_AND_RESET)
        loopback_reset(client);
    for (unsigned i = 0; i < 64 && !client->is_closed && (end & END_SLOW); i++) {
        read_some(client, end);
        shop_settle(s, client);
    }
    if (!client->is_closed)
        shop_pass_ms(s, client, IDLE_MS);
    /* A stream may stay as long as its client reads. */
    FUZZ_EXPECT(client->is_closed || app_feed(s->app.app)->n > 0,
                "the connection is still open after %d s", IDLE_MS / 1000);
    if (client->is_closed)
        return false;
    loopback_reset(client);
    shop_settle(s, client);
    FUZZ_EXPECT(client->is_closed, "a reset connection is still open");
    return true;
}

static void check_answers(const struct shop *s, struct str received, bool may_be_cut)
{
    struct buf joined = { 0 };
    struct answer_seen a = { .status = 0 };
    unsigned n = 0, n_heads = 0;

    while (received.n) {
        FUZZ_EXPECT(!a.closes || a.is_interim, "an answer after the last one");
        answer_take(&received, may_be_cut, &joined, &a);
        if (a.is_interim || a.status == 0)
            continue;
        answer_check(&a);
        n++;
        n_heads += a.is_bodiless;
    }
    FUZZ_EXPECT(n <= s->n_answers, "%u answers, but %u were given", n, s->n_answers);
    FUZZ_EXPECT(may_be_cut || n == s->n_answers, "%u answers of %u came", n, s->n_answers);
    FUZZ_EXPECT(may_be_cut || n_heads <= s->n_heads, "%u answers have no body", n_heads);
    buf_deinit(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned end = fuzz_take_u8(&in), cuts = fuzz_take_u8(&in), pauses = fuzz_take_u8(&in) % 8;
    struct shop *s = shop_open(true);
    struct buf bytes = { 0 };
    struct loopback client;
    bool was_cut;

    shop_expand(s, in, &bytes);
    loopback_connect(&client, &s->server);
    if (end & END_SLOW)
        client.window = WINDOW;
    send_pieces(s, &client, buf_str(&bytes), end, cuts, pauses);
    was_cut = end_connection(s, &client, end);
    /* Who goes away, or does not read, may miss the end of an answer. */
    check_answers(s, buf_str(&client.received), was_cut || (end & (3 | END_SLOW)) != END_SHUTDOWN);
    loopback_deinit(&client);
    buf_deinit(&bytes);
    shop_close(s);
    return 0;
}
